import { assert, describe, it } from "@effect/vitest"
import { wilson } from "./Interval.ts"

describe("Wilson's interval", () => {
  it("is the one of the textbooks", () => {
    // R: binom::binom.confint(k, n, methods = "wilson")
    for (const [successes, trials, low, high] of [
      [0, 10, 0, 0.277_533],
      [1, 10, 0.017_876, 0.404_15],
      [5, 10, 0.236_593, 0.763_407],
      [10, 10, 0.722_467, 1],
      [30, 100, 0.218_945, 0.395_849],
      [500, 1_000, 0.469_063, 0.530_937],
    ] as const) {
      const interval = wilson(successes, trials)!
      assert.strictEqual(interval.rate, successes / trials)
      assert.approximately(interval.low, low, 1e-5, `${successes} of ${trials}`)
      assert.approximately(interval.high, high, 1e-5, `${successes} of ${trials}`)
    }
  })

  it("holds the rate, stays within 0 and 1, and says nothing about nobody", () => {
    assert.isUndefined(wilson(0, 0))
    for (let trials = 1; trials < 60; trials++) {
      for (let successes = 0; successes <= trials; successes++) {
        const { high, low, rate } = wilson(successes, trials)!
        assert.isTrue(0 <= low && low <= rate && rate <= high && high <= 1)
      }
    }
  })

  it("holds the true rate 95 times of 100", () => {
    let state = 12_345
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state / 2 ** 32
    }
    let held = 0
    const rounds = 4_000
    for (let round = 0; round < rounds; round++) {
      let successes = 0
      for (let i = 0; i < 80; i++) if (random() < 0.3) successes++
      const { high, low } = wilson(successes, 80)!
      if (low <= 0.3 && 0.3 <= high) held++
    }
    assert.isTrue(held / rounds > 0.93 && held / rounds < 0.97, String(held / rounds))
  })
})
