import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { type IntentEvent, type IntentState, isOpen, next, states } from "./Intent.ts"

const events: ReadonlyArray<IntentEvent> = [
  "started",
  "captured",
  "declined",
  "closed",
  "applied",
  "refused",
  "refund",
  "refunded",
  "refund_failed",
]

const money: ReadonlySet<IntentState> = new Set(["captured", "applied", "refunding", "refunded"])

describe("the intent's state machine", () => {
  it("never forgets money: once captured, an intent never becomes one without money", () => {
    for (const state of states)
      for (const event of events) {
        const to = next(state, event)
        if (money.has(state) && to !== undefined) assert.isTrue(money.has(to), `${state} --${event}--> ${to}`)
      }
  })

  it("takes money whenever it comes: a success after a decline or a close is still captured", () => {
    for (const state of states) if (!money.has(state)) assert.strictEqual(next(state, "captured"), "captured")
  })

  it("a failure told after a success changes nothing", () => {
    for (const state of money) {
      assert.isUndefined(next(state, "declined"))
      assert.isUndefined(next(state, "closed"))
    }
  })

  it("ends, whatever order events come in: no sequence moves it more than five times, but for operators who try again", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.constantFrom(...events), { maxLength: 40 }),
        (sequence) => {
          let state: IntentState = "created"
          let moves = 0
          for (const event of sequence) {
            const to = next(state, event)
            if (to === undefined) continue
            // A gate is never opened again by its intent.
            if (!isOpen(state) && isOpen(to)) return false
            state = to
            if (event !== "refund" && event !== "refund_failed") moves++
          }
          return moves <= 5
        },
      ),
    )
  })
})
