/** Figures: what we do, what that is measured against, and their ratio, from one run on one machine. */

/** What several rounds gave. */
export interface Rounds {
  readonly median: number
  readonly low: number
  readonly high: number
}

export interface Result {
  readonly name: string
  readonly unit: string
  readonly ours: Rounds
  /** Undefined where the figure stands for itself. */
  readonly reference: Rounds | undefined
  /** What `reference` is. */
  readonly against: string
  /**
   * What is to be reached: of the ratio, or of `ours` where there is no reference. `more`: at least so much, `less`: at
   * most so much. Undefined where nothing was promised.
   */
  readonly reach: { readonly more: number } | { readonly less: number } | undefined
  /** What one must know to read it: the backlog, processor time, percentiles. */
  readonly notes: ReadonlyArray<string>
}

/** The middle value; of an even number, the lower of the two. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)]!
}

export const rounds = (values: ReadonlyArray<number>): Rounds => ({
  median: median(values),
  low: Math.min(...values),
  high: Math.max(...values),
})

/** Of the medians: `ours / reference`. Undefined where there is no reference. */
export const ratio = ({ ours, reference }: Result): number | undefined =>
  reference === undefined ? undefined : ours.median / reference.median

/** Whether it is what is to be reached; undefined where nothing was promised. */
export const reached = (result: Result): boolean | undefined => {
  const { reach } = result
  if (reach === undefined) return undefined
  const value = ratio(result) ?? result.ours.median
  return "more" in reach ? value >= reach.more : value <= reach.less
}

const rounded = (n: number): string => (Math.abs(n) >= 100 ? String(Math.round(n)) : n.toFixed(2))

const shown = ({ high, low, median: middle }: Rounds): string =>
  low === high ? rounded(middle) : `${rounded(middle)} (${rounded(low)}–${rounded(high)})`

/** One object a line. */
export const json = (results: ReadonlyArray<Result>): string =>
  results
    .map((result) =>
      JSON.stringify({
        name: result.name,
        ours: result.ours.median,
        reference: result.reference?.median ?? null,
        ratio: ratio(result) ?? null,
        unit: result.unit,
        against: result.against,
        reach: result.reach ?? null,
        reached: reached(result) ?? null,
        ours_spread: [result.ours.low, result.ours.high],
        reference_spread:
          result.reference === undefined ? null : [result.reference.low, result.reference.high],
        notes: result.notes,
      }),
    )
    .join("\n")

/** A table for people, with the notes below. */
export const table = (results: ReadonlyArray<Result>): string => {
  const rows = [
    ["figure", "ours", "reference", "ratio", "to reach", "against"],
    ...results.map((result) => {
      const of = ratio(result)
      const { reach } = result
      const mark = reached(result)
      return [
        result.name,
        `${shown(result.ours)} ${result.unit}`,
        result.reference === undefined ? "–" : shown(result.reference),
        of === undefined ? "–" : rounded(of),
        reach === undefined
          ? "–"
          : `${"more" in reach ? `≥ ${reach.more}` : `≤ ${reach.less}`}${mark === true ? "" : ", missed"}`,
        result.against,
      ]
    }),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ")
      .trimEnd(),
  )
  const notes = results.flatMap(({ name, notes }) => notes.map((note) => `  ${name}: ${note}`))
  return [...lines, ...(notes.length === 0 ? [] : ["", ...notes])].join("\n")
}
