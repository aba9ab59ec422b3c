/** Deletes expired refresh tokens, so that their table doesn't grow without end. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { SessionStore } from "../store/SessionStore.ts"

/** With jitter, so that several processes don't sweep at the same time. */
const every = Schedule.jittered(Schedule.spaced("10 minutes"))

export const layer: Layer.Layer<never, never, SessionStore> = Layer.scopedDiscard(
  Effect.flatMap(SessionStore, ({ sweep }) =>
    sweep.pipe(
      Effect.flatMap((deleted) =>
        deleted > 0 ? Effect.logInfo(`deleted ${deleted} expired refresh tokens`) : Effect.void,
      ),
      Effect.catchAll((error) => Effect.logWarning("expired refresh tokens weren't deleted", error)),
      Effect.repeat(every),
      Effect.forkScoped,
    ),
  ),
)
