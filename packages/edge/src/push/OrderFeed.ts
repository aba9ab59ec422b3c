/** From the event bus into the journal: one edge of all takes each message, and all of them tell it. */
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Journal } from "./Journal.ts"

export const GROUP = "edge-push"

/** A stream that begins today needn't be told of last week's orders. */
const MAX_AGE_MS = 10 * 60_000
/** Changes that one entry of the journal carries. */
const MAX_CHANGES = 500

const decode = Schema.decodeUnknownOption(Schema.parseJson(OrderEvent))

type Change = readonly [userId: number, orderNum: string, state: string, version: number, updatedAt: string]

const changesOf = (batch: ReadonlyArray<IncomingMessage>, nowMs: number): Array<Change> =>
  batch.flatMap(({ timestampMs, value }) => {
    if (nowMs - timestampMs > MAX_AGE_MS) return []
    const event = decode(Buffer.from(value).toString("utf8"))
    if (event._tag === "None") return []
    return event.value.changes.map(
      (change): Change => [
        change.user_id,
        change.order_num,
        change.state,
        change.version,
        event.value.occurred_at,
      ],
    )
  })

/** Consumes until interrupted. A message of the same change twice is told twice: listeners go by its version. */
const run = Effect.gen(function* () {
  const bus = yield* EventBus
  const journal = yield* Journal
  const clock = yield* Effect.clock
  return yield* bus.consume({
    group: GROUP,
    topics: [Topic.OrderEvents],
    maxBatch: 100,
    handle: (batch) =>
      Effect.gen(function* () {
        const orders = changesOf(batch, clock.unsafeCurrentTimeMillis())
        for (let at = 0; at < orders.length; at += MAX_CHANGES) {
          yield* journal.append({ orders: orders.slice(at, at + MAX_CHANGES) })
        }
      }),
  })
})

export const layer = Consumer.layer(GROUP, run)
