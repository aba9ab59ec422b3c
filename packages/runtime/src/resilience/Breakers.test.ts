import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/TestClock"
import { Breakers, defaults, gate, open, through, timedOut } from "./Breakers.ts"

class Away {
  readonly _tag = "Away"
}
class Taken {
  readonly _tag = "Taken"
}
class Refused {
  readonly _tag = "Refused"
  readonly waitMs: number
  constructor(waitMs: number) {
    this.waitMs = waitMs
  }
}

const guarded = Effect.map(gate("redis", "test"), (breaker) =>
  through(
    breaker,
    500,
    (error: Away | Taken) => (error._tag === "Away" ? "failed" : "answered"),
    (waitMs) => new Refused(waitMs),
  ),
)

const fails: Effect.Effect<never, Away | Taken> = Effect.fail(new Away())

describe("Breakers", () => {
  it.scoped("a dependency that fails is left alone at once, and found again by itself", () => {
    const lines: Array<unknown> = []
    const log = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => {
        lines.push([logLevel.label, ...(message as ReadonlyArray<unknown>)])
      }),
    )
    return Effect.gen(function* () {
      const breakers = yield* Breakers
      const through = yield* guarded
      let calls = 0
      const call = through(
        Effect.suspend(() => {
          calls++
          return fails
        }),
      )
      for (let n = 0; n < defaults.redis.minimum; n++) {
        assert.strictEqual((yield* Effect.flip(call))._tag, "Away")
      }
      const refused = yield* Effect.flip(call)
      assert.deepStrictEqual(refused, new Refused(defaults.redis.open_ms))
      assert.strictEqual(calls, defaults.redis.minimum)
      const status = breakers.states()["redis:test"]!
      assert.strictEqual(status.state, "open")
      assert.strictEqual(status.wait_ms, defaults.redis.open_ms)
      assert.strictEqual(status.refused, 1)
      assert.strictEqual(status.opened, 1)

      yield* TestClock.adjust(defaults.redis.open_ms)
      for (let n = 0; n < 2; n++) yield* through(Effect.void)
      assert.strictEqual(breakers.states()["redis:test"]!.state, "closed")
      for (let n = 0; n < 10; n++) yield* Effect.yieldNow()
      assert.deepStrictEqual(lines, [
        ["WARN", "breaker opened: calls are refused at once"],
        ["WARN", "breaker half open: a few calls find out"],
        ["WARN", "breaker closed: calls go through again"],
      ])
    }).pipe(Effect.provide(Layer.provideMerge(Breakers.layerTest, log)))
  })

  it.scoped("an error that is an answer, a defect of ours and an interruption don't open it", () =>
    Effect.gen(function* () {
      const breakers = yield* Breakers
      const through = yield* guarded
      for (let n = 0; n < 50; n++) {
        yield* Effect.exit(through(Effect.fail(new Taken())))
        yield* Effect.exit(through(Effect.die("ours")))
        const fiber = yield* Effect.fork(through(Effect.never))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
      }
      const { calls, failed, state } = breakers.states()["redis:test"]!
      assert.deepStrictEqual(
        { calls, failed, state },
        { calls: defaults.redis.window, failed: 0, state: "closed" },
      )
    }).pipe(Effect.provide(Breakers.layerTest)),
  )

  it.scoped("the same name is the same breaker, another instance another", () =>
    Effect.gen(function* () {
      const breakers = yield* Breakers
      assert.strictEqual(breakers.gate("grpc", "identity"), breakers.gate("grpc", "identity"))
      assert.notStrictEqual(breakers.gate("grpc", "identity"), breakers.gate("grpc", "payment"))
      assert.deepStrictEqual(Object.keys(breakers.states()), ["grpc:identity", "grpc:payment"])
    }).pipe(Effect.provide(Breakers.layerTest)),
  )

  it.effect("without the service everything goes through", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* gate("mysql"), open)
      const through = yield* guarded
      for (let n = 0; n < 100; n++) assert.strictEqual((yield* Effect.flip(through(fails)))._tag, "Away")
    }),
  )

  it("a time-out is ours to blame where the limit was too short to tell, or our own timer late", () => {
    assert.strictEqual(timedOut(900, 500), "failed")
    assert.strictEqual(timedOut(1_001, 500), "ignored")
    assert.strictEqual(timedOut(52, 50), "ignored")
  })
})
