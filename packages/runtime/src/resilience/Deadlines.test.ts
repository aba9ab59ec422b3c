import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { DeadlineExceeded, Deadlines, defaults } from "./Deadlines.ts"

const expired = Exit.fail(new DeadlineExceeded({ op: "redis.command", deadline_ms: 500 }))

/** Starts an effect, lets the deadline of redis.command pass, and takes what it came to. */
const afterDeadline = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust("499 millis")
    assert.isNull(yield* Effect.map(Fiber.poll(fiber), (exit) => (exit._tag === "Some" ? exit.value : null)))
    yield* TestClock.adjust("1 millis")
    return yield* Fiber.await(fiber)
  })

describe("Deadlines", () => {
  it.effect("fails what takes too long, and interrupts it", () =>
    Effect.gen(function* () {
      const deadlines = yield* Deadlines
      let interrupted = false
      const slow = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (interrupted = true)))
      assert.deepStrictEqual(yield* afterDeadline(deadlines.within("redis.command")(slow)), expired)
      assert.isTrue(interrupted)
    }).pipe(Effect.provide(Deadlines.layer)),
  )

  it.effect("lets results and errors through", () =>
    Effect.gen(function* () {
      const { within } = yield* Deadlines
      assert.strictEqual(yield* within("mysql.query")(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(within("mysql.query")(Effect.fail("no"))), "no")
    }).pipe(Effect.provide(Deadlines.layer)),
  )

  it.effect("answers in time when the work can't be interrupted", () =>
    Effect.gen(function* () {
      const { within } = yield* Deadlines
      let finished = false
      const stubborn = Effect.uninterruptible(
        Effect.delay(
          Effect.sync(() => (finished = true)),
          "10 seconds",
        ),
      )
      assert.deepStrictEqual(yield* afterDeadline(within("redis.command")(stubborn)), expired)
      assert.isFalse(finished)
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(finished, "the work goes on by itself")
    }).pipe(Effect.provide(Deadlines.layer)),
  )

  it.effect("holds inside an uninterruptible region", () =>
    Effect.gen(function* () {
      const { within } = yield* Deadlines
      const region = Effect.uninterruptible(Effect.exit(within("redis.command")(Effect.never)))
      assert.deepStrictEqual(yield* Effect.flatten(afterDeadline(region)), expired)
    }).pipe(Effect.provide(Deadlines.layer)),
  )

  it.effect("an interrupted caller interrupts the work and leaves at once", () =>
    Effect.gen(function* () {
      const { within } = yield* Deadlines
      let interrupted = false
      const work = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (interrupted = true)))
      const fiber = yield* Effect.fork(within("redis.command")(work))
      yield* TestClock.adjust("1 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 millis")
      assert.isTrue(interrupted)
    }).pipe(Effect.provide(Deadlines.layer)),
  )

  it.effect("work in an uninterruptible region outlives its caller's interruption", () =>
    Effect.gen(function* () {
      const { within } = yield* Deadlines
      let finished = false
      const work = Effect.delay(
        Effect.sync(() => (finished = true)),
        "400 millis",
      )
      const fiber = yield* Effect.fork(Effect.uninterruptible(within("redis.command")(work)))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interruptFork(fiber)
      yield* TestClock.adjust("300 millis")
      yield* Fiber.await(fiber)
      assert.isTrue(finished)
    }).pipe(Effect.provide(Deadlines.layer)),
  )

  it.effect("some can be set apart", () =>
    Effect.gen(function* () {
      const { ms } = yield* Deadlines
      assert.strictEqual(ms("bus.publish"), 7)
      assert.strictEqual(ms("mysql.query"), defaults["mysql.query"])
    }).pipe(Effect.provide(Deadlines.layerOf({ "bus.publish": 7 }))),
  )
})
