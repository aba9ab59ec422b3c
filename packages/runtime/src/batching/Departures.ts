/** Common moments of leaving: who has something to send goes together with all who have. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Waits for the next departure: at once after a pause, else `gatherMs` after the last. */
export const make = (gatherMs: number): Effect.Effect<void> => {
  /** The last departure, or the next where somebody waits for it. Unix ms. */
  let atMs = Number.NEGATIVE_INFINITY
  return Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
    // One that is further away than any is set by a clock that went back since.
    if (nowMs >= atMs + gatherMs || atMs > nowMs + gatherMs) atMs = nowMs
    else if (nowMs >= atMs) atMs += gatherMs
    return atMs > nowMs ? Effect.sleep(atMs - nowMs) : Effect.void
  })
}
