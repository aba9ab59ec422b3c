/** A worker over rows that are due: claims a page, handles each, and looks again when nudged or after a while. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"

const IDLE = Duration.millis(500)

/** How many rows are handled side by side. */
const CONCURRENCY = 8

/**
 * A row whose handling fails is left alone: its claim runs out and it is due again. `nudge` wakes the worker now.
 */
export const make = <A, E1, R1, E2, R2>(
  what: string,
  claim: Effect.Effect<ReadonlyArray<A>, E1, R1>,
  handle: (row: A) => Effect.Effect<unknown, E2, R2>,
) =>
  Effect.gen(function* () {
    const wake = yield* Queue.sliding<void>(1)
    const page = Effect.gen(function* () {
      const rows = yield* claim
      yield* Effect.forEach(
        rows,
        (row) =>
          handle(row).pipe(
            Effect.catchAllCause((cause) => Effect.logWarning(`${what}: one is left for later`, cause)),
            Effect.uninterruptible,
          ),
        { concurrency: CONCURRENCY, discard: true },
      )
      return rows.length
    })
    yield* page.pipe(
      Effect.catchAllCause((cause) =>
        Effect.logWarning(`${what}: could not claim`, cause).pipe(Effect.as(0)),
      ),
      Effect.flatMap((n) =>
        n > 0 ? Effect.void : Queue.take(wake).pipe(Effect.timeoutOption(IDLE), Effect.asVoid),
      ),
      Effect.forever,
      Effect.forkScoped,
    )
    return { nudge: Queue.offer(wake, undefined).pipe(Effect.asVoid) } as const
  })
