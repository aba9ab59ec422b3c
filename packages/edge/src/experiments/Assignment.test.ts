/** Buckets and variants: uniform, stable, and by weight. Seeds are fixed, so a failure comes again. */
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Assignment from "./Assignment.ts"

const seeded = { seed: 20_261_123, numRuns: 200 } as const

const definition = (more: Partial<Assignment.Definition> = {}): Assignment.Definition => ({
  key: "checkout",
  salt: "pepper",
  percentage: 100,
  allowUsers: [],
  variants: [{ weight: 1 }, { weight: 1 }],
  ...more,
})

const compiled = (more: Partial<Assignment.Definition> = {}) => Assignment.compile(definition(more))

const chiSquare = (counts: ReadonlyArray<number>, expected: ReadonlyArray<number>): number =>
  counts.reduce((sum, count, i) => sum + (count - expected[i]!) ** 2 / expected[i]!, 0)

/** What chi-square exceeds by chance once in 100,000 times (Wilson and Hilferty's approximation). */
const highest = (freedom: number): number =>
  freedom * (1 - 2 / (9 * freedom) + 4.265 * Math.sqrt(2 / (9 * freedom))) ** 3

const Name = FastCheck.stringMatching(/^[a-z0-9]{1,20}$/)
const UserId = FastCheck.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })

describe("buckets", () => {
  it("are what they were yesterday and in every other process: written down here", () => {
    const population = compiled()
    const users = [1, 2, 3, 1_000_000, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]
    assert.deepStrictEqual(
      users.map((userId) => [
        Assignment.bucketOf(population, userId),
        Assignment.variantOf(population, userId),
      ]),
      [
        [7632, 1],
        [4216, 1],
        [4963, 1],
        [6088, 0],
        [5626, 0],
        [7958, 1],
        [6924, 0],
      ],
    )
  })

  // Ids as they are given out: one after another, and with gaps.
  for (const [name, idOf] of [
    ["consecutive ids", (i: number) => i + 1],
    ["every thousandth id", (i: number) => (i + 1) * 1_000],
    ["ids beyond 32 bits", (i: number) => 2 ** 33 + i],
  ] as const) {
    it(`are as full as one another for ${name}`, () => {
      const users = 100_000
      for (const salt of ["a", "b", "2026"]) {
        const population = compiled({ salt })
        const counts = Array.from({ length: 100 }, () => 0)
        for (let i = 0; i < users; i++) counts[Assignment.bucketOf(population, idOf(i)) % 100]!++
        assert.isBelow(
          chiSquare(
            counts,
            counts.map(() => users / 100),
          ),
          highest(99),
          `salt ${salt}`,
        )
        const tens = Array.from({ length: 10 }, () => 0)
        for (let i = 0; i < users; i++) {
          tens[Math.floor(Assignment.bucketOf(population, idOf(i)) / 1_000)]!++
        }
        assert.isBelow(
          chiSquare(
            tens,
            tens.map(() => users / 10),
          ),
          highest(9),
          `salt ${salt}`,
        )
      }
    })
  }

  it("of one experiment say nothing about those of another, nor about variants", () => {
    const users = 40_000
    const one = compiled({ key: "one" })
    const other = compiled({ key: "other" })
    const cells = [0, 0, 0, 0]
    const withVariant = [0, 0, 0, 0]
    for (let userId = 1; userId <= users; userId++) {
      const high = Assignment.bucketOf(one, userId) >= Assignment.BUCKETS / 2 ? 1 : 0
      cells[high * 2 + (Assignment.bucketOf(other, userId) >= Assignment.BUCKETS / 2 ? 1 : 0)]!++
      withVariant[high * 2 + Assignment.variantOf(one, userId)]!++
    }
    const even = cells.map(() => users / 4)
    assert.isBelow(chiSquare(cells, even), highest(3))
    assert.isBelow(chiSquare(withVariant, even), highest(3))
  })
})

describe("who is in", () => {
  it("stays in, in the same variant, however far the percentage grows", () => {
    FastCheck.assert(
      FastCheck.property(
        Name,
        Name,
        UserId,
        FastCheck.integer({ min: 0, max: 10_000 }),
        FastCheck.integer({ min: 0, max: 10_000 }),
        FastCheck.array(FastCheck.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 10 }),
        (key, salt, userId, a, b, weights) => {
          const variants = weights.map((weight) => ({ weight }))
          const at = (share: number) =>
            Assignment.variantOf(compiled({ key, salt, percentage: share / 100, variants }), userId)
          const before = at(Math.min(a, b))
          if (before >= 0) assert.strictEqual(at(Math.max(a, b)), before)
        },
      ),
      seeded,
    )
  })

  it("is as many as the percentage says, to a hundredth of a percent", () => {
    const users = 200_000
    for (const percentage of [0, 0.01, 1, 12.34, 50, 99.99, 100]) {
      const population = compiled({ percentage })
      let inside = 0
      for (let userId = 1; userId <= users; userId++) {
        if (Assignment.variantOf(population, userId) >= 0) inside++
      }
      const share = percentage / 100
      const deviation = Math.sqrt(users * share * (1 - share))
      assert.isAtMost(Math.abs(inside - users * share), 4 * deviation, `${percentage} %`)
    }
  })

  it("is whoever is on the list, too, also at 0 %", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uniqueArray(UserId, { maxLength: 20 }), UserId, (allowUsers, other) => {
        const population = compiled({ percentage: 0, allowUsers })
        for (const userId of allowUsers) assert.isAtLeast(Assignment.variantOf(population, userId), 0)
        if (!allowUsers.includes(other)) assert.strictEqual(Assignment.variantOf(population, other), -1)
      }),
      seeded,
    )
  })
})

describe("variants", () => {
  it("get users by their weights", () => {
    const users = 60_000
    for (const weights of [
      [1, 1],
      [9, 1],
      [5, 3, 2],
      [10_000, 1_000, 10],
    ]) {
      const population = compiled({ variants: weights.map((weight) => ({ weight })) })
      const counts = weights.map(() => 0)
      for (let userId = 1; userId <= users; userId++) counts[Assignment.variantOf(population, userId)]!++
      const sum = weights.reduce((a, b) => a + b, 0)
      const expected = weights.map((weight) => (users * weight) / sum)
      assert.isBelow(chiSquare(counts, expected), highest(weights.length - 1), String(weights))
    }
  })

  it("of weight 0 get nobody, and every user gets one that exists", () => {
    FastCheck.assert(
      FastCheck.property(
        UserId,
        Name,
        FastCheck.array(FastCheck.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 10 }),
        (userId, salt, weights) => {
          const variant = Assignment.variantOf(
            compiled({ salt, variants: weights.map((weight) => ({ weight })) }),
            userId,
          )
          if (weights.every((weight) => weight === 0)) assert.strictEqual(variant, -1)
          else assert.isAbove(weights[variant]!, 0)
        },
      ),
      seeded,
    )
  })
})
