/** Limits on a real Redis: exact where they have to be, shared by edges, and never in anybody's way when Redis is gone. */
import { assert, describe, layer } from "@effect/vitest"
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Bucket from "./Bucket.ts"
import * as BucketStore from "./BucketStore.ts"
import * as Limiter from "./Limiter.ts"
import { LimitSettings } from "./LimitSettings.ts"
import { table } from "./LimitTable.ts"

const live = { excludeTestServices: true } as const

/** Limits as the table has them, but for those given (tokens a second). */
const settings = (changed: Partial<Record<LimitName, Bucket.Rate>> = {}) => {
  let epoch = 1
  const rates = { ...changed }
  return {
    raise: (name: LimitName, rate: Bucket.Rate) => {
      rates[name] = rate
      epoch++
    },
    service: LimitSettings.of({
      rateOf: (name) =>
        rates[name] ?? { rate: table[name].rate / table[name].periodS, burst: table[name].burst },
      epoch: () => epoch,
      change: () => Effect.die("not here"),
      list: Effect.succeed([]),
    }),
  }
}

/** A busy test machine isn't what most of these tests are about. */
const PATIENT_MS = 5_000

/** An edge of its own, as far as limits are concerned. */
const newEdge = (own = settings(), deadlineMs = PATIENT_MS) =>
  Effect.flatMap(BucketStore.make(deadlineMs), (store) =>
    Limiter.make().pipe(
      Effect.provideService(BucketStore.BucketStore, store),
      Effect.provideService(LimitSettings, own.service),
      Logger.withMinimumLogLevel(LogLevel.None),
    ),
  )

let keys = 0
/** A key that nobody has used. */
const fresh = (): string => `key-${process.pid}-${++keys}`

const ask = (limiter: Limiter.Limiter["Type"], name: LimitName, key: string | number) =>
  Effect.async<number>((resume) => {
    limiter.wait(name, key, (waitMs) => resume(Effect.succeed(waitMs)))
  })

const askMany = (limiter: Limiter.Limiter["Type"], name: LimitName, key: string, times: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: times }), () => ask(limiter, name, key), {
      concurrency: "unbounded",
    }),
    (waits) => ({
      through: waits.filter((ms) => ms === 0).length,
      waits: waits.filter((ms) => ms > 0),
    }),
  )

