/** A figure: what we do, what it is measured against, and their ratio, from one run on one machine. */
export interface Result {
  readonly name: string
  readonly unit: string
  readonly ours: number
  readonly reference: number
  /** What `reference` is. */
  readonly against: string
}

export const ratio = (result: Result): number => result.ours / result.reference

/** The middle value; of an even number, the lower of the two. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)]!
}

const rounded = (n: number) => (n >= 100 ? String(Math.round(n)) : n.toFixed(2))

/** One object a line. */
export const json = (results: ReadonlyArray<Result>): string =>
  results.map((result) => JSON.stringify({ ...result, ratio: ratio(result) })).join("\n")

/** A table for people. */
export const table = (results: ReadonlyArray<Result>): string => {
  const rows = [
    ["figure", "ours", "reference", "ratio", "against"],
    ...results.map((r) => [
      r.name,
      `${rounded(r.ours)} ${r.unit}`,
      rounded(r.reference),
      rounded(ratio(r)),
      r.against,
    ]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
