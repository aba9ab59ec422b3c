import { describe, expect, it } from "vitest"
import { csvOf } from "./csv.ts"

const BOM = "\uFEFF"

describe("csv", () => {
  it("has a header of every field that any row has, and CRLF at each end of line", () => {
    expect(
      csvOf([
        { id: 1, name: "tide clock" },
        { id: 2, note: true },
      ]),
    ).toBe(`${BOM}id,name,note\r\n1,tide clock,\r\n2,,true\r\n`)
  })

  it("quotes what would break a line or a cell", () => {
    expect(csvOf([{ text: 'one, "two"\r\nthree' }])).toBe(`${BOM}text\r\n"one, ""two""\r\nthree"\r\n`)
  })

  it("defuses what a spreadsheet would run, also behind a quote, and leaves numbers alone", () => {
    const rows = ["=1+1", "+1", "-1", "@cmd", "\tx", '=HYPERLINK("http://x","y")'].map((text) => ({ text }))
    for (const row of csvOf(rows).split("\r\n").slice(1, -1)) expect(row).toMatch(/^"?'/)
    expect(csvOf([{ delta: -5 }])).toBe(`${BOM}delta\r\n-5\r\n`)
  })

  it("writes lists of words with blanks between, deeper values as JSON, and null as nothing", () => {
    expect(csvOf([{ roles: ["risk", "admin"], access: { challenge: true }, gone: null }])).toBe(
      `${BOM}roles,access,gone\r\nrisk admin,"{""challenge"":true}",\r\n`,
    )
  })
})
