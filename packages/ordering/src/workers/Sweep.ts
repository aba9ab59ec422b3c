/** How a worker goes round: page by page while there is work, then a pause; never ended by an engine's trouble. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

export interface SweepOptions<E, R> {
  readonly name: string
  /** Between two rounds, ms. */
  readonly everyMs: number
  /** The most pages of one round. */
  readonly maxPages: number
  /** One page; true where another may be full of work. */
  readonly page: Effect.Effect<boolean, E, R>
}

/**
 * Runs until interrupted. A round that fails is logged and the next one tries again: what a sweep looks for is still
 * there then.
 */
export const run = <E, R>(options: SweepOptions<E, R>): Effect.Effect<never, never, R> => {
  const round = Effect.gen(function* () {
    for (let pages = 0; pages < options.maxPages; pages++) {
      if (!(yield* options.page)) return
    }
  })
  return round.pipe(
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Effect.logWarning(`${options.name}: the round failed and will be repeated`, cause),
    ),
    // Rounds of an idle sweep would be most of the traces. Steps that belong to a click's trace switch it on again.
    Effect.withTracerEnabled(false),
    Effect.repeat(Schedule.spaced(options.everyMs)),
    Effect.zipRight(Effect.never),
  )
}
