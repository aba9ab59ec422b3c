import { assert, describe, it } from "@effect/vitest"
import { SeckillPayload } from "@floodgate/contracts/http/Seckill"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as SeckillRequest from "./SeckillRequest.ts"

const decode = Schema.decodeUnknownEither(SeckillPayload)

const numbers = FastCheck.oneof(
  FastCheck.integer({ min: -2, max: 102 }),
  FastCheck.maxSafeInteger(),
  FastCheck.double(),
  FastCheck.constantFrom(2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, 1.5, Number.NaN, Number.POSITIVE_INFINITY, -0),
)
const anything = FastCheck.oneof(
  numbers,
  FastCheck.jsonValue(),
  FastCheck.string({ maxLength: 3 }),
  FastCheck.constantFrom("", "1", "a".repeat(2048), "a".repeat(2049), null, undefined, true),
)
const bodies = FastCheck.oneof(
  anything,
  FastCheck.record(
    { product_id: anything, quantity: anything, ticket: anything, role: anything },
    { requiredKeys: [] },
  ),
  FastCheck.record(
    { product_id: FastCheck.integer({ min: 1 }), quantity: numbers, ticket: FastCheck.string() },
    { requiredKeys: ["product_id"] },
  ),
  FastCheck.array(anything, { maxLength: 2 }),
)

describe("SeckillRequest", () => {
  it("accepts what the endpoint's schema accepts, with the same meaning, and nothing else", () => {
    let accepted = 0
    FastCheck.assert(
      FastCheck.property(bodies, (body) => {
        // JSON has no undefined fields.
        const json: unknown =
          typeof body === "object" && body !== null && !Array.isArray(body)
            ? Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
            : body
        const expected = decode(json)
        const actual = SeckillRequest.read(json)
        if (expected._tag === "Right") {
          accepted++
          assert.deepStrictEqual(actual, expected.right)
        } else {
          assert.isUndefined(actual)
          assert.isNotEmpty(SeckillRequest.explain(json).issues)
        }
      }),
      { numRuns: 20_000 },
    )
    assert.isAbove(accepted, 1_000)
  })

  it("names everything that is wrong", () => {
    const paths = SeckillRequest.explain({ quantity: 0, ticket: "", price: 1 }).issues.map(
      (issue) => issue.path,
    )
    assert.sameMembers([...paths], ["product_id", "quantity", "ticket", "price"])
  })
})
