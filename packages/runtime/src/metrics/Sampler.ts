/**
 * Levels that have to be asked for (a consumer's lag, a table's rows) are asked for by a fiber, at their own pace: a
 * scrape reads what is known, and never waits.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** Between two samples, unless said, in milliseconds. */
const EVERY_MS = 5_000

/**
 * Runs `sample` again and again until the scope closes. A sample that fails leaves what it would have told as it was: a
 * dependency that is away is told by the metrics of its calls.
 */
export const make = <E, R>(
  name: string,
  sample: Effect.Effect<unknown, E, R>,
  everyMs: number = EVERY_MS,
): Effect.Effect<void, never, R | Scope.Scope> =>
  sample.pipe(
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Effect.logDebug(`${name} can't be sampled`, cause),
    ),
    Effect.repeat(Schedule.spaced(everyMs)),
    Effect.withTracerEnabled(false),
    Effect.forkScoped,
    Effect.asVoid,
  )
