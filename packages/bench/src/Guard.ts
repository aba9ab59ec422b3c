/** Whether a change made something much slower: ratios of a short run against those that were written down. */
import { readFile, writeFile } from "node:fs/promises"
import { type Result, ratio } from "./Result.ts"

/** A ratio below this part of its baseline is a regression: short runs on a shared machine vary, halves they don't. */
export const MARGIN = 0.5

export type Baseline = Readonly<Record<string, number>>

export const load = async (file: string): Promise<Baseline> => JSON.parse(await readFile(file, "utf8"))

/** Writes what was measured as what is expected from now on. */
export const accept = async (file: string, results: ReadonlyArray<Result>): Promise<void> => {
  const ratios = results.map((result) => [result.name, Number((ratio(result) ?? 0).toFixed(3))])
  await writeFile(file, `${JSON.stringify(Object.fromEntries(ratios), null, 2)}\n`)
}

/** Of two runs of the same rows the better one, figure by figure: what is slower in both is slower. */
export const better = (one: ReadonlyArray<Result>, two: ReadonlyArray<Result>): ReadonlyArray<Result> => {
  const others = new Map(two.map((result) => [result.name, result]))
  const both = one.map((result) => {
    const other = others.get(result.name)
    others.delete(result.name)
    return other !== undefined && (ratio(other) ?? 0) > (ratio(result) ?? 0) ? other : result
  })
  return [...both, ...others.values()]
}

/** What fell behind, one sentence each. A figure without a baseline, or a baseline without its figure, is told too. */
export const regressions = (baseline: Baseline, results: ReadonlyArray<Result>): ReadonlyArray<string> => {
  const found: Array<string> = []
  const measured = new Map(results.map((result) => [result.name, ratio(result)]))
  for (const [name, expected] of Object.entries(baseline)) {
    const now = measured.get(name)
    if (now === undefined) found.push(`${name} wasn't measured`)
    else if (!(now >= expected * MARGIN)) {
      found.push(
        `${name}: a ratio of ${now.toFixed(2)}, less than ${MARGIN} of the ${expected} that is expected`,
      )
    }
  }
  for (const name of measured.keys()) if (!(name in baseline)) found.push(`${name} has no baseline`)
  return found
}
