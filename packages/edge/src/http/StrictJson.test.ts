import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as StrictJson from "./StrictJson.ts"

const parse = (text: string) => StrictJson.parse(Buffer.from(text))

describe("StrictJson", () => {
  it("reads what JSON.parse reads, however it is written", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.jsonValue({ maxDepth: 6 }),
        FastCheck.constantFrom(undefined, 1, "\t"),
        (value, indent) => {
          const text = JSON.stringify(value, undefined, indent)
          if (text.includes('"__proto__"')) return
          assert.deepStrictEqual(parse(text), { ok: true, value: JSON.parse(text) })
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it("refuses what JSON.parse refuses", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.jsonValue(),
        FastCheck.nat(),
        FastCheck.string({ maxLength: 2 }),
        (value, at, noise) => {
          const text = JSON.stringify(value)
          const cut = at % (text.length + 1)
          const broken = Buffer.from(text.slice(0, cut) + noise + text.slice(cut + 1)).toString()
          let expected = true
          try {
            JSON.parse(broken)
          } catch {
            expected = false
          }
          if (!expected) assert.isFalse(parse(broken).ok, broken)
        },
      ),
      { numRuns: 5_000 },
    )
  })

  const refused = [
    "",
    " ",
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"__proto__":1}',
    '{"a":[{"b":{"\\u005f_proto__":1}}]}',
    "01",
    "1.",
    "+1",
    ".5",
    "NaN",
    "{a:1}",
    "[1,]",
    '{"a":1,}',
    '"\u0001"',
    '"\\x"',
    "true false",
    "[".repeat(StrictJson.MAX_DEPTH + 1) + "]".repeat(StrictJson.MAX_DEPTH + 1),
  ]
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text).slice(0, 40)}`, () => assert.isFalse(parse(text).ok))
  }

  it("refuses bytes that aren't UTF-8", () => {
    assert.isFalse(StrictJson.parse(Buffer.from([0x22, 0xc3, 0x28, 0x22])).ok)
    assert.isTrue(StrictJson.parse(Buffer.from('"秒杀"')).ok)
  })

  it("keys that objects have by birth are just keys", () => {
    const parsed = parse('{"constructor":1,"toString":2,"hasOwnProperty":3}')
    assert.deepStrictEqual(parsed, {
      ok: true,
      value: JSON.parse('{"constructor":1,"toString":2,"hasOwnProperty":3}'),
    })
  })
})
