import { assert, describe, layer } from "@effect/vitest"
import { CloseOutcome } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import { TestRedisServer } from "@floodgate/runtime/testing/TestRedis"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { OrderStore } from "../store/OrderStore.ts"
import { payment, product, query, reservation, stores } from "../testing/Fixture.ts"
import * as Canceller from "../workers/Canceller.ts"
import * as TimeoutSweep from "../workers/TimeoutSweep.ts"
import * as TimeoutTimers from "./TimeoutTimers.ts"
import * as TimerRedis from "./TimerRedis.ts"
import * as Timers from "./Timers.ts"

const until = <E, R>(what: string, check: Effect.Effect<boolean, E, R>) =>
  check.pipe(
    Effect.flatMap((held) => (held ? Effect.void : Effect.fail(`never happened: ${what}`))),
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 500 }),
  )

const timersAt = (url: string) =>
  Timers.layer.pipe(
    Layer.provide(TimerRedis.layer),
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["REDIS_URL", url]])))),
  )

const real = Layer.unwrapEffect(Effect.map(TestRedisServer, ({ url }) => timersAt(url)))

const environment = Canceller.layer.pipe(
  Layer.provide(payment(() => Effect.succeed(CloseOutcome.CLOSED))),
  Layer.provideMerge(stores),
  Layer.merge(real),
  Layer.provideMerge(TestRedis.layer),
)

const ordered = (user: number) =>
  Effect.gen(function* () {
    const id = yield* product({ stock: 1 })
    const entry = reservation(id, user)
    const { unpaid } = yield* (yield* OrderStore).createBatch([entry], [])
    return { orderNum: entry.order_num, timer: unpaid[0]! }
  })

const stateOf = (orderNum: string) =>
  Effect.flatMap(OrderStore, (orders) => Effect.map(orders.find(orderNum), (row) => row?.state))

const expire = (orderNum: string) =>
  query("UPDATE `order` SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE order_num = ?", [
    orderNum,
  ])

/** Everything in the sorted sets. */
const kept = Effect.flatMap(Redis, (redis) =>
  redis.run("test", async (c) => {
    const all: Array<string> = []
    for (const key of await c.keys("*order-timers")) all.push(...(await c.zrange(key, 0, -1)))
    return all
  }),
)

/** Lets the time of every timer in Redis be over. */
const ring = Effect.flatMap(Redis, (redis) =>
  redis.run("test", async (c) => {
    for (const key of await c.keys("*order-timers")) {
      for (const member of await c.zrange(key, 0, -1)) await c.zadd(key, 1, member)
    }
  }),
)

const connected = Effect.gen(function* () {
  const timers = yield* Timers.Timers
  const { orderNum, timer } = yield* ordered(99)
  yield* until(
    "the timers have their connection",
    Effect.zipRight(
      timers.arm([timer]),
      Effect.map(kept, (all) => all.includes(orderNum)),
    ),
  )
  yield* timers.done([orderNum])
})

describe("the timers of unpaid orders", () => {
  layer(environment, { excludeTestServices: true })((it) => {
    it.effect("cancel an order when its time is over, by MySQL's clock alone", () =>
      Effect.gen(function* () {
        yield* connected
        const timers = yield* Timers.Timers
        const [due, early, paid] = [yield* ordered(1), yield* ordered(2), yield* ordered(3)]
        yield* timers.arm([due.timer, early.timer, paid.timer])
        assert.deepStrictEqual(yield* timers.claim, [])
        yield* expire(due.orderNum)
        yield* query("UPDATE `order` SET state = 'paid' WHERE order_num = ?", [paid.orderNum])
        // Redis says of all of them that it is time.
        yield* ring
        yield* TimeoutTimers.page
        assert.strictEqual(yield* stateOf(due.orderNum), "cancelled")
        assert.strictEqual(yield* stateOf(early.orderNum), "unpaid")
        assert.strictEqual(yield* stateOf(paid.orderNum), "paid")
        // Only the early one still has a timer, at MySQL's time.
        assert.deepStrictEqual(yield* kept, [early.orderNum])
        assert.deepStrictEqual(yield* timers.claim, [])
        yield* expire(early.orderNum)
        yield* ring
        yield* TimeoutTimers.page
        assert.strictEqual(yield* stateOf(early.orderNum), "cancelled")
        assert.deepStrictEqual(yield* kept, [])
      }),
    )

    it.effect("belong to who takes them, and go off again where that one crashes", () =>
      Effect.gen(function* () {
        yield* connected
        const timers = yield* Timers.Timers
        const { orderNum, timer } = yield* ordered(4)
        yield* timers.arm([{ ...timer, expires_at_ms: 1 }])
        // Set already: stays as it is.
        yield* timers.arm([timer])
        const taken = yield* Effect.all([timers.claim, timers.claim, timers.claim], { concurrency: 3 })
        assert.deepStrictEqual(taken.flat(), [orderNum])
        assert.deepStrictEqual(yield* kept, [orderNum])
        yield* ring
        assert.deepStrictEqual(yield* timers.claim, [orderNum])
        yield* timers.done([orderNum])
      }),
    )

    it.effect(
      "are a convenience: what a flushed Redis forgot, the sweep finds; a dead one holds up nothing",
      () =>
        Effect.gen(function* () {
          yield* connected
          const timers = yield* Timers.Timers
          const server = yield* TestRedisServer
          const { orderNum, timer } = yield* ordered(5)
          yield* timers.arm([timer])
          yield* expire(orderNum)
          yield* server.flushall
          yield* TimeoutTimers.page
          assert.strictEqual(yield* stateOf(orderNum), "unpaid")
          yield* TimeoutSweep.page
          assert.strictEqual(yield* stateOf(orderNum), "cancelled")

          yield* server.pause
          const started = performance.now()
          for (let i = 0; i < 20; i++) yield* timers.arm([timer])
          assert.isBelow(performance.now() - started, 1_000)
          yield* server.resume
          yield* server.kill
          yield* timers.arm([timer])
          yield* server.start
        }),
    )

    it.scoped("come up without a Redis, and find it later", () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.make()
        yield* server.kill
        const context = yield* Layer.build(timersAt(server.url))
        const timers = Context.get(context, Timers.Timers)
        const { orderNum, timer } = yield* ordered(6)
        yield* timers.arm([{ ...timer, expires_at_ms: 1 }])
        assert.deepStrictEqual(yield* timers.claim, [])
        yield* server.start
        yield* until(
          "the timers work",
          Effect.zipRight(
            timers.arm([{ ...timer, expires_at_ms: 1 }]),
            Effect.map(
              Effect.orElseSucceed(timers.claim, (): ReadonlyArray<string> => []),
              (claimed) => claimed.includes(orderNum),
            ),
          ),
        )
      }),
    )
  })
})
