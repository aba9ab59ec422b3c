import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import { InvalidInput, NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import {
  CancelReason,
  DeadLetterSchema,
  DeadLetterState,
  ListDeadLettersResponseSchema,
  OrderState,
} from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const headers = TestEdge.bearer({ userId: 1, username: "root", roles: ["admin"] })

let asked: Array<any> = []

const TEXT = Buffer.from('{"text":"é"}')

const letter = (init: Record<string, unknown> = {}) =>
  create(DeadLetterSchema, {
    id: 3n,
    topic: "seckill.reservations",
    partition: 4,
    offset: "17",
    key: Messages.orderNum,
    reason: "not a JSON object",
    attempts: 2,
    payload: TEXT,
    payloadBytes: BigInt(TEXT.length),
    orderNum: Messages.orderNum,
    firstAtMs: 1_000n,
    lastAtMs: 2_000n,
    state: DeadLetterState.OPEN,
    discardsAtMs: 901_000n,
    ...init,
  })

const shown = {
  id: 3,
  topic: "seckill.reservations",
  partition: 4,
  offset: "17",
  key: Messages.orderNum,
  reason: "not a JSON object",
  attempts: 2,
  payload: '{"text":"é"}',
  payload_encoding: "utf8",
  payload_bytes: 13,
  order_num: Messages.orderNum,
  first_at: "1970-01-01T00:00:01.000Z",
  last_at: "1970-01-01T00:00:02.000Z",
  state: "open",
  discards_at: "1970-01-01T00:15:01.000Z",
  settled_at: null,
  settled_by: null,
  settled_reason: null,
}

const settle =
  (state: DeadLetterState) =>
  (request: any, options?: any): Effect.Effect<any, any> => {
    asked.push([request, options?.caller?.user_id])
    if (request.id === 404n) return Effect.fail(new NotFound({}))
    if (request.id === 520n) return Effect.fail(new WrongState({ state: "discarded" }))
    return Effect.succeed(
      letter({ state, discardsAtMs: 0n, settledAtMs: 3_000n, settledBy: 1n, settledReason: request.reason }),
    )
  }

layer(
  TestEdge.layer({
    ordering: {
      listOrders: (request, options) => {
        asked.push([request, options?.caller?.user_id])
        if (request.pageToken === "bad") {
          return Effect.fail(InvalidInput.at("page_token", "not a token of this list"))
        }
        return Effect.succeed(Messages.orders([Messages.order()], request.pageToken === "" ? "next" : ""))
      },
      getOrder: (request) => {
        asked.push([request])
        return Effect.succeed(Messages.order())
      },
      cancelOrder: (request, options) => {
        asked.push([request, options?.caller?.user_id])
        return Effect.succeed(
          Messages.order({ state: OrderState.CANCELLED, cancelReason: CancelReason.OPERATOR }),
        )
      },
      listDeadLetters: (request, options) => {
        asked.push([request, options?.caller?.user_id])
        return Effect.succeed(create(ListDeadLettersResponseSchema, { deadLetters: [letter()] }))
      },
      getDeadLetter: ({ id }) =>
        id === 3n
          ? Effect.succeed(letter({ payload: Buffer.from([0xff, 0x00]), payloadBytes: 2n, settledBy: 0n }))
          : // Cut in the middle of a character.
            Effect.succeed(letter({ payload: TEXT.subarray(0, 10), orderNum: "" })),
      replayDeadLetter: settle(DeadLetterState.REPLAYED),
      discardDeadLetter: settle(DeadLetterState.DISCARDED),
    },
  }),
  live,
)("the console's orders and dead letters", (it) => {
  const ask = (path: string, body?: unknown, more: Record<string, string> = {}) =>
    Effect.suspend(() => {
      asked = []
      return Effect.flatMap(TestEdge.TestEdge, (edge) =>
        edge.ask(path, { headers: { ...headers, ...more }, ...(body === undefined ? {} : { body }) }),
      )
    })

  describe("orders", () => {
    it.effect("are found by every filter, in everybody's name", () =>
      Effect.gen(function* () {
        const answer = yield* ask(
          `/admin/orders?user_id=7&product_id=42&state=paid&order_num=${Messages.orderNum}` +
            "&from=2026-01-31T00:00:00Z&to=2026-02-01T00:00:00Z&limit=5&cursor=abc",
        )
        assert.strictEqual(answer.status, 200, answer.text)
        assert.deepStrictEqual(asked, [
          [
            {
              anyUser: true,
              userId: 7n,
              productId: 42n,
              orderNum: Messages.orderNum,
              state: OrderState.PAID,
              fromMs: BigInt(Date.UTC(2026, 0, 31)),
              toMs: BigInt(Date.UTC(2026, 1, 1)),
              pageSize: 5,
              pageToken: "abc",
            },
            1,
          ],
        ])
        assert.strictEqual(answer.json.data.items[0].order_num, Messages.orderNum)
        assert.isNull(answer.json.data.next_cursor)
      }),
    )

    it.effect("are exported as CSV, every page of them", () =>
      Effect.gen(function* () {
        const answer = yield* ask("/admin/orders?format=csv")
        assert.include(answer.headers["content-type"], "text/csv")
        const lines = answer.text.trim().split("\r\n")
        assert.strictEqual(lines.length, 3)
        assert.match(lines[0]!, /^id,order_num,user_id,/)
        assert.deepStrictEqual(
          asked.map(([request]) => request.pageToken),
          ["", "next"],
        )
      }),
    )

    it.effect("are refused a filter that can't be", () =>
      Effect.gen(function* () {
        for (const query of ["user_id=0", "state=lost", "order_num=%27", "limit=1000000000", "what=ever"]) {
          const answer = yield* ask(`/admin/orders?${query}`)
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400], query)
        }
        const bad = yield* ask("/admin/orders?cursor=bad")
        assert.deepStrictEqual(
          [bad.json.code, bad.json.data.issues],
          [400, [{ path: "cursor", message: "not a token of this list" }]],
        )
      }),
    )

    it.effect("are read and cancelled by their number, for a reason", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* ask(`/admin/orders/${Messages.orderNum}`)).json.data.user_id, 7)
        assert.deepStrictEqual(asked, [[{ orderNum: Messages.orderNum }]])
        const path = `/admin/orders/${Messages.orderNum}/cancel`
        const answer = yield* ask(path, { reason: "asked by phone" })
        assert.deepInclude(answer.json.data, { state: "cancelled", status: 2, cancel_reason: "operator" })
        assert.deepStrictEqual(asked, [
          [{ orderNum: Messages.orderNum, reason: CancelReason.OPERATOR, note: "asked by phone" }, 1],
        ])
        for (const body of [{}, { reason: "" }, { reason: "x", status: 2 }]) {
          assert.strictEqual((yield* ask(path, body)).json.code, 400)
        }
        for (const path of ["/admin/orders/none", "/admin/orders/none/cancel"]) {
          const answer = yield* ask(path, path.endsWith("cancel") ? { reason: "x" } : undefined)
          assert.deepStrictEqual([answer.status, answer.json.code, asked], [404, 404, []])
        }
      }),
    )
  })

  describe("dead letters", () => {
    it.effect("are listed by every filter, and exported", () =>
      Effect.gen(function* () {
        const answer = yield* ask(
          `/admin/dead-letters?state=open&topic=seckill.reservations&order_num=${Messages.orderNum}&limit=1`,
        )
        assert.deepStrictEqual(answer.json.data, { items: [shown], next_cursor: null })
        assert.deepInclude(asked[0][0], {
          state: DeadLetterState.OPEN,
          topic: "seckill.reservations",
          orderNum: Messages.orderNum,
          pageSize: 1,
        })
        const csv = yield* ask("/admin/dead-letters?format=csv")
        assert.strictEqual(csv.text.trim().split("\r\n").length, 2)
        assert.strictEqual((yield* ask("/admin/dead-letters?topic=%00")).json.code, 400)
      }),
    )

    it.effect("show what they hold, text or not", () =>
      Effect.gen(function* () {
        const bytes = yield* ask("/admin/dead-letters/3")
        assert.deepInclude(bytes.json.data, { payload: "/wA=", payload_encoding: "base64", payload_bytes: 2 })
        const cut = yield* ask("/admin/dead-letters/4")
        assert.deepInclude(cut.json.data, {
          payload: '{"text":"',
          payload_encoding: "utf8",
          payload_bytes: 13,
          order_num: null,
        })
      }),
    )

    it.effect("are settled for a reason, once for a key, and say what became of them before", () =>
      Effect.gen(function* () {
        const body = { reason: "the cause is mended" }
        const replayed = yield* ask("/admin/dead-letters/3/replay", body, { "idempotency-key": "k" })
        assert.deepStrictEqual(replayed.json.data, {
          ...shown,
          state: "replayed",
          discards_at: null,
          settled_at: "1970-01-01T00:00:03.000Z",
          settled_by: 1,
          settled_reason: body.reason,
        })
        const [[first, caller]] = asked
        assert.strictEqual(caller, 1)
        yield* ask("/admin/dead-letters/3/replay", body, { "idempotency-key": "k" })
        assert.strictEqual(asked[0][0].requestId, first.requestId)
        yield* ask("/admin/dead-letters/3/discard", body)
        assert.notStrictEqual(asked[0][0].requestId, first.requestId)
        const late = yield* ask("/admin/dead-letters/520/discard", body)
        assert.deepStrictEqual(
          [late.status, late.json.code, late.json.data],
          [409, 520, { state: "discarded" }],
        )
        assert.strictEqual((yield* ask("/admin/dead-letters/404/replay", body)).status, 404)
        assert.strictEqual((yield* ask("/admin/dead-letters/3/replay", {})).json.code, 400)
      }),
    )
  })
})
