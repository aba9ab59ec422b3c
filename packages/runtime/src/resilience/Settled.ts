/**
 * Several calls at once, each to its end. `Effect.forEach` interrupts the others as soon as one fails, and a breaker that
 * is half open lets a few through to find out and refuses the rest at once: so those would be interrupted by their own
 * siblings each time, and the breaker stay half open.
 */
import * as Effect from "effect/Effect"
import type { Concurrency } from "effect/Types"

/** As `Effect.forEach`, but nothing is interrupted; fails as the first that failed, in the order of the items. */
export const forEach = <A, B, E, R>(
  items: Iterable<A>,
  use: (item: A) => Effect.Effect<B, E, R>,
  options: { readonly concurrency: Concurrency },
): Effect.Effect<ReadonlyArray<B>, E, R> =>
  Effect.validateAll(items, use, options).pipe(Effect.mapError(([first]) => first))
