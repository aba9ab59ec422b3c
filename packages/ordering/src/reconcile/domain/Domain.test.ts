import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { type Finding, markdown } from "./DriftKind.ts"
import * as Money from "./Money.ts"
import * as Rounds from "./Rounds.ts"
import * as Stock from "./Stock.ts"

const kindsOf = (findings: ReadonlyArray<Finding>) => findings.map(({ kind }) => kind)

describe("the guide", () => {
  it("shows the table of kinds as it is in the code", () => {
    const guide = fs.readFileSync(
      new URL("../../../../../docs/guides/reconciliation.md", import.meta.url),
      "utf8",
    )
    assert.include(guide, markdown())
  })
})

describe("stock", () => {
  const glimpse: Stock.StockGlimpse = {
    productId: 1,
    mysqlStock: 10,
    mysqlGeneration: 2,
    inScope: true,
    redisGeneration: 2,
    redisStock: 8,
    redisVersion: 5,
    buyers: 2,
    newestLog: 3,
    newestOrder: 4,
  }

  it("what is queued or not released yet is on both sides", () => {
    // Two reserved and not yet ordered; or cancelled and not yet released.
    assert.deepStrictEqual(Stock.atRest(glimpse, 5, 3, 0), [])
    assert.deepStrictEqual(kindsOf(Stock.atRest(glimpse, 6, 3, 0)), ["redis_above"])
    assert.deepStrictEqual(kindsOf(Stock.atRest(glimpse, 4, 3, 0)), ["redis_below"])
  })

  it("a stock change that is half done explains what Redis lacks, and never what it has too much", () => {
    assert.deepStrictEqual(Stock.atRest(glimpse, 4, 3, 1), [])
    assert.deepStrictEqual(kindsOf(Stock.atRest(glimpse, 6, 3, 1)), ["redis_above"])
  })

  it("a product whose sale is over for long need not be in Redis", () => {
    const gone = { ...glimpse, redisGeneration: 0, redisStock: 0 }
    assert.deepStrictEqual(kindsOf(Stock.inMotion(gone)), ["redis_missing"])
    assert.deepStrictEqual(Stock.inMotion({ ...gone, inScope: false }), [])
  })

  it("reads live reservations only", () => {
    assert.deepStrictEqual(Stock.liveOf(7, "A,2,r1,l;B,1,r2,r;C,3,r3,l;"), [
      { orderNum: "A", userId: 7, quantity: 2 },
      { orderNum: "C", userId: 7, quantity: 3 },
    ])
  })
})

describe("money", () => {
  const order: Money.MoneyOrder = {
    orderNum: "n",
    productId: 1,
    state: "paid",
    version: 2,
    amount: 100,
    captureId: "c",
  }
  const capture: Money.Capture = {
    captureId: "c",
    amount: 100,
    state: "applied",
    ageMs: 1_000,
    refunded: 0,
    refunding: 0,
  }
  const of = (o: Money.MoneyOrder | undefined, ...captures: ReadonlyArray<Money.Capture>) =>
    kindsOf(Money.ofOrder("n", o, captures, 60_000))

  it("follows an order from its capture to its refund without an alarm", () => {
    assert.deepStrictEqual(of({ ...order, state: "unpaid", captureId: null }), [])
    assert.deepStrictEqual(
      of({ ...order, state: "unpaid", captureId: null }, { ...capture, state: "new" }),
      [],
    )
    assert.deepStrictEqual(of(order, { ...capture, state: "new" }), [])
    assert.deepStrictEqual(of(order, capture), [])
    assert.deepStrictEqual(of({ ...order, state: "refunding" }, capture), [])
    assert.deepStrictEqual(of({ ...order, state: "refunding" }, { ...capture, refunding: 100 }), [])
    assert.deepStrictEqual(of({ ...order, state: "refunding" }, { ...capture, refunded: 100 }), [])
    assert.deepStrictEqual(of({ ...order, state: "refunded" }, { ...capture, refunded: 100 }), [])
  })

  it("late and second money goes back", () => {
    const late = { ...capture, captureId: "d", state: "refused" }
    assert.deepStrictEqual(of(order, capture, { ...late, refunding: 100 }), [])
    assert.deepStrictEqual(of(order, capture, { ...late, refunded: 100 }), [])
    assert.deepStrictEqual(of(order, capture, late), ["money_mismatch"])
    assert.deepStrictEqual(of({ ...order, state: "cancelled", captureId: null }, late), ["money_mismatch"])
  })

  it("a refund of less, money kept after a refund, and money of nobody are told", () => {
    assert.deepStrictEqual(of(order, { ...capture, refunded: 40 }), ["money_mismatch"])
    assert.deepStrictEqual(of({ ...order, state: "refunded" }, capture), ["money_mismatch"])
    assert.deepStrictEqual(of(undefined, capture), ["capture_without_order"])
    assert.deepStrictEqual(of(order), ["paid_without_capture"])
  })
})

describe("two looks", () => {
  const finding: Finding = { kind: "redis_below", subject: "product:1", productId: 1, versions: "a" }
  const seen: Rounds.Look = { findings: [finding], scopes: [{ kinds: ["redis_below"], productId: 1 }] }

  it("only what both have under the same versions counts", () => {
    const first = Rounds.judge(new Map(), seen)
    assert.deepStrictEqual(first.confirmed, [])
    assert.deepStrictEqual(Rounds.judge(first.suspects, seen).confirmed, [finding])
    const moved = { ...seen, findings: [{ ...finding, versions: "b" }] }
    assert.deepStrictEqual(Rounds.judge(first.suspects, moved).confirmed, [])
  })

  it("a look that couldn't see it neither confirms nor ends it", () => {
    const first = Rounds.judge(new Map(), seen)
    const blind = Rounds.judge(first.suspects, Rounds.nothing)
    assert.deepStrictEqual(Rounds.judge(blind.suspects, seen).confirmed, [finding])
    assert.deepStrictEqual(Rounds.over([finding], Rounds.nothing), [])
    assert.deepStrictEqual(Rounds.over([finding], { ...seen, findings: [] }), [finding])
    assert.deepStrictEqual(Rounds.over([finding], seen), [])
  })
})
