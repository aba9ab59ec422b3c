/** Deletes what has expired (refresh tokens, revocations, outlived keys), so that their tables don't grow without end. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { KeyRing } from "../KeyRing.ts"
import { RevocationStore } from "../store/RevocationStore.ts"
import { SessionStore } from "../store/SessionStore.ts"

/** With jitter, so that several processes don't sweep at the same time. */
const every = Schedule.jittered(Schedule.spaced("10 minutes"))

export const layer: Layer.Layer<never, never, SessionStore | RevocationStore | KeyRing> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const sessions = yield* SessionStore
    const revocations = yield* RevocationStore
    const keys = yield* KeyRing
    const sweeps = [
      ["refresh tokens", sessions.sweep],
      ["revocations", revocations.sweep],
      ["signing keys", keys.sweep],
    ] as const
    yield* Effect.forEach(sweeps, ([what, sweep]) =>
      sweep.pipe(
        Effect.flatMap((deleted) =>
          deleted > 0 ? Effect.logInfo(`deleted ${deleted} expired ${what}`) : Effect.void,
        ),
        Effect.catchAll((error) => Effect.logWarning(`expired ${what} weren't deleted`, error)),
      ),
    ).pipe(Effect.repeat(every), Effect.forkScoped)
  }),
)
