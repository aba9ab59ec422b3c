import { assert, describe, it } from "@effect/vitest"
import { Busy, NotFound } from "@floodgate/contracts/errors/Errors"
import { ProductStatus } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Degradation from "../degrade/Degradation.ts"
import * as ServerClock from "../seckill/ServerClock.ts"
import * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as ProductCache from "./ProductCache.ts"

type Product = ReturnType<typeof Messages.product>

const make = (answer: (id: bigint) => Effect.Effect<Product, NotFound | Busy>) => {
  const state = { calls: 0 }
  const inventory = FakePeers.inventory({
    getProduct: ({ productId }) =>
      Effect.suspend(() => {
        state.calls++
        return answer(productId!)
      }),
  })
  const layer = ProductCache.layer.pipe(Layer.provide(inventory), Layer.provideMerge(ServerClock.layer))
  return { state, layer }
}

const dataOf = (cached: ProductCache.CachedProduct) => JSON.parse(Buffer.from(cached.body).toString()).data

describe("ProductCache", () => {
  it.scoped("a crowd that asks at once is one call, also when the first of it leaves", () => {
    const arrived = Deferred.unsafeMake<Product>(undefined as never)
    const { layer, state } = make(() => Deferred.await(arrived))
    return Effect.gen(function* () {
      const cache = yield* ProductCache.ProductCache
      const first = yield* Effect.fork(cache.get(42))
      yield* Effect.yieldNow()
      const crowd = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 100 }, () => cache.get(42)),
          { concurrency: "unbounded" },
        ),
      )
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(arrived, Messages.product())
      assert.lengthOf(yield* Fiber.join(crowd), 100)
      assert.strictEqual(state.calls, 1)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("a product is at most a second old", () => {
    let stock = 100n
    const { layer, state } = make(() => Effect.succeed(Messages.product({ stock })))
    return Effect.gen(function* () {
      const cache = yield* ProductCache.ProductCache
      const before = yield* cache.get(42)
      stock = 99n
      assert.strictEqual((yield* cache.get(42)).etag, before.etag)
      yield* TestClock.adjust("1 second")
      const after = yield* cache.get(42)
      assert.strictEqual(dataOf(after).stock, 99)
      assert.notStrictEqual(after.etag, before.etag)
      assert.strictEqual(state.calls, 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("the status changes at the moment it should, by the sale's clock", () => {
    const startTimeMs = 1_000_000
    const { layer } = make(() =>
      Effect.succeed(
        Messages.product({
          startTimeMs: BigInt(startTimeMs),
          endTimeMs: BigInt(startTimeMs + 300),
          status: ProductStatus.UPCOMING,
        }),
      ),
    )
    return Effect.gen(function* () {
      const cache = yield* ProductCache.ProductCache
      const statusAt = (ms: number) =>
        Effect.zipRight(
          TestClock.setTime(ms),
          Effect.map(cache.get(42), (cached) => dataOf(cached).status),
        )
      assert.strictEqual(yield* statusAt(startTimeMs - 100), "upcoming")
      assert.strictEqual(yield* statusAt(startTimeMs - 1), "upcoming")
      assert.strictEqual(yield* statusAt(startTimeMs), "live")
      assert.strictEqual(yield* statusAt(startTimeMs + 300), "ended")
    }).pipe(Effect.provide(layer))
  })

  it.scoped("unknown ids are remembered for seconds, within a bound, and forgotten when published", () => {
    const { layer, state } = make(() => Effect.fail(new NotFound({})))
    return Effect.gen(function* () {
      const cache = yield* ProductCache.ProductCache
      for (let i = 0; i < 100; i++) yield* Effect.flip(cache.get(42))
      assert.strictEqual(state.calls, 1)
      yield* cache.put(Messages.product())
      assert.strictEqual(dataOf(yield* cache.get(42)).id, 42)
      for (let id = 1_000; id < 1_000 + ProductCache.CAPACITY + 10; id++) yield* Effect.flip(cache.get(id))
      const calls = state.calls
      yield* Effect.flip(cache.get(1_000 + ProductCache.CAPACITY))
      assert.strictEqual(state.calls, calls)
      yield* Effect.flip(cache.get(1_000))
      assert.strictEqual(state.calls, calls + 1)
      yield* TestClock.adjust("5 seconds")
      yield* Effect.flip(cache.get(1_000))
      assert.strictEqual(state.calls, calls + 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("what failed is asked for again", () => {
    let busy = true
    const { layer } = make(() => (busy ? Effect.fail(new Busy({})) : Effect.succeed(Messages.product())))
    return Effect.gen(function* () {
      const cache = yield* ProductCache.ProductCache
      assert.strictEqual((yield* Effect.flip(cache.get(42)))._tag, "Busy")
      busy = false
      assert.strictEqual(dataOf(yield* cache.get(42)).id, 42)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("10,000 reads of unknown ids at once are one call an id", () => {
    const { layer, state } = make(() => Effect.zipRight(Effect.yieldNow(), Effect.fail(new NotFound({}))))
    return Effect.gen(function* () {
      const cache = yield* ProductCache.ProductCache
      const answers = yield* Effect.all(
        Array.from({ length: 10_000 }, (_, i) => Effect.flip(cache.get(1 + (i % 1_000)))),
        { concurrency: "unbounded" },
      )
      assert.isTrue(answers.every(({ _tag }) => _tag === "NotFound"))
      assert.strictEqual(state.calls, 1_000)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("a flood of unknown ids takes neither a product's place nor its turn, and is bounded", () => {
    const { layer } = make((id) => (id === 42n ? Effect.succeed(Messages.product()) : Effect.never))
    return Effect.gen(function* () {
      const cache = yield* ProductCache.ProductCache
      yield* cache.get(42)
      const flood = yield* Effect.fork(
        Effect.forEach(
          Array.from({ length: ProductCache.MAX_UNKNOWN_WAITING + 100 }, (_, i) => 1_000 + i),
          (id) => Effect.either(cache.get(id)),
          { concurrency: "unbounded" },
        ),
      )
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Effect.flip(cache.get(900_000)))._tag, "Busy")
      // The product's life is over, and its next reading doesn't stand in the flood's line.
      yield* TestClock.adjust("1 second")
      assert.isUndefined((yield* cache.get(42)).staleS)
      yield* Fiber.interrupt(flood)
    }).pipe(Effect.provide(layer))
  })

  it.scoped(
    "while inventory is away the last copy is served with its age, for minutes and not for ever",
    () => {
      let away = false
      const startTimeMs = 60_000
      const { layer, state } = make(() =>
        away
          ? Effect.fail(new Busy({}))
          : Effect.succeed(
              Messages.product({
                startTimeMs: BigInt(startTimeMs),
                endTimeMs: 0n,
                status: ProductStatus.UPCOMING,
              }),
            ),
      )
      return Effect.gen(function* () {
        const cache = yield* ProductCache.ProductCache
        assert.isUndefined((yield* cache.get(42)).staleS)
        away = true
        yield* TestClock.adjust("10 seconds")
        state.calls = 0
        for (let n = 0; n < 1_000; n++) assert.strictEqual((yield* cache.get(42)).staleS, 10)
        assert.strictEqual(state.calls, 1, "a crowd asks in vain once")
        assert.strictEqual(dataOf(yield* cache.get(42)).status, "upcoming")
        yield* TestClock.setTime(startTimeMs)
        assert.strictEqual(dataOf(yield* cache.get(42)).status, "live", "its status goes on with the clock")
        yield* TestClock.setTime(Degradation.MAX_STALE_MS + 1)
        assert.strictEqual((yield* Effect.flip(cache.get(42)))._tag, "Busy")
        // What was never read has no last copy.
        assert.strictEqual((yield* Effect.flip(cache.get(43)))._tag, "Busy")
        away = false
        assert.isUndefined((yield* cache.get(42)).staleS)
      }).pipe(Effect.provide(layer))
    },
  )

  it.scoped(
    "a product that inventory keeps silent about is waited for a moment, then its last copy is served",
    () => {
      let silent = false
      const { layer } = make(() => (silent ? Effect.never : Effect.succeed(Messages.product())))
      return Effect.gen(function* () {
        const cache = yield* ProductCache.ProductCache
        yield* cache.get(42)
        silent = true
        yield* TestClock.adjust("1 second")
        const read = yield* Effect.fork(cache.get(42))
        yield* TestClock.adjust("1500 millis")
        assert.strictEqual((yield* Fiber.join(read)).staleS, 3)
      }).pipe(Effect.provide(layer))
    },
  )
})
