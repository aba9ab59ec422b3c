/** How a worker over a database goes round: page by page while there is work, then a pause; no engine's trouble ends it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

export interface SweepOptions<E, R> {
  readonly name: string
  /** Between two rounds, in milliseconds. */
  readonly everyMs: number
  /** The most pages of one round. */
  readonly maxPages: number
  /** One page; true where another may be full of work. */
  readonly page: Effect.Effect<boolean, E, R>
}

/**
 * Goes round while the scope is open. A round that fails is logged and the next one tries again: what a sweep looks
 * for is still there then. `nudge` begins the next round at once.
 */
export const make = <E, R>(
  options: SweepOptions<E, R>,
): Effect.Effect<{ readonly nudge: Effect.Effect<void> }, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const wake = yield* Queue.sliding<void>(1)
    const round = Effect.gen(function* () {
      for (let pages = 0; pages < options.maxPages; pages++) if (!(yield* options.page)) return
    })
    yield* round.pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.failCause(cause as Cause.Cause<never>)
          : Effect.logWarning(`${options.name}: the round failed and will be repeated`, cause),
      ),
      // Rounds of an idle sweep would be most of the traces. Steps that belong to a click's trace switch it on again.
      Effect.withTracerEnabled(false),
      Effect.zipRight(Effect.timeoutOption(Queue.take(wake), options.everyMs)),
      Effect.forever,
      Effect.forkScoped,
    )
    return { nudge: Effect.asVoid(Queue.offer(wake, undefined)) } as const
  })
