/**
 * A count within a sliding window in two numbers: this window's, and the part of the last one's that still reaches into
 * it. Exact for hits that come evenly, and never off by more than the last window's count. The same as in lua/hits.lua.
 */

export interface State {
  /** The number of the window that `current` is about. */
  readonly window: number
  readonly current: number
  readonly previous: number
}

export const empty: State = { window: 0, current: 0, previous: 0 }

const turned = (state: State, window: number): State =>
  window === state.window
    ? state
    : { window, current: 0, previous: window === state.window + 1 ? state.current : 0 }

/** The hits within the last `windowMs`. */
export const count = (state: State, nowMs: number, windowMs: number): number => {
  const window = Math.floor(nowMs / windowMs)
  const { current, previous } = turned(state, window)
  return previous * (1 - (nowMs - window * windowMs) / windowMs) + current
}

export const add = (state: State, nowMs: number, windowMs: number, hits: number): State => {
  const now = turned(state, Math.floor(nowMs / windowMs))
  return { ...now, current: now.current + hits }
}

/** How long (ms) until the count is below `max`, if nothing more happens; 0 where it is. */
export const waitMs = (state: State, nowMs: number, windowMs: number, max: number): number => {
  if (count(state, nowMs, windowMs) < max) return 0
  const window = Math.floor(nowMs / windowMs)
  const { current, previous } = turned(state, window)
  const beganMs = window * windowMs
  // Within this window the last one's part shrinks; in the next one this one's does.
  const part = (hits: number, room: number): number => windowMs * (1 - room / hits)
  const at = current < max ? beganMs + part(previous, max - current) : beganMs + windowMs + part(current, max)
  return Math.max(1, Math.ceil(at - nowMs) + 1)
}
