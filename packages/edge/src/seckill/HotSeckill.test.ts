import { assert, describe, layer } from "@effect/vitest"
import { Busy, Internal } from "@floodgate/contracts/errors/Errors"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const { bearer } = TestEdge

const codes: Record<string, number> = ReserveCode
const batches: Array<any> = []
let gate: Effect.Effect<unknown> = Effect.void

// The product's number says what inventory answers.
const layerOf = (sampleShare: number) =>
  TestEdge.layer(
    {
      inventory: {
        reserveBatch: (request, options) =>
          Effect.gen(function* () {
            batches.push({ ...request, options })
            yield* gate
            const productId = Number(request.productId)
            if (productId === 900) return yield* new Busy({})
            if (productId === 901) return yield* new Internal({})
            if (productId === 902) return Messages.reserved([])
            const num = Messages.orderNum
            return Messages.reserved(
              request.userId!.map(() => [productId - 1_000, num, 1] as const),
              { liveOrderNums: request.userId!.map(() => num) },
            )
          }),
      },
    },
    { sampleShare },
  )

layer(layerOf(0), live)("POST /seckill", (it) => {
  const seckill = (body: unknown, headers: Record<string, string> = {}) =>
    Effect.flatMap(TestEdge.TestEdge, ({ ask }) =>
      ask("/seckill", { body, headers: { ...bearer({ userId: 7 }), ...headers } }),
    )

  it.effect("202 with the number, where to ask, and how soon", () =>
    Effect.gen(function* () {
      const answer = yield* seckill({ product_id: 1_000, quantity: 2 })
      assert.strictEqual(answer.status, 202)
      assert.deepStrictEqual(answer.json, {
        code: 0,
        msg: "ok",
        data: { order_num: Messages.orderNum, status: "queued", poll_after_ms: 200 },
      })
      assert.strictEqual(answer.headers["location"], `/orders/${Messages.orderNum}`)
      assert.strictEqual(answer.headers["cache-control"], "no-store")
      assert.strictEqual(answer.headers["content-type"], "application/json; charset=utf-8")
      const batch = batches.at(-1)
      assert.deepStrictEqual([batch.userId, batch.quantity], [[7n], [2]])
      assert.closeTo(Number(batch.notAfterMs[0]), Date.now() + 800, 500)
      assert.isFalse(batch.options.span)
    }),
  )

  const table: ReadonlyArray<readonly [keyof typeof ReserveCode, number, number]> = [
    ["REPEATED", 202, 0],
    ["SOLD_OUT", 409, 510],
    ["ALREADY_BOUGHT", 409, 511],
    ["NOT_STARTED", 409, 512],
    ["ENDED", 409, 513],
    ["NOT_ON_SALE", 409, 514],
    ["EXPIRED", 503, 530],
    ["FENCED", 503, 530],
    ["KEY_REUSED", 422, 521],
    ["STALE_GENERATION", 503, 530],
    ["BACKLOG_FULL", 503, 530],
    ["NOT_EXECUTED", 503, 530],
    ["UNKNOWN", 503, 530],
    ["NO_SUCH_PRODUCT", 404, 404],
  ]
  for (const [name, status, code] of table) {
    it.effect(`${name} is ${status}/${code}`, () =>
      Effect.gen(function* () {
        const answer = yield* seckill({ product_id: 1_000 + codes[name]! })
        assert.deepStrictEqual([answer.status, answer.json.code], [status, code])
        if (status === 503) assert.match(String(answer.headers["retry-after"]), /^\d+$/)
        if (name === "UNKNOWN") assert.deepStrictEqual(answer.json.data, { order_num: Messages.orderNum })
        if (code !== 0) assert.strictEqual(answer.headers["x-error-doc"], `/docs/errors/${code}`)
      }),
    )
  }

  it.effect("inventory away, broken or short of answers: 503/530 in time", () =>
    Effect.gen(function* () {
      for (const product_id of [900, 901, 902]) {
        const began = Date.now()
        const answer = yield* seckill({ product_id })
        assert.deepStrictEqual([answer.status, answer.json.code], [503, 530])
        assert.isBelow(Date.now() - began, 1_200)
      }
    }),
  )

  it.effect("a key gives the same request id again, another user's or product's key another", () =>
    Effect.gen(function* () {
      const idOf = (user: number, product: number, key?: string) =>
        Effect.map(
          seckill(
            { product_id: product },
            { ...bearer({ userId: user }), ...(key === undefined ? {} : { "idempotency-key": key }) },
          ),
          () => batches.at(-1).requestId[0] as string,
        )
      const first = yield* idOf(7, 1_000, "k")
      assert.match(first, /^[A-Za-z0-9_-]{16}$/)
      assert.strictEqual(yield* idOf(7, 1_000, "k"), first)
      const others = [
        yield* idOf(8, 1_000, "k"),
        yield* idOf(7, 1_001, "k"),
        yield* idOf(7, 1_000, "l"),
        yield* idOf(7, 1_000),
        yield* idOf(7, 1_000),
      ]
      assert.strictEqual(new Set([first, ...others]).size, 6)
    }),
  )

  describe("bad requests", () => {
    const bodies: ReadonlyArray<readonly [unknown, string]> = [
      [{}, "product_id"],
      [{ product_id: 0 }, "product_id"],
      [{ product_id: -1 }, "product_id"],
      [{ product_id: 1.5 }, "product_id"],
      [{ product_id: "1" }, "product_id"],
      ['{"product_id":9007199254740993}', "product_id"],
      ['{"product_id":1e400}', "product_id"],
      [{ product_id: null }, "product_id"],
      [{ product_id: 1, quantity: 0 }, "quantity"],
      [{ product_id: 1, quantity: 101 }, "quantity"],
      [{ product_id: 1, price: 1 }, "price"],
      [[], ""],
      ["null", ""],
    ]
    for (const [body, path] of bodies) {
      it.effect(`${JSON.stringify(body)} is 400 at ${JSON.stringify(path)}`, () =>
        Effect.gen(function* () {
          const before = batches.length
          const answer = yield* seckill(body)
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400])
          assert.strictEqual(answer.json.data.issues[0].path, path)
          assert.lengthOf(batches, before)
        }),
      )
    }

    it.effect("an unusable key is 400", () =>
      Effect.gen(function* () {
        for (const key of ["", "a".repeat(256), "é"]) {
          const answer = yield* seckill({ product_id: 1_000 }, { "idempotency-key": key })
          assert.deepStrictEqual([answer.status, answer.json.data.issues[0].path], [400, "idempotency-key"])
        }
      }),
    )
  })

  it.effect("a crowd is answered in few calls, each with its own answer", () =>
    Effect.gen(function* () {
      const before = batches.length
      gate = Effect.sleep("20 millis")
      const crowd = Array.from({ length: 300 }, (_, i) =>
        seckill({ product_id: 1_000 }, bearer({ userId: i + 1 })),
      )
      const answers = yield* Effect.all(crowd, { concurrency: "unbounded" })
      gate = Effect.void
      assert.isTrue(answers.every((answer) => answer.status === 202))
      const calls = batches.slice(before)
      assert.isBelow(calls.length, 150)
      const users = calls.flatMap((call) => call.userId.map(Number))
      assert.sameMembers(
        users,
        Array.from({ length: 300 }, (_, i) => i + 1),
      )
    }),
  )

  it.effect("a client that leaves takes nobody with it", () =>
    Effect.gen(function* () {
      const release = yield* Deferred.make<void>()
      const before = batches.length
      gate = Deferred.await(release)
      const leaving = yield* Effect.fork(seckill({ product_id: 1_000 }, bearer({ userId: 1 })))
      const staying = yield* Effect.fork(seckill({ product_id: 1_000 }, bearer({ userId: 2 })))
      yield* Effect.repeat(
        Effect.sync(() => batches.slice(before).reduce((sum, batch) => sum + batch.userId.length, 0)),
        { until: (items) => items === 2, schedule: Schedule.spaced("5 millis") },
      )
      yield* Fiber.interrupt(leaving)
      gate = Effect.void
      yield* Deferred.succeed(release, undefined)
      assert.strictEqual((yield* Fiber.join(staying)).status, 202)
    }),
  )
})

layer(layerOf(1), live)("POST /seckill, recorded", (it) => {
  it.effect("the batch carries the request's trace", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const headers = { ...bearer({ userId: 7 }), traceparent: `00-${traceId}-b7ad6b7169203331-01` }
      const answer = yield* ask("/seckill", { body: { product_id: 1_000 }, headers })
      assert.strictEqual(answer.headers["x-trace-id"], traceId)
      const batch = batches.at(-1)
      assert.deepStrictEqual(batch.tracedItem, [0])
      assert.strictEqual(TraceContext.parse(batch.traceparent[0])?.traceId, traceId)
      assert.isTrue(batch.options.span)
      const unrecorded = { ...headers, traceparent: `00-${traceId}-b7ad6b7169203331-00` }
      yield* ask("/seckill", { body: { product_id: 1_000 }, headers: unrecorded })
      assert.deepStrictEqual(batches.at(-1).tracedItem, [])
    }),
  )
})
