import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Instant from "./Instant.ts"

describe("Instant", () => {
  it("what is answered can be asked for again", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.integer({ min: 0, max: Date.UTC(2080, 0, 1) - 1 }), (ms) => {
        assert.strictEqual(Instant.parse(Instant.format(ms)), ms)
      }),
    )
  })

  it("reads any offset, and fractions down to milliseconds", () => {
    const ms = Date.UTC(2026, 0, 31, 8)
    for (const text of [
      "2026-01-31T08:00:00Z",
      "2026-01-31T08:00:00.000Z",
      "2026-01-31T16:00:00+08:00",
      "2026-01-31T00:30:00-07:30",
      "2026-01-31T08:00:00.000999Z",
    ]) {
      assert.strictEqual(Instant.parse(text), ms, text)
    }
    assert.strictEqual(Instant.parse("2028-02-29T00:00:00Z"), Date.UTC(2028, 1, 29))
  })

  const bad = [
    "",
    "now",
    "2026-01-31",
    "2026-01-31 08:00:00Z",
    "2026-01-31T08:00:00",
    "2026-01-31T08:00Z",
    "2026-02-30T00:00:00Z",
    "2027-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-01-32T00:00:00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T23:60:00Z",
    "2026-01-31T23:00:60Z",
    "2026-01-31T08:00:00+24:00",
    "1969-12-31T23:59:59Z",
    "2080-01-01T00:00:00Z",
    "+012026-01-31T08:00:00Z",
    "2026-01-31T08:00:00Z\n",
    "1769846400000",
  ]
  for (const text of bad) it(`refuses ${JSON.stringify(text)}`, () => assert.isUndefined(Instant.parse(text)))
})
