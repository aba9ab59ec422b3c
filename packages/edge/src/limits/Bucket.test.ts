import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Bucket from "./Bucket.ts"

const rates = FastCheck.record({
  rate: FastCheck.double({ min: 0.01, max: 5_000, noNaN: true }),
  burst: FastCheck.integer({ min: 1, max: 5_000 }),
})
const steps = FastCheck.array(
  FastCheck.record({
    afterMs: FastCheck.integer({ min: 0, max: 5_000 }),
    spent: FastCheck.integer({ min: -3, max: 50 }),
    wanted: FastCheck.integer({ min: 0, max: 200 }),
  }),
  { maxLength: 60 },
)

describe("Bucket", () => {
  it.effect.prop(
    "in any span no more is leased than a burst and what the time is worth",
    [rates, steps],
    ([rate, taken]) =>
      Effect.sync(() => {
        let state = Bucket.full(0)
        let nowMs = 0
        let leased = 0
        for (const { afterMs, wanted } of taken) {
          nowMs += afterMs
          const [next, lease] = Bucket.lease(state, rate, nowMs, 0, wanted)
          state = next
          leased += lease.leased
          assert.isAtMost(leased, rate.burst + (rate.rate * nowMs) / 1_000 + 1e-3)
          assert.isAtMost(lease.leased, wanted)
        }
      }).pipe(Effect.asVoid),
  )

  it.effect.prop(
    "whoever waits as long as they are told to gets a token, and not much sooner",
    [rates, steps],
    ([rate, taken]) =>
      Effect.sync(() => {
        let state = Bucket.full(0)
        let nowMs = 0
        for (const { afterMs, spent, wanted } of taken) {
          nowMs += afterMs
          const [next, lease] = Bucket.lease(state, rate, nowMs, spent, wanted)
          state = next
          if (lease.waitMs > 0) {
            assert.strictEqual(Bucket.lease(state, rate, nowMs + lease.waitMs, 0, 1)[1].leased, 1)
            if (lease.waitMs > 2) {
              assert.strictEqual(Bucket.lease(state, rate, nowMs + lease.waitMs - 2, 0, 1)[1].leased, 0)
            }
          }
          const whole = Bucket.lease(state, rate, nowMs + lease.fullMs, 0, rate.burst)[1]
          assert.strictEqual(whole.leased, rate.burst, "the bucket is full when it says so")
        }
      }).pipe(Effect.asVoid),
  )

  it("a clock that goes back takes nothing away and gives nothing", () => {
    const rate = { rate: 1, burst: 10 }
    const [state] = Bucket.lease(Bucket.full(10_000), rate, 10_000, 0, 4)
    assert.strictEqual(Bucket.lease(state, rate, 5_000, 0, 100)[1].leased, 6)
  })

  it("what is given back is there again, and never more than a full bucket", () => {
    const rate = { rate: 0.001, burst: 2 }
    const [empty] = Bucket.lease(Bucket.full(0), rate, 0, 0, 2)
    assert.strictEqual(Bucket.lease(empty, rate, 0, 0, 1)[1].leased, 0)
    assert.strictEqual(Bucket.lease(empty, rate, 0, -1, 2)[1].leased, 1)
    assert.strictEqual(Bucket.lease(empty, rate, 0, -9, 9)[1].leased, 2)
  })
})
