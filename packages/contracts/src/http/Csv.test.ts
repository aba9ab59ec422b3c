import { assert, describe, it } from "@effect/vitest"
import * as Csv from "./Csv.ts"

describe("Csv", () => {
  it("quotes what RFC 4180 asks to be quoted, and ends every line with CRLF", () => {
    assert.strictEqual(
      Csv.line(["a,b", 'say "hi"', "two\r\nlines", "plain", 1.5, -3, true, null]),
      '"a,b","say ""hi""","two\r\nlines",plain,1.5,-3,true,\r\n',
    )
  })

  it("a text that a spreadsheet would take for a formula is defused, a number isn't touched", () => {
    for (const text of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x","y")']) {
      const [cell] = Csv.line([text]).split("\r\n")
      assert.match(cell!, /^"?'/, text)
    }
    assert.strictEqual(Csv.line([-1]), "-1\r\n")
    assert.strictEqual(Csv.line(["a=b"]), "a=b\r\n")
  })

  it("a document has a header line, lists with blanks, and the rest as JSON", () => {
    const items = [
      { id: 1, roles: ["customer", "admin"], before: { a: 1 }, name: null },
      { id: 2, roles: [], before: undefined, name: "x" },
    ]
    assert.strictEqual(
      Csv.of(["id", "roles", "before", "name"], items),
      'id,roles,before,name\r\n1,customer admin,"{""a"":1}",\r\n2,,,x\r\n',
    )
  })
})
