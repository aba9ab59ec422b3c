/** Applies provider events that were stored and answered: at once when nudged, and by a sweep whatever happens. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Channels } from "../channels/Channel.ts"
import { PaymentStore } from "../store/PaymentStore.ts"
import * as Sweep from "./Sweep.ts"

const BATCH = 50

export class EventApplier extends Context.Tag("@floodgate/payment/workers/EventApplier")<
  EventApplier,
  { readonly nudge: Effect.Effect<void> }
>() {
  static readonly layer = Layer.scoped(
    EventApplier,
    Effect.gen(function* () {
      const store = yield* PaymentStore
      const channels = yield* Channels
      return yield* Sweep.ofRows("provider events", store.claimEvents(BATCH), (row) =>
        Effect.gen(function* () {
          const channel = channels.get(row.channel)
          if (channel === undefined) return
          const event = yield* channel.read(row.body)
          if (!(yield* store.applyEvent(row.id, event)))
            yield* Effect.logWarning("a callback's payment is not known yet").pipe(
              Effect.annotateLogs({ payment_id: event.paymentId }),
            )
        }),
      )
    }),
  )
}
