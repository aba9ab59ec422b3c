import { assert, describe, it } from "@effect/vitest"
import { answer, NOT_AFTER_HORIZON_MS } from "./Answer.ts"
import { answerCapture } from "./Capture.ts"
import { isLive, next, type OrderTransition, states, statesOf, statusOf } from "./OrderState.ts"
import { replaces } from "./ShownPayment.ts"

const transitions: ReadonlyArray<OrderTransition> = [
  "create",
  "reject",
  "pay",
  "cancel",
  "refund",
  "refund_done",
  "refund_failed",
]

describe("the order's state machine", () => {
  it("lets an order be paid or cancelled, never both", () => {
    const reachable = (from: (typeof states)[number]): ReadonlySet<string> => {
      const found = new Set<string>()
      const visit = (state: (typeof states)[number]): void => {
        for (const t of transitions) {
          const to = next(state, t)
          if (to !== undefined && !found.has(to)) {
            found.add(to)
            visit(to)
          }
        }
      }
      visit(from)
      return found
    }
    assert.isFalse(reachable("paid").has("cancelled"))
    assert.isFalse(reachable("paid").has("unpaid"))
    assert.strictEqual(reachable("cancelled").size, 0)
    assert.strictEqual(reachable("rejected").size, 0)
    assert.deepStrictEqual([...reachable("queued")].sort(), states.filter((s) => s !== "queued").toSorted())
  })

  it("has the roadmap's three numbers for every state that has a row", () => {
    assert.isNull(statusOf("queued"))
    assert.deepStrictEqual(statesOf(0), ["unpaid"])
    assert.deepStrictEqual([...statesOf(1)].sort(), ["paid", "refunded", "refunding"])
    assert.deepStrictEqual([...statesOf(2)].sort(), ["cancelled", "rejected"])
    assert.deepStrictEqual(statesOf(3), [])
  })

  it("counts everything but what was cancelled or rejected against the stock", () => {
    assert.deepStrictEqual(states.filter((s) => !isLive(s)).toSorted(), ["cancelled", "rejected"])
  })
})

describe("a number without a row", () => {
  const number = {
    generation: 2,
    currentGeneration: 2,
    redis: "live" as const,
    madeAtMs: 1_000,
    redisTimeMs: 1_000,
  }
  const late = number.madeAtMs + NOT_AFTER_HORIZON_MS + 1

  it("is queued while Redis holds it, may still execute it, or can't be asked", () => {
    assert.strictEqual(answer({ ...number, redisTimeMs: late }), "queued")
    assert.strictEqual(answer({ ...number, redis: "none", redisTimeMs: late - 1 }), "queued")
    assert.strictEqual(answer({ ...number, redis: "unknown", redisTimeMs: late }), "queued")
    assert.strictEqual(answer({ ...number, redis: "released", redisTimeMs: late }), "queued")
  })

  it("was not reserved, once Redis has no record and its time is over by Redis' clock", () => {
    assert.strictEqual(answer({ ...number, redis: "none", redisTimeMs: late }), "not_reserved")
  })

  it("is lost where the shard was rebuilt since", () => {
    for (const redis of ["none", "live", "released", "unknown"] as const) {
      assert.strictEqual(answer({ ...number, generation: 1, redis }), "lost")
    }
  })
})

describe("a capture", () => {
  const order = { state: "unpaid" as const, amount: 100, currency: "CNY", capture_id: null }
  const money = { capture_id: "c1", amount: 100, currency: "CNY" }

  it("pays an unpaid order of its amount and currency, and nothing else", () => {
    assert.deepStrictEqual(answerCapture(order, money), { _tag: "pay" })
    for (const state of states) {
      if (state === "unpaid" || state === "queued") continue
      assert.strictEqual(answerCapture({ ...order, state }, money)._tag, "refuse")
    }
    assert.deepStrictEqual(answerCapture(order, { ...money, amount: 101 }), {
      _tag: "refuse",
      reason: "mismatch",
    })
    assert.deepStrictEqual(answerCapture(order, { ...money, currency: "USD" }), {
      _tag: "refuse",
      reason: "mismatch",
    })
  })

  it("that paid the order is known, in whatever state the order is since", () => {
    for (const state of ["paid", "refunding", "refunded"] as const) {
      assert.deepStrictEqual(answerCapture({ ...order, state, capture_id: "c1" }, money), { _tag: "known" })
    }
  })
})

describe("the payment that an order shows", () => {
  const shown = { payment_id: "a", status: "processing" as const, version: 3 }

  it("follows its own newer versions only", () => {
    assert.isTrue(replaces(null, shown))
    assert.isTrue(replaces(shown, { ...shown, version: 4, status: "declined" }))
    assert.isFalse(replaces(shown, shown))
    assert.isFalse(replaces(shown, { ...shown, version: 2 }))
  })

  it("gives way to another that is open, not to the end of an older one, and never hides money", () => {
    const other = { payment_id: "b", status: "requires_action" as const, version: 1 }
    assert.isTrue(replaces({ ...shown, status: "closed" }, other))
    assert.isTrue(replaces({ ...shown, status: "declined" }, { ...other, status: "declined" }))
    assert.isTrue(replaces(shown, other))
    assert.isFalse(replaces(shown, { ...other, status: "closed" }))
    assert.isFalse(replaces({ ...shown, status: "succeeded" }, other))
    assert.isFalse(replaces({ ...shown, status: "succeeded" }, { ...other, status: "succeeded" }))
  })
})
