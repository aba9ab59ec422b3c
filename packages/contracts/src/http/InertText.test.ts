import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as InertText from "./InertText.ts"

const isLine = Schema.is(InertText.line(1, 10))
const isParagraphs = Schema.is(InertText.paragraphs(20))

describe("InertText", () => {
  it("takes what people write, and SQL and markup as the letters that they are", () => {
    for (const text of ["秒杀", "a'; --", "<b>", "👍🏽", "é", "שלום", "{{x}}", "10%"])
      assert.isTrue(isLine(text), text)
  })

  it("counts characters, not UTF-16 units", () => {
    assert.isTrue(isLine("👍".repeat(10)))
    assert.isFalse(isLine("👍".repeat(11)))
    assert.isFalse(isLine(""))
    assert.isFalse(isLine("   "))
  })

  it("refuses what changes how a line reads", () => {
    for (const code of [0, 7, 10, 13, 27, 127, 0x85, 0x200e, 0x202e, 0x2028, 0x2029, 0x2066, 0xd800]) {
      assert.isFalse(isLine(`a${String.fromCharCode(code)}b`), code.toString(16))
    }
  })

  it("lets a description have lines, and nothing else", () => {
    assert.isTrue(isParagraphs("a\tb\r\nc"))
    assert.isTrue(isParagraphs(""))
    for (const code of [0, 8, 27, 0x202e, 0xdfff]) {
      assert.isFalse(isParagraphs(`a${String.fromCharCode(code)}b`), code.toString(16))
    }
  })
})
