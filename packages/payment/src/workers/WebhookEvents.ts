/** Listens to what becomes of orders, and writes down which endpoint is to be told. */
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { eventOf, isEventType, type WebhookEvent } from "../domain/Webhook.ts"
import { WebhookStore } from "../store/WebhookStore.ts"
import { WebhookSender } from "./WebhookSender.ts"

const GROUP = "payment.webhooks"

const decode = Schema.decodeUnknown(Schema.parseJson(OrderEvent))

/** The messages of a batch that anybody could have asked for. */
const read = Effect.fnUntraced(function* (message: IncomingMessage) {
  const type = message.headers["event-type"]
  // Every order's creation passes here too, and isn't worth reading.
  if (type !== undefined && !isEventType(type)) return []
  const event = yield* decode(new TextDecoder().decode(message.value)).pipe(
    Effect.tapError((error) => Effect.logError("an order event can't be read; no endpoint is told", error)),
    Effect.option,
  )
  if (event._tag === "None") return []
  const { value } = event
  return isEventType(value.type)
    ? value.changes.map((change) => eventOf(value, value.type as WebhookEvent["type"], change))
    : []
})

/** Takes one batch of messages. */
export const handle = (batch: ReadonlyArray<IncomingMessage>) =>
  Effect.gen(function* () {
    const events = yield* Effect.forEach(batch, read)
    if (yield* (yield* WebhookStore).announce(events.flat())) yield* (yield* WebhookSender).nudge
  })

/** Consumes while the scope is open. */
export const layer = Consumer.layer(
  GROUP,
  Effect.gen(function* () {
    const bus = yield* EventBus
    const context = yield* Effect.context<WebhookStore | WebhookSender>()
    return yield* bus.consume({
      group: GROUP,
      topics: [Topic.OrderEvents],
      handle: (batch) => Effect.provide(handle(batch), context),
    })
  }),
)
