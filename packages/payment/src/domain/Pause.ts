/** How long to wait before something is tried again, in seconds: longer each time, up to a bound. */

/** `tries` counts those that were made: 1 after the first. */
export const growing = (firstS: number, maxS: number, tries: number): number =>
  Math.min(maxS, firstS * 2 ** Math.min(Math.max(0, tries - 1), 20))
