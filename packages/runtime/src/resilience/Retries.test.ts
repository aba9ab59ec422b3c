import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { defaults, Retries } from "./Retries.ts"

const always = () => true

describe("Retries", () => {
  it.effect("tries at most four times, and ends with the last error", () =>
    Effect.gen(function* () {
      const { apply } = yield* Retries
      let attempts = 0
      const failing = Effect.suspend(() => Effect.fail(++attempts))
      assert.strictEqual(yield* Effect.flip(apply("grpc.unary", "identity", always)(failing)), 4)
      for (const policy of Object.values(defaults)) assert.isAtMost(policy.attempts, 4)
    }).pipe(Effect.provide(Retries.layerTest)),
  )

  it.effect("stops at the first success", () =>
    Effect.gen(function* () {
      const { apply } = yield* Retries
      let attempts = 0
      const second = Effect.suspend(() => (++attempts < 2 ? Effect.fail("busy") : Effect.succeed(attempts)))
      assert.strictEqual(yield* apply("grpc.unary", "identity", always)(second), 2)
    }).pipe(Effect.provide(Retries.layerTest)),
  )

  it.effect("doesn't repeat what isn't retryable, nor charge for it", () =>
    Effect.gen(function* () {
      const { apply, tokens } = yield* Retries
      let attempts = 0
      const failing = Effect.suspend(() => Effect.fail(`no ${++attempts}`))
      assert.strictEqual(yield* Effect.flip(apply("grpc.unary", "identity", () => false)(failing)), "no 1")
      assert.strictEqual(tokens("grpc.unary", "identity"), 100)
    }).pipe(Effect.provide(Retries.layerTest)),
  )

  it.effect("pauses at random, never longer than the doubling bound", () =>
    Effect.gen(function* () {
      const { apply } = yield* Retries
      const { base_ms, cap_ms } = defaults["grpc.unary"]
      const first: Array<number> = []
      // Few enough that the budget isn't what stops them.
      for (let run = 0; run < 12; run++) {
        const at: Array<number> = []
        const failing = Effect.flatMap(Clock.currentTimeMillis, (now) => {
          at.push(now)
          return Effect.fail("busy")
        })
        const fiber = yield* Effect.fork(Effect.exit(apply("grpc.unary", "identity", always)(failing)))
        for (let pause = 1; pause < 4; pause++) {
          yield* TestClock.adjust("0 millis")
          yield* TestClock.setTime(Math.max(...(yield* TestClock.sleeps())))
        }
        yield* Fiber.join(fiber)
        assert.lengthOf(at, 4)
        for (let n = 1; n < at.length; n++) {
          assert.isAtMost(at[n]! - at[n - 1]!, Math.min(cap_ms, base_ms * 2 ** (n - 1)) + 1)
        }
        first.push(at[1]! - at[0]!)
      }
      assert.isAbove(new Set(first).size, 4, "the pauses differ")
    }).pipe(Effect.provide(Retries.layer)),
  )

  it.effect("stops retrying a dependency that is down, and starts again when it has recovered", () =>
    Effect.gen(function* () {
      const { apply, tokens } = yield* Retries
      let attempts = 0
      let down = true
      const call = apply(
        "grpc.unary",
        "identity",
        always,
      )(
        Effect.suspend(() => {
          attempts++
          return down ? Effect.fail("down") : Effect.void
        }),
      )

      for (let n = 0; n < 100; n++) yield* Effect.exit(call)
      // 12 calls in full (48 tokens), one cut short; then one attempt a call.
      assert.isAtMost(attempts, 100 + 3 * 13)
      assert.isAtMost(tokens("grpc.unary", "identity"), 50)

      attempts = 0
      yield* Effect.exit(call)
      assert.strictEqual(attempts, 1)

      down = false
      for (let n = 0; n < 600; n++) yield* call
      down = true
      attempts = 0
      yield* Effect.exit(call)
      assert.strictEqual(attempts, 4)
      assert.strictEqual(tokens("grpc.unary", "payment"), 100, "each peer has a budget of its own")
    }).pipe(Effect.provide(Retries.layerTest)),
  )
})
