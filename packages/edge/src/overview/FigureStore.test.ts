/** What edges count together, on a real Redis. */
import { assert, layer } from "@effect/vitest"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as FigureStore from "./FigureStore.ts"

layer(TestRedis.layer, { excludeTestServices: true })("the figures of all edges", (it) => {
  it.effect("add up, step by step, and are forgotten after their hour", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([FigureStore.make, FigureStore.make])
      yield* one.add(
        new Map([
          [100, { asked: 5, t3: 1 }],
          [101, { asked: 1 }],
        ]),
      )
      yield* two.add(new Map([[100, { asked: 7, accepted: 2 }]]))
      assert.deepStrictEqual(
        [...(yield* two.read(99, 101))],
        [
          [100, { asked: 12, t3: 1, accepted: 2 }],
          [101, { asked: 1 }],
        ],
      )
      assert.deepStrictEqual([...(yield* one.read(101, 461))], [[101, { asked: 1 }]])
      const server = yield* TestRedis.TestRedisServer
      const left = Number((yield* server.command("TTL {overview}:100")).slice(1))
      assert.isAtMost(left, 3_900)
      assert.isAtLeast(left, 3_600)
    }),
  )
})
