import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Joined from "./Joined.ts"

/** Calls that wait until they are let go, and what each was asked. */
const calls = Effect.gen(function* () {
  const asked: Array<ReadonlyArray<ReadonlyArray<number>>> = []
  const gates: Array<Deferred.Deferred<string, string>> = []
  const call = (asks: ReadonlyArray<ReadonlyArray<number>>) =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<string, string>()
      asked.push(asks)
      gates.push(gate)
      return yield* Deferred.await(gate)
    })
  return { asked, gates, call }
})

const turns = Effect.promise(
  () => new Promise<void>((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve)))),
)

const options = {
  atOnce: 1,
  most: 4,
  sizeOf: (ask: ReadonlyArray<number>) => ask.length,
  keyOf: (ask: ReadonlyArray<number>) => ask[0]!,
}

describe("Joined", () => {
  it.scopedLive("what is asked in one turn is one call, whose result is everybody's", () =>
    Effect.gen(function* () {
      const { asked, call, gates } = yield* calls
      const join = yield* Joined.make({ ...options, call })
      const askers = yield* Effect.forEach([[1], [2, 3]], (ask) => Effect.fork(join(ask)))
      yield* turns
      assert.deepStrictEqual(asked, [[[1], [2, 3]]])
      yield* Deferred.succeed(gates[0]!, "done")
      assert.deepStrictEqual(yield* Effect.forEach(askers, Fiber.join), ["done", "done"])
    }),
  )

  it.scopedLive("while as many calls are under way as may be, asks gather up to what one call carries", () =>
    Effect.gen(function* () {
      const { asked, call, gates } = yield* calls
      const join = yield* Joined.make({ ...options, call })
      yield* Effect.fork(join([1]))
      yield* turns
      for (const ask of [[2], [3, 4], [5, 6], [7]]) yield* Effect.fork(join(ask))
      yield* turns
      assert.deepStrictEqual(asked, [[[1]]])
      yield* Deferred.succeed(gates[0]!, "")
      yield* turns
      assert.deepStrictEqual(asked[1], [[2], [3, 4]])
      yield* Deferred.succeed(gates[1]!, "")
      yield* turns
      assert.deepStrictEqual(asked[2], [[5, 6], [7]])
    }),
  )

  it.scopedLive("an ask that is larger than a call goes alone", () =>
    Effect.gen(function* () {
      const { asked, call } = yield* calls
      const join = yield* Joined.make({ ...options, atOnce: 2, call })
      for (const ask of [[1, 2, 3, 4, 5], [6]]) yield* Effect.fork(join(ask))
      yield* turns
      assert.deepStrictEqual(asked, [[[1, 2, 3, 4, 5]], [[6]]])
    }),
  )

  it.scopedLive("where a shared call fails each ask is made by itself, and gets its own result", () =>
    Effect.gen(function* () {
      const { asked, call, gates } = yield* calls
      const join = yield* Joined.make({ ...options, call })
      const one = yield* Effect.fork(join([1]))
      const two = yield* Effect.fork(Effect.flip(join([2])))
      yield* turns
      yield* Deferred.fail(gates[0]!, "away")
      yield* turns
      assert.deepStrictEqual(asked, [[[1], [2]], [[1]], [[2]]])
      yield* Deferred.succeed(gates[1]!, "done")
      yield* Deferred.fail(gates[2]!, "two is away")
      assert.strictEqual(yield* Fiber.join(one), "done")
      assert.strictEqual(yield* Fiber.join(two), "two is away")
    }),
  )

  it.scopedLive("whose ask failed by itself goes by itself until it succeeds, and holds up nobody", () =>
    Effect.gen(function* () {
      const { asked, call, gates } = yield* calls
      const join = yield* Joined.make({ ...options, call })
      const failed = yield* Effect.fork(Effect.flip(join([1])))
      yield* turns
      yield* Deferred.fail(gates[0]!, "away")
      yield* Fiber.join(failed)

      const again = yield* Effect.fork(join([1]))
      const other = yield* Effect.fork(join([2]))
      yield* turns
      assert.deepStrictEqual(asked.slice(1), [[[1]], [[2]]])
      yield* Deferred.succeed(gates[2]!, "done")
      assert.strictEqual(yield* Fiber.join(other), "done")
      yield* Deferred.succeed(gates[1]!, "back")
      assert.strictEqual(yield* Fiber.join(again), "back")

      yield* Effect.fork(join([1]))
      yield* Effect.fork(join([2]))
      yield* turns
      assert.deepStrictEqual(asked[3], [[1], [2]])
    }),
  )

  it.scopedLive(
    "who leaves before the call takes the ask back; who leaves during it doesn't end it for others",
    () =>
      Effect.gen(function* () {
        const { asked, call, gates } = yield* calls
        const join = yield* Joined.make({ ...options, call })
        const leaver = yield* Effect.fork(join([1]))
        const stayer = yield* Effect.fork(join([2]))
        yield* turns
        const early = yield* Effect.fork(join([3]))
        const late = yield* Effect.fork(join([4]))
        yield* turns
        yield* Fiber.interrupt(leaver)
        yield* Fiber.interrupt(early)
        yield* Deferred.succeed(gates[0]!, "done")
        assert.strictEqual(yield* Fiber.join(stayer), "done")
        yield* turns
        assert.deepStrictEqual(asked, [[[1], [2]], [[4]]])
        yield* Fiber.interrupt(late)
      }),
  )
})
