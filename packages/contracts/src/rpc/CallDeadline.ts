/**
 * How long the work at hand may still take. The gRPC server sets it from the deadline that the caller sent; every
 * outgoing call reads it, so that the time left shrinks from hop to hop and nobody works for a caller who has left.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Unix milliseconds by which the answer is wanted; infinite where nobody has said. */
export class CallDeadline extends Context.Reference<CallDeadline>()("@floodgate/contracts/rpc/CallDeadline", {
  defaultValue: (): number => Number.POSITIVE_INFINITY,
}) {}

/** Gives everything inside at most `ms` milliseconds from its start, and never more than was left already. */
export const within =
  (ms: number) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(CallDeadline, (left) =>
      Effect.provideService(self, CallDeadline, Math.min(left, Date.now() + ms)),
    )
