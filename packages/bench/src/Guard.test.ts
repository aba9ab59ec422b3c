import { describe, expect, it } from "vitest"
import * as Guard from "./Guard.ts"
import { type Result, rounds } from "./Result.ts"

const measured = (name: string, ours: number): Result => ({
  name,
  unit: "/s",
  ours: rounds([ours]),
  reference: rounds([100]),
  against: "a reference",
  reach: undefined,
  notes: [],
})

describe("the guard against regressions", () => {
  it("tells what fell below half of what is expected, what wasn't measured, and what nobody expected", () => {
    const found = Guard.regressions({ steady: 0.2, slower: 0.2, gone: 0.2 }, [
      measured("steady", 11),
      measured("slower", 9),
      measured("new", 50),
    ])
    expect(found).toEqual([
      "slower: a ratio of 0.09, less than 0.5 of the 0.2 that is expected",
      "gone wasn't measured",
      "new has no baseline",
    ])
  })

  it("takes the better of two runs, figure by figure, and what only one of them has", () => {
    const names = Guard.better(
      [measured("a", 10), measured("b", 30)],
      [measured("a", 20), measured("b", 20), measured("c", 1)],
    ).map(({ name, ours }) => [name, ours.median])
    expect(names).toEqual([
      ["a", 20],
      ["b", 30],
      ["c", 1],
    ])
  })
})
