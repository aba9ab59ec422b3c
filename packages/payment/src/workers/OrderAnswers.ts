/** Ordering's answer to each capture: its order took the money, or refused it and it goes back. */
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { IntentStore } from "../store/IntentStore.ts"
import { RefundStore } from "../store/RefundStore.ts"

const GROUP = "payment"

const ANSWERS: ReadonlySet<string> = new Set<OrderEvent["type"]>(["order.paid", "order.payment_refused"])

const decode = Schema.decodeUnknown(Schema.parseJson(OrderEvent))

/** Consumes while the scope is open. */
export const layer: Layer.Layer<never, never, EventBus | IntentStore | RefundStore> = Consumer.layer(
  GROUP,
  Effect.gen(function* () {
    const bus = yield* EventBus
    const intents = yield* IntentStore
    const refunds = yield* RefundStore

    const apply = Effect.fnUntraced(function* (event: OrderEvent) {
      for (const change of event.changes) {
        if (change.payment_id === undefined || change.capture_id === undefined) continue
        if (event.type === "order.paid") yield* intents.applied(change.payment_id, change.capture_id)
        else yield* refunds.refused(change.payment_id, change.capture_id, change.reason ?? change.state)
      }
    })

    const handle = Effect.fnUntraced(function* (message: IncomingMessage) {
      const type = message.headers["event-type"]
      // Every order's creation passes here too, and isn't worth reading.
      if (type !== undefined && !ANSWERS.has(type)) return
      const event = yield* decode(new TextDecoder().decode(message.value)).pipe(
        Effect.tapError((error) => Effect.logError("an order event can't be read; it is left out", error)),
        Effect.option,
      )
      if (event._tag === "None" || !ANSWERS.has(event.value.type)) return
      yield* apply(event.value).pipe(TraceContext.withParent(event.value.traceparent))
    })

    return yield* bus.consume({
      group: GROUP,
      topics: [Topic.OrderEvents],
      handle: (batch) => Effect.forEach(batch, handle, { discard: true }),
    })
  }),
)
