import { assert, layer } from "@effect/vitest"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Journal from "./Journal.ts"

const order = (n: number): Journal.Entry => ({
  orders: [[7, `n${n}`, "unpaid", 1, "2026-01-01T00:00:00.000Z"]],
})

layer(Journal.layer.pipe(Layer.provideMerge(TestRedis.layer)), { excludeTestServices: true })(
  "the journal on a real Redis",
  (it) => {
    it.effect("gives back in order what was written, and what came after; lost entries leave a gap", () =>
      Effect.gen(function* () {
        const journal = yield* Journal.Journal
        const server = yield* TestRedis.TestRedisServer
        for (let n = 1; n <= 3; n++) yield* journal.append(order(n))
        yield* journal.append({ stream_id: "a.b.c", topics: ["orders"] })
        const all = yield* journal.all
        assert.deepStrictEqual(
          all.map(({ entry, number }) => [number, entry]),
          [
            [1, order(1)],
            [2, order(2)],
            [3, order(3)],
            [4, { stream_id: "a.b.c", topics: ["orders"] }],
          ],
        )
        const after = yield* journal.after(all[1]!.id)
        assert.deepStrictEqual(
          after.map(({ number }) => number),
          [3, 4],
        )
        assert.deepStrictEqual(yield* journal.after(all[3]!.id), [])

        yield* server.flushall
        yield* journal.append(order(9))
        const [found] = yield* journal.after(all[3]!.id)
        assert.strictEqual(
          found?.number,
          1,
          "another step than one: its readers know that they missed something",
        )
      }),
    )

    it.effect("a ticket's value can be taken once", () =>
      Effect.gen(function* () {
        const journal = yield* Journal.Journal
        yield* journal.keepOnce("k", "v", 30)
        assert.deepStrictEqual(yield* Effect.all([journal.takeOnce("k"), journal.takeOnce("k")]), ["v", null])
      }),
    )
  },
)
