/** When somebody asked, the last few times: machines keep time better than people do. */

/** The most moments that are kept of anybody. */
export const KEPT = 32

/** Intervals longer than this (ms) are pauses, and begin a new row. */
const PAUSE_MS = 60_000

/** The newest last, at most {@link KEPT}; changed in place, because it is asked for every click. */
export type Moments = Array<number>

/** Takes in that somebody asked now. */
export const see = (moments: Moments, nowMs: number): void => {
  const last = moments.at(-1)
  if (last !== undefined && nowMs - last > PAUSE_MS) moments.length = 0
  else if (moments.length === KEPT) moments.shift()
  moments.push(nowMs)
}

/** The standard deviation (ms) of the intervals of the last `samples` moments; undefined where there are fewer. */
export const jitterMs = (moments: Readonly<Moments>, samples: number): number | undefined => {
  if (moments.length < samples || samples < 3) return undefined
  const first = moments.length - samples
  const intervals = samples - 1
  const mean = (moments[moments.length - 1]! - moments[first]!) / intervals
  // Everything at once is a burst, which limits are about.
  if (mean < 1) return undefined
  let sum = 0
  for (let i = first + 1; i < moments.length; i++) sum += (moments[i]! - moments[i - 1]! - mean) ** 2
  return Math.sqrt(sum / intervals)
}
