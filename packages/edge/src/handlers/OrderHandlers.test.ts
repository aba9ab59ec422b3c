import { assert, describe, layer } from "@effect/vitest"
import {
  IdempotencyMismatch,
  InFlight,
  InvalidInput,
  NotFound,
  PaymentDeclined,
  PaymentMismatch,
  Unauthenticated,
  WrongState,
} from "@floodgate/contracts/errors/Errors"
import {
  CancelReason,
  OrderState,
  RejectReason,
} from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { PaymentStatus } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const { bearer } = TestEdge
const alice = bearer({ userId: 7, username: "alice" })
const { orderNum } = Messages

const state = {
  order: Messages.order(),
  pay: Effect.succeed(Messages.payment()) as Effect.Effect<ReturnType<typeof Messages.payment>, any>,
  callback: Effect.succeed(Messages.accepted()) as Effect.Effect<ReturnType<typeof Messages.accepted>, any>,
}
const asked: Array<any> = []
const keep = (name: string, request: object, options?: object) => {
  asked.push({ name, ...request, ...options })
}

layer(
  TestEdge.layer({
    ordering: {
      getOrder: (request, options) => {
        keep("getOrder", request, options)
        return request.userId === 7n ? Effect.succeed(state.order) : Effect.fail(new NotFound({}))
      },
      listOrders: (request) => {
        keep("listOrders", request)
        return request.pageToken === "bad"
          ? Effect.fail(InvalidInput.at("page_token", "is not a cursor of this list"))
          : Effect.succeed(Messages.orders([state.order]))
      },
      cancelOrder: (request) => {
        keep("cancelOrder", request)
        return request.userId === 7n
          ? Effect.fail(new WrongState({ state: "queued" }))
          : Effect.fail(new NotFound({}))
      },
    },
    payment: {
      createIntent: (request, options) => {
        keep("createIntent", request, options)
        return state.pay
      },
      getPayment: (request) => {
        keep("getPayment", request)
        return request.userId === 7n ? Effect.succeed(Messages.payment()) : Effect.fail(new NotFound({}))
      },
      acceptCallback: (request) => {
        keep("acceptCallback", request)
        return state.callback
      },
    },
  }),
  live,
)("orders and payments", (it) => {
  describe("GET /orders/:order_num", () => {
    const shown = (order: Parameters<typeof Messages.order>[0]) =>
      Effect.gen(function* () {
        state.order = Messages.order(order)
        const { ask } = yield* TestEdge.TestEdge
        const answer = yield* ask(`/orders/${orderNum}`, { headers: alice })
        assert.strictEqual(answer.status, 200, answer.text)
        return answer.json.data
      })

    it.effect("shows every field, null where it doesn't apply", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* shown({}), {
          id: 1001,
          order_num: orderNum,
          user_id: 7,
          product_id: 42,
          product_name: "Phone",
          quantity: 1,
          amount: 9_900,
          currency: "CNY",
          status: 0,
          state: "unpaid",
          reject_reason: null,
          cancel_reason: null,
          expires_at: "2026-01-31T08:15:00.000Z",
          paid_at: null,
          cancelled_at: null,
          payment: null,
          refund: null,
          created_at: "2026-01-31T08:00:00.000Z",
          updated_at: "2026-01-31T08:00:00.000Z",
        })
        assert.deepInclude(asked.at(-1), {
          name: "getOrder",
          userId: 7n,
          caller: { user_id: 7, username: "alice", roles: ["customer"] },
        })
      }),
    )

    const states: ReadonlyArray<readonly [OrderState, string, number | null]> = [
      [OrderState.QUEUED, "queued", null],
      [OrderState.UNPAID, "unpaid", 0],
      [OrderState.PAID, "paid", 1],
      [OrderState.CANCELLED, "cancelled", 2],
      [OrderState.REJECTED, "rejected", 2],
      [OrderState.REFUNDING, "refunding", 1],
      [OrderState.REFUNDED, "refunded", 1],
    ]
    for (const [wire, name, status] of states) {
      it.effect(`${name} has status ${status}`, () =>
        Effect.gen(function* () {
          assert.deepInclude(yield* shown({ state: wire }), { state: name, status })
        }),
      )
    }

    it.effect("shows reasons, payment and late money; no id while queued", () =>
      Effect.gen(function* () {
        const cancelled = yield* shown({
          id: 0n,
          state: OrderState.CANCELLED,
          cancelReason: CancelReason.TIMEOUT,
          cancelledAtMs: 1_000n,
          payment: { paymentId: "pay_1", channel: "sandbox", status: "closed" },
          refund: {
            refundId: "ref_1",
            amount: 9_900n,
            status: "pending",
            reason: "late",
            createdAtMs: 2_000n,
            succeededAtMs: 0n,
          },
        })
        assert.deepInclude(cancelled, {
          id: null,
          cancel_reason: "timeout",
          cancelled_at: "1970-01-01T00:00:01.000Z",
          paid_at: null,
          payment: { payment_id: "pay_1", channel: "sandbox", status: "closed" },
          refund: {
            refund_id: "ref_1",
            amount: 9_900,
            status: "pending",
            reason: "late",
            created_at: "1970-01-01T00:00:02.000Z",
            succeeded_at: null,
          },
        })
        const rejected = yield* shown({ state: OrderState.REJECTED, rejectReason: RejectReason.NOT_RESERVED })
        assert.deepInclude(rejected, { reject_reason: "not_reserved", cancel_reason: null })
      }),
    )

    it.effect("another's number, and what can't be a number, is 404 for reading, paying and cancelling", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const bob = { ...bearer({ userId: 8 }), "idempotency-key": "k" }
        state.pay = Effect.fail(new NotFound({}))
        const before = asked.length
        for (const num of ["1", "x".repeat(38 * 3), "%27%20OR%201", `${orderNum}0`, "..%2f..%2fetc"]) {
          const answers = [
            yield* ask(`/orders/${num}`, { headers: alice }),
            yield* ask(`/orders/${num}/cancel`, { method: "POST", headers: alice }),
            yield* ask(`/orders/${num}/pay`, {
              body: { channel: "balance" },
              headers: { ...alice, "idempotency-key": "k" },
            }),
          ]
          for (const answer of answers)
            assert.deepStrictEqual([answer.status, answer.json.code], [404, 404], num)
        }
        assert.lengthOf(asked, before)
        const answers = [
          yield* ask(`/orders/${orderNum}`, { headers: bob }),
          yield* ask(`/orders/${orderNum}/cancel`, { method: "POST", headers: bob }),
          yield* ask(`/orders/${orderNum}/pay`, { body: { channel: "balance" }, headers: bob }),
        ]
        for (const answer of answers) assert.deepStrictEqual([answer.status, answer.json.code], [404, 404])
      }),
    )
  })

  describe("GET /orders", () => {
    it.effect("passes on filters and the page", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const page = yield* ask("/orders?status=0&state=unpaid&limit=5&cursor=abc", { headers: alice })
        assert.strictEqual(page.status, 200)
        assert.isNull(page.json.data.next_cursor)
        assert.deepInclude(asked.at(-1), {
          userId: 7n,
          status: 0,
          state: OrderState.UNPAID,
          pageSize: 5,
          pageToken: "abc",
        })
        yield* ask("/orders", { headers: alice })
        assert.notProperty(asked.at(-1), "status")
      }),
    )

    for (const query of [
      "status=3",
      "status=00",
      "state=live",
      "limit=1e9",
      "limit=101",
      "cursor=bad",
      "user_id=8",
    ]) {
      it.effect(`?${query} is 400`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          const answer = yield* ask(`/orders?${query}`, { headers: alice })
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400])
        }),
      )
    }
  })

  describe("paying", () => {
    const pay = (
      body: unknown = { channel: "balance" },
      headers: Record<string, string> = { "idempotency-key": "k" },
    ) =>
      Effect.flatMap(TestEdge.TestEdge, ({ ask }) =>
        ask(`/orders/${orderNum}/pay`, { body, headers: { ...alice, ...headers } }),
      )

    it.effect("answers the payment; a replay says so", () =>
      Effect.gen(function* () {
        state.pay = Effect.succeed(Messages.payment())
        const first = yield* pay()
        assert.deepStrictEqual(first.json.data, {
          payment_id: "pay_1",
          order_num: orderNum,
          channel: "balance",
          amount: 9_900,
          currency: "CNY",
          status: "succeeded",
        })
        assert.isUndefined(first.headers["idempotent-replayed"])
        assert.deepInclude(asked.at(-1), { channel: "balance", userId: 7n, idempotencyKey: "k" })
        state.pay = Effect.succeed(Messages.payment({ replayed: true }))
        const again = yield* pay()
        assert.strictEqual(again.text, first.text)
        assert.strictEqual(again.headers["idempotent-replayed"], "true")
      }),
    )

    it.effect("shows where to pay and with what", () =>
      Effect.gen(function* () {
        state.pay = Effect.succeed(
          Messages.payment({
            status: PaymentStatus.REQUIRES_ACTION,
            payUrl: "http://127.0.0.1/pay/1",
            clientParams: { a: "b" },
          }),
        )
        const answer = yield* pay({ channel: "sandbox" })
        assert.deepInclude(answer.json.data, {
          status: "requires_action",
          pay_url: "http://127.0.0.1/pay/1",
          client_params: { a: "b" },
        })
      }),
    )

    it.effect("without a key, with a bad one, or with an unknown field: 400, and nobody is charged", () =>
      Effect.gen(function* () {
        const before = asked.length
        for (const answer of [
          yield* pay({ channel: "balance" }, {}),
          yield* pay({ channel: "balance" }, { "idempotency-key": "" }),
          yield* pay({ channel: "balance" }, { "idempotency-key": "é" }),
          yield* pay({ channel: "Balance!" }),
          yield* pay({ channel: "balance", amount: 1 }),
          yield* pay({}),
        ]) {
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400], answer.text)
        }
        assert.lengthOf(asked, before)
      }),
    )

    const refusals: ReadonlyArray<readonly [object, number, number, unknown]> = [
      [new WrongState({ state: "cancelled" }), 409, 520, { state: "cancelled" }],
      [new IdempotencyMismatch({}), 422, 521, null],
      [new InFlight({}), 409, 522, null],
      [new PaymentDeclined({ payment_id: "pay_1" }), 402, 524, { payment_id: "pay_1" }],
      [new NotFound({}), 404, 404, null],
      [new Unauthenticated({}), 500, 500, null],
    ]
    for (const [error, status, code, data] of refusals) {
      it.effect(`${(error as Error).name} is ${status}/${code}`, () =>
        Effect.gen(function* () {
          state.pay = Effect.fail(error)
          const answer = yield* pay()
          assert.deepStrictEqual([answer.status, answer.json.code, answer.json.data], [status, code, data])
        }),
      )
    }

    it.effect("a payment is its payer's", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        assert.strictEqual((yield* ask("/payments/pay_1", { headers: alice })).status, 200)
        assert.strictEqual((yield* ask("/payments/pay_1", { headers: bearer({ userId: 8 }) })).status, 404)
        assert.strictEqual((yield* ask("/payments/a%20b", { headers: alice })).status, 404)
      }),
    )
  })

  it.effect("cancelling needs no body, and takes no fields", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const path = `/orders/${orderNum}/cancel`
      for (const body of [undefined, {}]) {
        const answer = yield* ask(path, { method: "POST", body, headers: alice })
        assert.deepStrictEqual(
          [answer.status, answer.json.code, answer.json.data],
          [409, 520, { state: "queued" }],
        )
      }
      assert.deepInclude(asked.at(-1), { name: "cancelOrder", userId: 7n, reason: CancelReason.USER })
      const extra = yield* ask(path, { body: { reason: "operator" }, headers: alice })
      assert.strictEqual(extra.status, 400)
    }),
  )

  describe("callbacks", () => {
    it.effect("the bytes and headers are handed on as they came, of any type", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        state.callback = Effect.succeed(Messages.accepted())
        const body = Buffer.from([0x7b, 0xff, 0x00, 0x7d])
        const headers = {
          "content-type": "application/x-www-form-urlencoded",
          "x-floodgate-signature": "t=1,v1=ab",
          authorization: "Bearer of no provider",
          cookie: "a=b",
        }
        for (const [path, channel] of [
          ["/payment/callback", "sandbox"],
          ["/payment/callback/alipay", "alipay"],
        ] as const) {
          const answer = yield* ask(path, { body, headers })
          assert.deepStrictEqual(answer.json, { code: 0, msg: "ok", data: null })
          const request = asked.at(-1)
          assert.strictEqual(request.channel, channel)
          assert.deepStrictEqual(Buffer.from(request.body), body)
          assert.strictEqual(request.headers["x-floodgate-signature"], "t=1,v1=ab")
          assert.strictEqual(request.headers["content-type"], "application/x-www-form-urlencoded")
          assert.notProperty(request.headers, "authorization")
          assert.notProperty(request.headers, "cookie")
        }
      }),
    )

    it.effect("a provider gets the bytes that its protocol wants", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        state.callback = Effect.succeed(
          Messages.accepted({ body: Buffer.from("success"), contentType: "text/plain" }),
        )
        const answer = yield* ask("/payment/callback/alipay", { body: "a=b" })
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(answer.text, "success")
        assert.strictEqual(answer.headers["content-type"], "text/plain")
      }),
    )

    const refusals: ReadonlyArray<readonly [object, number, number]> = [
      [new Unauthenticated({}), 401, 401],
      [new PaymentMismatch({}), 422, 523],
      [new NotFound({}), 404, 404],
      [InvalidInput.at("amount", "is required"), 400, 400],
    ]
    for (const [error, status, code] of refusals) {
      it.effect(`${(error as Error).name} is ${status}/${code}`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          state.callback = Effect.fail(error)
          const answer = yield* ask("/payment/callback", { body: "{}" })
          assert.deepStrictEqual([answer.status, answer.json.code], [status, code])
        }),
      )
    }

    it.effect("a channel's name is checked before anyone is asked", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        assert.strictEqual((yield* ask("/payment/callback/A!", { body: "{}" })).status, 400)
      }),
    )
  })
})
