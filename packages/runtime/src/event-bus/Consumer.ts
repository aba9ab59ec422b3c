/** A consumer that goes on for as long as its service lives. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { BusFailed } from "./BusError.ts"

/** Between the end of a consumer that it can't help (its group was refused) and the next try, in milliseconds. */
const RESTART_MS = 5_000

/**
 * Runs a `consume` of this group while the scope is open. Where the bus refuses the group it is tried again: an
 * operator may mend it meanwhile, and until then the service's calls are answered while messages wait in their topic.
 */
export const layer = <R>(
  group: string,
  run: Effect.Effect<never, BusFailed, R>,
): Layer.Layer<never, never, R> =>
  Layer.scopedDiscard(
    run.pipe(
      Effect.tapErrorCause((cause) => Effect.logError(`consumer ${group} ended; it is started again`, cause)),
      Effect.sandbox,
      Effect.retry({
        while: (cause) => !Cause.isInterrupted(cause),
        schedule: Schedule.spaced(RESTART_MS),
      }),
      Effect.forkScoped,
    ),
  )
