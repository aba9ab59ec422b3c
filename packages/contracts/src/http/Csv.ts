/**
 * Lists as spreadsheets read them: RFC 4180, with a header line. A text that a spreadsheet would take for a formula is
 * defused by an apostrophe, because whoever opens an export is not who wrote the names in it.
 */

/** What a cell may hold. */
export type Cell = string | number | boolean | null

const FORMULA = /^[=+\-@\t\r\n]/
const QUOTED = /[",\r\n]/

const cell = (value: Cell): string => {
  if (value === null) return ""
  // A number of ours is no formula, and a minus belongs to it.
  if (typeof value !== "string") return String(value)
  const safe = FORMULA.test(value) ? `'${value}` : value
  return QUOTED.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

/** One line, its end included. */
export const line = (cells: ReadonlyArray<Cell>): string => `${cells.map(cell).join(",")}\r\n`

const cellOf = (value: unknown): Cell => {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value
  if (value === null || value === undefined) return null
  return Array.isArray(value) && value.every((item) => typeof item === "string")
    ? value.join(" ")
    : JSON.stringify(value)
}

/** A whole document: the named fields of each item, lists of words with blanks between, anything deeper as JSON. */
export const of = <A extends object>(
  columns: ReadonlyArray<keyof A & string>,
  items: ReadonlyArray<A>,
): string => line(columns) + items.map((item) => line(columns.map((name) => cellOf(item[name])))).join("")

export const CONTENT_TYPE = "text/csv; charset=utf-8; header=present"
