import { describe, expect, it } from "vitest"
import * as Crowd from "./Crowd.ts"
import { type Books, judge } from "./Verdict.ts"

const books: Books = {
  initial: 2,
  stock: 0,
  logged: 0,
  held: 2,
  liveOrders: 2,
  rejectedOrders: 0,
  mostOfOneBuyer: 1,
  answered: 2,
  redisStock: 0,
  redisHeld: 2,
}

const tally = (): Crowd.Tally => ({
  ...Crowd.emptyTally(),
  accepted: 2,
  soldOut: 3,
  orders: new Map([
    [1, "a"],
    [2, "b"],
  ]),
})

const broken = (changed: Partial<Books>, told: Partial<Crowd.Tally> = {}, faulty = false) =>
  judge({
    books: { ...books, ...changed },
    tally: { ...tally(), ...told },
    buyers: 5,
    stock: 2,
    perUserLimit: 1,
    faulty,
  }).filter(({ holds }) => !holds).length

describe("the rush's verdict", () => {
  it("a clean sale passes", () => {
    expect(broken({})).toBe(0)
  })

  it.each<[string, Partial<Books>, Partial<Crowd.Tally>]>([
    ["one more order than there was stock", { held: 3, liveOrders: 3 }, {}],
    ["stock below zero", { stock: -1, held: 3, logged: -1, redisStock: -1, redisHeld: 3 }, {}],
    ["a stock log that says something else", { logged: 1 }, {}],
    ["Redis and MySQL that differ", { redisStock: 1 }, {}],
    ["a product that Redis has forgotten", { redisStock: undefined }, {}],
    ["a buyer over the limit", { mostOfOneBuyer: 2 }, {}],
    ["a 202 without an outcome", { answered: 1 }, {}],
    ["a buyer without an answer", {}, { soldOut: 2, gaveUp: 1 }],
    ["an answer that nobody expects", {}, { soldOut: 2, other: new Map([[500, 1]]) }],
  ])("fails on %s", (_, changed, told) => {
    expect(broken(changed, told)).toBeGreaterThan(0)
  })

  it("after a fault an item may be left over, but none may be lost", () => {
    const left = {
      stock: 1,
      logged: 1,
      redisStock: 1,
      held: 1,
      redisHeld: 1,
      liveOrders: 1,
      rejectedOrders: 1,
    }
    expect(broken(left, {}, true)).toBe(0)
    expect(broken({ ...left, stock: 0 }, {}, true)).toBeGreaterThan(0)
  })
})