layer(TestRedis.layer, live)("limits on Redis", (it) => {
  describe("the script", () => {
    it.scoped("leases what the arithmetic of this edge leases", () =>
      Effect.gen(function* () {
        const store = yield* BucketStore.make(PATIENT_MS)
        const arbitrary = FastCheck.array(
          FastCheck.record({
            spent: FastCheck.integer({ min: -2, max: 5 }),
            wanted: FastCheck.integer({ min: 0, max: 12 }),
          }),
          { minLength: 1, maxLength: 12 },
        )
        for (const steps of FastCheck.sample(arbitrary, { numRuns: 60, seed: 11 })) {
          // So slow that nothing comes back while the test runs.
          const rate = { rate: 0.001, burst: 20 }
          const key = fresh()
          let state = Bucket.full(0)
          for (const { spent, wanted } of steps) {
            const [next, expected] = Bucket.lease(state, rate, 0, spent, wanted)
            state = next
            const got = yield* store.draw({ key, rate, spent, wanted, shared: false })
            assert.strictEqual(got.leased, expected.leased)
            assert.strictEqual(got.left, expected.left)
            assert.approximately(got.waitMs, expected.waitMs, 5_000)
            assert.strictEqual(got.waitMs === 0, expected.waitMs === 0)
          }
        }
      }),
    )

    it.scoped("refills with time, by Redis' clock, and leaves nothing behind", () =>
      Effect.gen(function* () {
        const store = yield* BucketStore.make(PATIENT_MS)
        const server = yield* TestRedis.TestRedisServer
        const rate = { rate: 1_000, burst: 20 }
        const key = fresh()
        const draw = store.draw({ key, rate, spent: 0, wanted: 20, shared: false })
        assert.strictEqual((yield* draw).leased, 20)
        yield* Effect.sleep(30)
        assert.strictEqual((yield* draw).leased, 20)
        const ttl = yield* server.command(`PTTL limit:${key}`)
        assert.isBelow(Number(ttl.slice(1)), 1_100)
      }),
    )

    it.scoped("edges that draw from the same key get a part each, and one alone gets all", () =>
      Effect.gen(function* () {
        const [a, b] = yield* Effect.all([BucketStore.make(PATIENT_MS), BucketStore.make(PATIENT_MS)])
        const rate = { rate: 0.01, burst: 1_000 }
        const key = fresh()
        const draw = (store: BucketStore.BucketStore["Type"], wanted: number) =>
          Effect.map(store.draw({ key, rate, spent: 0, wanted, shared: true }), ({ leased }) => leased)
        assert.strictEqual(yield* draw(a, 200), 200)
        // Now there are two: none may take more than half of what is there.
        assert.strictEqual(yield* draw(b, 1_000), 400)
        assert.strictEqual(yield* draw(a, 1_000), 200)
        assert.strictEqual(yield* draw(b, 1_000), 100)
      }),
    )
  })

  it.scoped(
    "a user's burst is let through to the last token, however many come at once, and not one more",
    () =>
      Effect.gen(function* () {
        const own = settings({ "seckill-user": { rate: 0.2, burst: 20 } })
        const limiter = yield* newEdge(own)
        const { through, waits } = yield* askMany(limiter, "seckill-user", fresh(), 100)
        assert.strictEqual(through, 20)
        assert.lengthOf(waits, 80)
        for (const ms of waits) assert.isTrue(ms > 1_000 && ms <= 5_000, `${ms}`)
      }),
  )

  it.scoped(
    "two edges let through a block each too many at most, and nothing too many where a limit is exact",
    () =>
      Effect.gen(function* () {
        const own = settings({ "seckill-user": { rate: 0.01, burst: 20 }, pay: { rate: 0.01, burst: 10 } })
        const [a, b] = yield* Effect.all([newEdge(own), newEdge(own)])
        const both = (name: LimitName) =>
          Effect.gen(function* () {
            const key = fresh()
            const taken = yield* Effect.all([askMany(a, name, key, 60), askMany(b, name, key, 60)], {
              concurrency: 2,
            })
            return taken[0].through + taken[1].through
          })
        assert.strictEqual(yield* both("pay"), 10)
        const through = yield* both("seckill-user")
        assert.isTrue(through >= 20 && through <= 25, `${through}`)
      }),
  )

  it.scoped("a flood costs Redis next to nothing, and passes at the rate of the limit", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.TestRedisServer
      const own = settings({ "seckill-product": { rate: 500, burst: 100 } })
      const limiter = yield* newEdge(own)
      const commands = Effect.map(
        server.command(
          `EVAL "return tonumber(string.match(redis.call('INFO','stats'),'total_commands_processed:(%d+)'))" 0`,
        ),
        (answer) => Number(answer.slice(1)),
      )
      const before = yield* commands
      const beganMs = performance.now()
      let through = 0
      let asked = 0
      const key = fresh()
      while (performance.now() - beganMs < 1_000) {
        for (let i = 0; i < 200; i++) {
          asked++
          limiter.wait("seckill-product", key, (waitMs) => {
            if (waitMs === 0) through++
          })
        }
        yield* Effect.sleep(1)
      }
      const tookMs = performance.now() - beganMs
      assert.isAbove(asked, 10_000)
      assert.isBelow((yield* commands) - before, 1_500)
      // The burst, what the time is worth, and a block on credit.
      assert.isAtMost(through, 100 + (500 * tookMs) / 1_000 + 10)
      assert.isAtLeast(through, 350)
    }),
  )

  it.scoped("nobody is asked about people who click now and then, and everything about those who hurry", () =>
    Effect.gen(function* () {
      let nowMs = 0
      const draws: Array<number> = []
      const store = BucketStore.BucketStore.of({
        draw: ({ spent, wanted }) =>
          Effect.sync(() => {
            draws.push(spent)
            return { leased: wanted, waitMs: 0, left: 20 - spent - wanted, fullMs: 0 }
          }),
      })
      const limiter = yield* Limiter.make({ nowMs: () => nowMs }).pipe(
        Effect.provideService(BucketStore.BucketStore, store),
        Effect.provideService(LimitSettings, settings({ "seckill-user": { rate: 5, burst: 20 } }).service),
      )
      // Three within the 4 s that the bucket takes to fill, for a minute and a half.
      for (; nowMs < 90_000; nowMs += 1_900)
        assert.strictEqual(yield* ask(limiter, "seckill-user", "slow"), 0)
      assert.lengthOf(draws, 0)
      // Eight in them: the credit, and never again.
      const clicks = 160
      for (let i = 0; i < clicks; i++) {
        assert.strictEqual(yield* ask(limiter, "seckill-user", "fast"), 0)
        nowMs += 500
        yield* Effect.yieldNow()
        yield* Effect.sleep(1)
      }
      const told = draws.reduce((sum, spent) => sum + spent, 0)
      assert.isAtLeast(draws.length, clicks / 5 - 2)
      assert.isAtMost(told, 5)
      assert.isAtLeast(told, 3)
    }),
  )

  it.scoped("what was given back counts for nothing", () =>
    Effect.gen(function* () {
      const own = settings({ "login-failures": { rate: 0.001, burst: 3 } })
      const limiter = yield* newEdge(own)
      const key = fresh()
      for (let i = 0; i < 20; i++) {
        assert.strictEqual(yield* ask(limiter, "login-failures", key), 0, `${i}`)
        limiter.giveBack("login-failures", key)
        yield* Effect.sleep(5)
      }
      assert.strictEqual((yield* askMany(limiter, "login-failures", key, 10)).through, 3)
    }),
  )

  it.scoped("a raised limit is in force with the next request", () =>
    Effect.gen(function* () {
      const own = settings({ pay: { rate: 0.001, burst: 1 } })
      const limiter = yield* newEdge(own)
      const key = fresh()
      assert.strictEqual((yield* askMany(limiter, "pay", key, 5)).through, 1)
      own.raise("pay", { rate: 0.001, burst: 4 })
      assert.strictEqual((yield* askMany(limiter, "pay", key, 5)).through, 3)
    }),
  )

  it.scoped("tells what is left, and when all of it is back", () =>
    Effect.gen(function* () {
      const own = settings({ "seckill-user": { rate: 1, burst: 20 } })
      const limiter = yield* newEdge(own)
      const key = fresh()
      assert.deepStrictEqual(yield* limiter.left("seckill-user", key), {
        name: "seckill-user",
        remaining: 20,
        resetInMs: 0,
      })
      yield* askMany(limiter, "seckill-user", key, 7)
      const { remaining, resetInMs } = yield* limiter.left("seckill-user", key)
      assert.strictEqual(remaining, 13)
      assert.isTrue(resetInMs > 6_000 && resetInMs <= 7_000, `${resetInMs}`)
    }),
  )

  // The last one: it stops the server.
  it.scoped("while Redis stands still or is gone, each edge limits by itself, and nobody waits", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.TestRedisServer
      const own = settings({ pay: { rate: 0.001, burst: 4 }, "seckill-user": { rate: 0.001, burst: 20 } })
      const limiter = yield* newEdge(own, BucketStore.DEADLINE_MS)
      yield* server.pause
      const first = performance.now()
      const key = fresh()
      assert.strictEqual((yield* askMany(limiter, "pay", key, 9)).through, 4)
      assert.isBelow(performance.now() - first, 1_000)
      const next = performance.now()
      assert.strictEqual((yield* askMany(limiter, "pay", key, 9)).through, 0)
      assert.strictEqual((yield* askMany(limiter, "seckill-user", fresh(), 50)).through, 20)
      assert.isBelow(performance.now() - next, 300)
      yield* server.resume
      yield* server.kill
      assert.strictEqual((yield* askMany(limiter, "pay", fresh(), 9)).through, 4)
      yield* server.start
      // Shared again: what one edge has taken, another finds missing.
      const other = yield* newEdge(own, BucketStore.DEADLINE_MS)
      const shared = Effect.gen(function* () {
        const again = fresh()
        const taken = yield* askMany(limiter, "pay", again, 4)
        const left = yield* askMany(other, "pay", again, 4)
        return taken.through === 4 && left.through === 0
      })
      let isShared = false
      for (let i = 0; i < 100 && !isShared; i++) {
        yield* Effect.sleep(50)
        isShared = yield* shared
      }
      assert.isTrue(isShared)
    }),
  )
})
