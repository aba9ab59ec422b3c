/** Waiting rooms on a real Redis. */
import { assert, layer } from "@effect/vitest"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as QueueStore from "./QueueStore.ts"

const live = { excludeTestServices: true } as const

let products = 0
const roomOf = (more: Partial<QueueStore.Room> = {}): QueueStore.Room => ({
  productId: ++products,
  startMs: Date.now(),
  rate: 1_000,
  capacity: 10_000,
  ...more,
})

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)

const joinAll = (store: QueueStore.QueueStore["Type"], room: QueueStore.Room, users: ReadonlyArray<number>) =>
  Effect.forEach(users, (user) => store.join(room, user), { concurrency: 256 })

layer(TestRedis.layer, live)("the waiting room", (it) => {
  it.scoped(
    "5,000 are let in once each: the first second's by lot, then in the order in which they came",
    () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.TestRedisServer
        // Two edges, one room.
        const [one, two] = yield* Effect.all([QueueStore.make, QueueStore.make])
        const room = roomOf({ startMs: Date.now() + 2_500, rate: 2_500 })
        const early = range(1, 2_000)
        yield* joinAll(one, room, early)
        const waiting = yield* Effect.map(one.ask(room, 1), (place) => place._tag)
        assert.strictEqual(waiting, "Waiting", "nobody is let in before the first second is over")
        yield* Effect.sleep(Math.max(0, room.startMs + 1_000 - Date.now()) + 30)
        const late = range(10_001, 3_000)
        // One after the other, from both edges, or there is no order to check.
        for (const [i, user] of late.entries()) yield* (i % 2 === 0 ? one : two).join(room, user)

        // People ask again and again; that is what lets them in.
        const admitted: Array<number> = []
        const seen = new Map<number, number>()
        const everyone = [...early, ...late]
        for (let round = 0; round < 100 && seen.size < everyone.length; round++) {
          const places = yield* Effect.forEach(
            everyone.filter((user) => !seen.has(user)),
            (user) => Effect.map(two.ask(room, user), (place) => [user, place] as const),
            { concurrency: 256 },
          )
          for (const [user, place] of places) {
            if (place._tag !== "Admitted") continue
            seen.set(user, place.sinceMs)
            admitted.push(user)
          }
        }
        assert.strictEqual(seen.size, 5_000, "nobody is lost")
        assert.strictEqual(new Set(admitted).size, 5_000, "nobody comes in twice")
        assert.strictEqual(yield* server.command(`ZCARD queue:{${room.productId}}:waiting`), ":0")
        assert.strictEqual(yield* server.command(`ZCARD queue:{${room.productId}}:admitted`), ":5000")

        const at = (user: number) => seen.get(user)!
        const lastEarly = Math.max(...early.map(at))
        for (const user of late) assert.isAtLeast(at(user), lastEarly, "the first second goes first")
        for (let i = 1; i < late.length; i++) assert.isAtLeast(at(late[i]!), at(late[i - 1]!))
        // By lot: who came first in the first second isn't let in first. With 2,000 places that is no accident.
        const firstHalf = early.filter((user) => at(user) < [...early.map(at)].sort((x, y) => x - y)[1_000]!)
        const fromFront = firstHalf.filter((user) => user <= 1_000).length
        assert.isTrue(
          fromFront > 0.35 * firstHalf.length && fromFront < 0.65 * firstHalf.length,
          `${fromFront} of ${firstHalf.length}`,
        )
      }),
  )

  it.scoped("lets in at the pace of the product, and whoever is in line keeps their place", () =>
    Effect.gen(function* () {
      const store = yield* QueueStore.make
      const room = roomOf({ startMs: Date.now() - 60_000, rate: 100 })
      yield* joinAll(store, room, range(1, 300))
      const before = yield* store.ask(room, 300)
      assert.strictEqual(before._tag, "Waiting")
      const again = yield* store.join(room, 300)
      assert.deepStrictEqual(
        again._tag === "Waiting" && before._tag === "Waiting" && again.ahead <= before.ahead,
        true,
      )
      const count = Effect.map(
        Effect.forEach(range(1, 300), (user) => store.ask(room, user), { concurrency: 64 }),
        (places) => places.filter(({ _tag }) => _tag === "Admitted").length,
      )
      yield* Effect.sleep(1_050)
      const beganMs = Date.now()
      const first = yield* count
      yield* Effect.sleep(500)
      const second = yield* count
      const tookMs = Date.now() - beganMs
      assert.isAbove(second, first)
      assert.isAtMost(second - first, Math.ceil((tookMs * 100) / 1_000) + 1)
    }),
  )

  it.scoped("is no longer than its bound, and says so at once", () =>
    Effect.gen(function* () {
      const store = yield* QueueStore.make
      const room = roomOf({ capacity: 6, startMs: Date.now() + 60_000 })
      const places = yield* joinAll(store, room, range(1, 20))
      assert.strictEqual(places.filter(({ _tag }) => _tag === "Full").length, 14)
      assert.strictEqual(places.filter(({ _tag }) => _tag === "Waiting").length, 6)
      const refused = range(1, 20)[places.findIndex(({ _tag }) => _tag === "Full")]!
      const asked = yield* store.ask(room, refused)
      assert.strictEqual(asked._tag, "Absent")
      // Sold out meanwhile: whoever waits is still in line, nobody joins.
      assert.strictEqual((yield* store.join({ ...room, capacity: 0 }, 99))._tag, "Full")
    }),
  )

  it.scoped("asking doesn't make a room", () =>
    Effect.gen(function* () {
      const store = yield* QueueStore.make
      const server = yield* TestRedis.TestRedisServer
      const room = roomOf()
      assert.strictEqual((yield* store.ask(room, 7))._tag, "Absent")
      assert.strictEqual(yield* server.command(`EXISTS queue:{${room.productId}}:room`), ":0")
    }),
  )
})
