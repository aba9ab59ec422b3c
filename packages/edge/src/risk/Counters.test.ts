/** Counters on a real Redis: shared by edges, exact for members but for one an edge, and never in anybody's way. */
import { assert, layer } from "@effect/vitest"
import { RedisUnavailable } from "@floodgate/runtime/redis/RedisError"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Counters from "./Counters.ts"
import * as WindowStore from "./WindowStore.ts"

let keys = 0
const fresh = (): string => `key-${process.pid}-${++keys}`

const over = (store: WindowStore.WindowStore["Type"]) =>
  Counters.make().pipe(
    Effect.map(({ of }) => of("test")),
    Effect.provideService(WindowStore.WindowStore, store),
    Logger.withMinimumLogLevel(LogLevel.None),
  )
const newEdge = Effect.flatMap(WindowStore.make(5_000), over)

const see = (counter: Counters.Counter, key: string, member: string, windowMs: number, max: number) =>
  Effect.async<WindowStore.Seen>((resume) => {
    const seen = counter.member(key, member, windowMs)
    if (seen !== Counters.ASK) resume(Effect.succeed(seen))
    else counter.askMember(key, member, windowMs, max, (answer) => resume(Effect.succeed(answer)))
  })

const away = WindowStore.WindowStore.of({
  hits: () => new RedisUnavailable({ op: "hits", reason: "a test" }),
  members: () => new RedisUnavailable({ op: "members", reason: "a test" }),
})

layer(TestRedis.layer, { excludeTestServices: true })("risk counters", (it) => {
  it.scoped(
    "members: no more than allowed on two edges, whoever was let in stays in, and room comes back",
    () =>
      Effect.gen(function* () {
        const [one, two] = yield* Effect.all([newEdge, newEdge])
        const key = fresh()
        const asked = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, i) => i),
          (i) => see(i % 2 === 0 ? one : two, key, `m${i}`, 1_500, 5),
        )
        const through = asked.filter(({ waitMs }) => waitMs === 0).length
        assert.isTrue(through >= 5 && through <= 6, `${through} were let in`)
        const refused = asked.find(({ waitMs }) => waitMs > 0)!
        assert.isAtMost(refused.waitMs, 1_500)
        assert.strictEqual((yield* see(one, key, "m0", 1_500, 5)).waitMs, 0)
        yield* Effect.sleep(1_700)
        assert.strictEqual((yield* see(two, key, "m29", 1_500, 5)).waitMs, 0)
      }),
  )

  it.scoped("hits: what one edge counts, the other hears of", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([newEdge, newEdge])
      const key = fresh()
      for (let i = 0; i < 10; i++) assert.strictEqual(one.hit(key, 60_000, 20).waitMs, 0)
      // The first hit was told at once, the others with the next one after a while.
      yield* Effect.sleep(Counters.TELL_MS + 50)
      one.hit(key, 60_000, 20)
      // Whatever it counts beyond its own is the other's.
      let own = 1
      let count = two.hit(key, 60_000, 1_000).count
      for (let tries = 0; tries < 500 && count - own < 11; tries++) {
        yield* Effect.sleep(20)
        count = two.hit(key, 60_000, 1_000).count
        own++
      }
      assert.isAtLeast(count - own, 11)
      assert.isAbove(two.hit(key, 60_000, 11).waitMs, 0)
    }),
  )

  it.scoped("while Redis is away an edge goes by what it has seen itself, at once", () =>
    Effect.gen(function* () {
      const alone = yield* over(away)
      const key = fresh()
      const asked = yield* Effect.forEach(
        Array.from({ length: 8 }, (_, i) => `m${i}`),
        (member) => see(alone, key, member, 60_000, 5),
      )
      assert.deepStrictEqual(
        asked.map(({ waitMs }) => waitMs === 0),
        [true, true, true, true, true, false, false, false],
      )
      const hits = Array.from({ length: 8 }, () => alone.hit(fresh.name, 60_000, 5).waitMs === 0)
      assert.deepStrictEqual(hits, [true, true, true, true, true, false, false, false])
    }),
  )
})
