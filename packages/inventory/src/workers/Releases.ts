/**
 * Gives stock back in Redis for orders that ended: the release script adds it only by moving that number's record from
 * live to released. A batch counts as done when Redis answered definitely for each of its changes; until then it comes
 * again, from the first change on.
 */
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { type OrderRef, ReservationStore } from "../store/ReservationStore.ts"

/** The consumer group. */
export const GROUP = "inventory"

/** Changes released at once. */
const CONCURRENCY = 32

/** How long one batch is tried before the bus is asked to bring it again. */
const PATIENCE = "5 seconds"

const decode = Schema.decodeUnknown(Schema.parseJson(OrderEvent))

const ENDING = new Set(["order.rejected", "order.cancelled"])

/**
 * What a message gives back. Every order's creation passes here too, and isn't worth reading. An event of a later
 * version that we can't read is left out: the stock stays sold.
 */
const refsOf = (message: IncomingMessage): Effect.Effect<ReadonlyArray<OrderRef>> => {
  const type = message.headers["event-type"]
  if (type !== undefined && !ENDING.has(type)) return Effect.succeed([])
  return decode(Buffer.from(message.value).toString("utf8")).pipe(
    Effect.map((event) =>
      ENDING.has(event.type)
        ? event.changes.map(({ product_id, user_id, order_num }) => ({ product_id, user_id, order_num }))
        : [],
    ),
    Effect.catchAll((error) =>
      Effect.as(
        Effect.annotateLogs(Effect.logError("an order event can't be read"), {
          reason: error.message,
          partition: message.partition,
          offset: message.offset,
        }),
        [],
      ),
    ),
  )
}

/** Releases what a batch of order events gives back. Fails where Redis gave no definite answer within 5 s. */
export const handle = Effect.fn("Releases.handle")(function* (batch: ReadonlyArray<IncomingMessage>) {
  const store = yield* ReservationStore
  const refs = (yield* Effect.forEach(batch, refsOf)).flat()
  const retry = Schedule.exponential("50 millis").pipe(
    Schedule.either(Schedule.spaced("500 millis")),
    Schedule.upTo(PATIENCE),
  )
  // A fenced shard is not a definite answer: a rebuild under way may have counted the order as live already.
  yield* Effect.forEach(refs, (ref) => Effect.retry(store.release(ref), retry), {
    concurrency: CONCURRENCY,
    discard: true,
  })
})

/** Consumes while the scope is open. */
export const layer: Layer.Layer<never, never, EventBus | ReservationStore> = Consumer.layer(
  GROUP,
  Effect.gen(function* () {
    const bus = yield* EventBus
    const context = yield* Effect.context<ReservationStore>()
    return yield* bus.consume({
      group: GROUP,
      topics: [Topic.OrderEvents],
      handle: (batch) => Effect.provide(handle(batch), context),
    })
  }),
)
