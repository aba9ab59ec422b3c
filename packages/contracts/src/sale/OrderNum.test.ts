import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as OrderNum from "./OrderNum.ts"

const key = "a key of the tests, long enough for a key"

const fields = FastCheck.record({
  timeMs: FastCheck.integer({ min: 0, max: 62 ** 7 - 1 }),
  productId: FastCheck.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  generation: FastCheck.integer({ min: 0, max: OrderNum.MAX_GENERATION }),
})
const userId = FastCheck.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })

describe("order numbers", () => {
  it("say when, for which product and which generation they were made, to their own user only", () => {
    FastCheck.assert(
      FastCheck.property(fields, userId, userId, (f, user, other) => {
        const num = OrderNum.make(key, user, f)
        assert.strictEqual(num.length, OrderNum.LENGTH)
        assert.isAtMost(num.length, 40)
        assert.deepStrictEqual(OrderNum.verify(key, num, user), f)
        assert.deepStrictEqual(OrderNum.parse(num), f)
        if (other !== user) assert.isUndefined(OrderNum.verify(key, num, other))
        assert.isUndefined(OrderNum.verify("another key", num, user))
      }),
    )
  })

  it("any changed character makes a number that was never issued", () => {
    const num = OrderNum.make(key, 7, { timeMs: 1_795_000_000_000, productId: 42, generation: 3 })
    for (let i = 0; i < num.length; i++) {
      const changed = num.slice(0, i) + (num[i] === "0" ? "1" : "0") + num.slice(i + 1)
      assert.isUndefined(OrderNum.verify(key, changed, 7), `character ${i}`)
    }
  })

  it("sort by time as plain bytes", () => {
    FastCheck.assert(
      FastCheck.property(fields, fields, (a, b) => {
        FastCheck.pre(a.timeMs < b.timeMs)
        assert.isTrue(OrderNum.make(key, 1, a) < OrderNum.make(key, 1, b))
      }),
    )
  })

  it("no other text is one", () => {
    for (const text of [
      "",
      "0".repeat(37),
      "0".repeat(39),
      `${"0".repeat(37)}-`,
      "é".repeat(38),
      "z".repeat(38),
    ])
      assert.isUndefined(OrderNum.parse(text), text)
  })

  it("ten thousand made in one millisecond differ", () => {
    const made = new Set(
      Array.from({ length: 10_000 }, () => OrderNum.make(key, 1, { timeMs: 1, productId: 1, generation: 1 })),
    )
    assert.strictEqual(made.size, 10_000)
  })
})
