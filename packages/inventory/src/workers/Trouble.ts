/** Says that something stopped working, and that it works again, once each, however often and wherever it is tried. */
import * as Effect from "effect/Effect"

export interface Trouble {
  /** It failed. Logged where it worked before. */
  readonly failed: (error: unknown) => Effect.Effect<void>
  /** It worked. Logged where it failed before. */
  readonly worked: Effect.Effect<void>
}

/** `what` reads as "<what> fails" and "<what> works again". */
export const make = (what: string): Trouble => {
  let failing = false
  return {
    failed: (error) =>
      Effect.suspend(() => {
        if (failing) return Effect.void
        failing = true
        return Effect.annotateLogs(Effect.logWarning(`${what} fails`), {
          reason: error instanceof Error ? error.message : String(error),
        })
      }),
    worked: Effect.suspend(() => {
      if (!failing) return Effect.void
      failing = false
      return Effect.logInfo(`${what} works again`)
    }),
  }
}
