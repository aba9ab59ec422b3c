/**
 * Settings in the edge's database that are in force on every edge within a second: each edge looks every 300 ms whether
 * their revision has risen, and reads them where it has. While the database can't be read, the last known ones hold.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** A third of the second within which a change must be in force everywhere. */
export const POLL_MS = 300

export interface Watch<E> {
  /** For the log: "changes of limits". */
  readonly what: string
  /** Rises with every change. */
  readonly revision: Effect.Effect<number, E>
  /** Reads the settings and takes them in. */
  readonly load: Effect.Effect<void, E>
}

/**
 * Looks once before it returns, then for as long as the scope is open. The effect it gives looks at once, so that a
 * change is in force with its answer where it was made; it never fails.
 */
export const make = <E>({
  load,
  revision,
  what,
}: Watch<E>): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function* () {
    let seen = -1
    let failing = false
    const one = yield* Effect.makeSemaphore(1)

    const look = Effect.gen(function* () {
      // Read first: a change that comes between the two is found again by the next look.
      const found = yield* revision
      if (found !== seen) {
        yield* load
        seen = found
      }
      failing = false
    }).pipe(
      // Two at once could take in the older settings last.
      one.withPermits(1),
      Effect.catchAllCause((cause) => {
        if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
        // Once a streak: three times a second would fill the log.
        if (failing) return Effect.void
        failing = true
        return Effect.logWarning(`${what} can't be read; the last known ones hold`, cause)
      }),
      Effect.withTracerEnabled(false),
    )

    yield* look
    yield* Effect.forkScoped(Effect.repeat(look, Schedule.spaced(POLL_MS)))
    return look
  })
