/** Ordering's answer to each capture: its order took the money, or refused it and it goes back. */
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { PaymentStore } from "../store/PaymentStore.ts"

const GROUP = "payment"

const decode = Schema.decodeUnknown(Schema.parseJson(OrderEvent))

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const bus = yield* EventBus
    const store = yield* PaymentStore

    const apply = Effect.fnUntraced(function* (event: OrderEvent) {
      for (const change of event.changes) {
        if (change.payment_id === undefined || change.capture_id === undefined) continue
        if (event.type === "order.paid") yield* store.applied(change.payment_id, change.capture_id)
        else if (event.type === "order.payment_refused")
          yield* store.refused(change.payment_id, change.capture_id, change.reason ?? change.state)
      }
    })

    yield* bus
      .consume({
        group: GROUP,
        topics: [Topic.OrderEvents],
        handle: (batch) =>
          Effect.forEach(
            batch,
            (message) => {
              // Every order's creation passes here too; only answers to captures concern payment.
              const type = message.headers["event-type"]
              if (type !== undefined && type !== "order.paid" && type !== "order.payment_refused")
                return Effect.void
              return decode(new TextDecoder().decode(message.value)).pipe(
                Effect.matchEffect({
                  onFailure: (error) => Effect.logError("an order event can't be read; skipped", error),
                  onSuccess: (event) => apply(event).pipe(TraceContext.withParent(event.traceparent)),
                }),
              )
            },
            { discard: true },
          ),
      })
      .pipe(Effect.forkScoped)
  }),
)
