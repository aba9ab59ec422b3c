/** How sure a rate is: Wilson's score interval, which stays within 0 and 1 and is honest about few people, too. */

/** The quantile of the normal distribution for 95 %, both sides. */
const Z = 1.959_963_984_540_054

export interface Interval {
  readonly rate: number
  readonly low: number
  readonly high: number
}

/** The 95 % interval of a share of `successes` among `trials`; undefined where there were none. */
export const wilson = (successes: number, trials: number): Interval | undefined => {
  if (trials === 0) return undefined
  const rate = successes / trials
  const z2 = Z * Z
  const scale = 1 + z2 / trials
  const centre = (rate + z2 / (2 * trials)) / scale
  const half = (Z / scale) * Math.sqrt((rate * (1 - rate)) / trials + z2 / (4 * trials * trials))
  // At the ends the arithmetic is exact; its rounding isn't.
  return {
    rate,
    low: successes === 0 ? 0 : Math.max(0, centre - half),
    high: successes === trials ? 1 : Math.min(1, centre + half),
  }
}
