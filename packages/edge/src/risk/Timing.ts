/** When somebody asked, the last few times: machines keep time better than people do. */

/** The most moments that are kept of anybody. */
export const KEPT = 32

/** Intervals longer than this (ms) are pauses, and begin a new row. */
const PAUSE_MS = 60_000

/** The newest last, at most {@link KEPT}. */
export const seen = (momentsMs: ReadonlyArray<number>, nowMs: number): ReadonlyArray<number> => {
  const last = momentsMs.at(-1)
  if (last !== undefined && nowMs - last > PAUSE_MS) return [nowMs]
  return [...momentsMs.slice(1 - KEPT), nowMs]
}

/** The standard deviation (ms) of the intervals of the last `samples` moments; undefined where there are fewer. */
export const jitterMs = (momentsMs: ReadonlyArray<number>, samples: number): number | undefined => {
  if (momentsMs.length < samples || samples < 3) return undefined
  const intervals = momentsMs.slice(-samples).flatMap((at, i, all) => (i === 0 ? [] : [at - all[i - 1]!]))
  const mean = intervals.reduce((sum, interval) => sum + interval, 0) / intervals.length
  // Everything at once is a burst, which limits are about.
  if (mean < 1) return undefined
  return Math.sqrt(intervals.reduce((sum, interval) => sum + (interval - mean) ** 2, 0) / intervals.length)
}
