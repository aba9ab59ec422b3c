/**
 * Lists as spreadsheets read them: RFC 4180 with a header line, and a byte order mark, without which Excel takes Chinese
 * for something else. A text that a spreadsheet would take for a formula is defused by an apostrophe: whoever opens an
 * export didn't write the names in it.
 */

const FORMULA = /^[=+\-@\t\r\n]/
const QUOTED = /[",\r\n]/

const textOf = (value: unknown): string => {
  if (value === null || value === undefined) return ""
  // A number of ours is no formula, and a minus belongs to it.
  if (typeof value === "number" || typeof value === "boolean") return String(value)
  const text =
    typeof value === "string"
      ? value
      : Array.isArray(value) && value.every((item) => typeof item === "string")
        ? value.join(" ")
        : JSON.stringify(value)
  return FORMULA.test(text) ? `'${text}` : text
}

const cell = (value: unknown): string => {
  const text = textOf(value)
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

const line = (cells: ReadonlyArray<unknown>): string => `${cells.map(cell).join(",")}\r\n`

/** A document of all fields that any of the rows has, in the order in which they are met. */
export const csvOf = (rows: ReadonlyArray<object>): string => {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const value = (row: object, name: string): unknown => (row as Record<string, unknown>)[name]
  return `\uFEFF${line(names)}${rows.map((row) => line(names.map((name) => value(row, name)))).join("")}`
}

/** Hands a document to the browser's downloads. */
export const download = (name: string, text: string): void => {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
