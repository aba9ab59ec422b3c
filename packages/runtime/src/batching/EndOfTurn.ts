/** When everything that came with this turn of the event loop was looked at: what batches wait for. */
import * as Effect from "effect/Effect"

export const endOfTurn: Effect.Effect<void> = Effect.async((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
