import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Departures from "./Departures.ts"

/** Somebody who comes now; joined, answers when they left. */
const leaver = (departure: Effect.Effect<void>) =>
  Effect.tap(Effect.fork(Effect.zipRight(departure, Clock.currentTimeMillis)), () => Effect.yieldNow())

describe("Departures", () => {
  it.effect("whoever comes after a pause leaves at once, those behind them together", () =>
    Effect.gen(function* () {
      const departure = Departures.make(75)
      yield* TestClock.setTime(1_000)
      const first = yield* leaver(departure)
      yield* TestClock.adjust(10)
      const second = yield* leaver(departure)
      yield* TestClock.adjust(50)
      const third = yield* leaver(departure)
      yield* TestClock.adjust(15)
      // On the way still when the others left: with the next.
      const fourth = yield* leaver(departure)
      yield* TestClock.adjust(1_000)
      const fifth = yield* leaver(departure)
      assert.deepStrictEqual(
        yield* Effect.forEach([first, second, third, fourth, fifth], Fiber.join),
        [1_000, 1_075, 1_075, 1_150, 2_075],
      )
    }),
  )

  it.effect("a clock that goes back holds nobody up", () =>
    Effect.gen(function* () {
      const departure = Departures.make(75)
      yield* TestClock.setTime(10_000_000)
      yield* departure
      yield* TestClock.setTime(1_000)
      const one = yield* leaver(departure)
      assert.strictEqual(yield* Fiber.join(one), 1_000)
    }),
  )
})
