import { assert, describe, it } from "@effect/vitest"
import * as SoldOutMarks from "./SoldOutMarks.ts"

const at = () => {
  let nowMs = 10_000
  const marks = SoldOutMarks.make(() => nowMs)
  return {
    marks,
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

describe("SoldOutMarks", () => {
  it("only a stock of 0 makes one, and it lives half a second", () => {
    const { marks, pass } = at()
    marks.learn(1, 3, 5)
    assert.isFalse(marks.isSoldOut(1, 7))
    marks.learn(1, 0, 6)
    assert.isTrue(marks.isSoldOut(1, 7))
    assert.isFalse(marks.isSoldOut(2, 7))
    pass(SoldOutMarks.LIFE_MS - 1)
    assert.isTrue(marks.isSoldOut(1, 7))
    pass(1)
    assert.isFalse(marks.isSoldOut(1, 7))
  })

  it("a restock takes it back at once, and what is older than the restock says nothing", () => {
    const { marks } = at()
    marks.learn(1, 0, 6)
    marks.learn(1, 5, 7)
    assert.isFalse(marks.isSoldOut(1, 7))
    marks.learn(1, 0, 6)
    assert.isFalse(marks.isSoldOut(1, 7), "an answer that was under way is older")
    marks.learn(1, 0, 8)
    assert.isTrue(marks.isSoldOut(1, 7))
    marks.learn(1, 4, 5)
    assert.isTrue(marks.isSoldOut(1, 7), "news of an older restock")
  })

  it("a shard that doesn't say makes none", () => {
    const { marks } = at()
    marks.learn(1, -1, 0)
    marks.learn(1, 0, 0)
    assert.isFalse(marks.isSoldOut(1, 7))
  })

  it("says nothing to whoever has bought: they are told of their order", () => {
    const { marks } = at()
    marks.bought(1, 7)
    marks.learn(1, 0, 6)
    assert.isFalse(marks.isSoldOut(1, 7))
    assert.isTrue(marks.isSoldOut(1, 8))
  })
})
