/** Applies provider events that were stored and answered: at once when nudged, and by a sweep whatever happens. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Channels } from "../channels/Channel.ts"
import * as Pause from "../domain/Pause.ts"
import { type DueEvent, ProviderEventStore } from "../store/ProviderEventStore.ts"
import * as Sweep from "./Sweep.ts"

const BATCH = 50

/** Between two looks for a payment that nobody knows yet, s. */
const AGAIN_S = 2
const MAX_AGAIN_S = 60
/** After this long without its payment, an event is somebody's business, ms. */
export const ALERT_MS = 600_000

/** Applies one event; what can't be applied yet waits. */
export const handle = Effect.fn("EventApplier.handle")(function* (due: DueEvent) {
  const store = yield* ProviderEventStore
  const channel = (yield* Channels).get(due.channel)
  // Switched off since: it waits for the channel to come back.
  if (channel === undefined) return yield* Effect.asVoid(store.postpone(due.id, MAX_AGAIN_S))
  const event = yield* channel.read(due.body)
  if (event === undefined) return yield* Effect.asVoid(store.ignore(due.id))
  const applied = yield* store.apply(due.id, due.channel, event)
  if (applied === "applied") return
  const log =
    applied === "mismatch"
      ? Effect.logError("a provider's event does not match its payment")
      : due.ageMs > ALERT_MS
        ? Effect.logError("a provider's event has been waiting for its payment too long")
        : Effect.logWarning("a provider's event waits for its payment")
  yield* Effect.annotateLogs(log, {
    channel: due.channel,
    payment_id: event.paymentId,
    event_id: event.eventId,
    age_ms: due.ageMs,
  })
  if (applied === "unknown") yield* store.postpone(due.id, Pause.growing(AGAIN_S, MAX_AGAIN_S, due.tries))
})

export class EventApplier extends Context.Tag("@floodgate/payment/workers/EventApplier")<
  EventApplier,
  { readonly nudge: Effect.Effect<void> }
>() {
  static readonly layer = Layer.scoped(
    EventApplier,
    Effect.gen(function* () {
      const store = yield* ProviderEventStore
      return yield* Sweep.ofRows("provider events", store.claim(BATCH), handle)
    }),
  )
}
