/**
 * Who paid, from ordering's events: one edge of all takes each message, and writes before the message counts as done. A
 * message that comes twice changes nothing, because people count once.
 */
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Experiments } from "./Experiments.ts"
import { PeopleStore } from "./PeopleStore.ts"

export const GROUP = "edge-experiments"

/** How often (ms) a batch is tried while the database is away; the bus keeps what comes meanwhile. */
const RETRY_MS = 1_000

const decode = Schema.decodeUnknownOption(Schema.parseJson(OrderEvent))

const run = Effect.gen(function* () {
  const bus = yield* EventBus
  const experiments = yield* Experiments
  const people = yield* PeopleStore
  return yield* bus.consume({
    group: GROUP,
    topics: [Topic.OrderEvents],
    maxBatch: 100,
    handle: (batch) => {
      const sightings = batch.flatMap(({ value }) => {
        const event = decode(Buffer.from(value).toString("utf8"))
        if (event._tag === "None" || event.value.type !== "order.paid") return []
        return event.value.changes.flatMap(({ user_id }) => experiments.sightingsOf(user_id, "paid"))
      })
      return sightings.length === 0
        ? Effect.void
        : people.add(sightings).pipe(
            Effect.tapError((error) => Effect.logDebug("who paid can't be written yet", error)),
            Effect.retry(Schedule.spaced(RETRY_MS)),
            Effect.orDie,
          )
    },
  })
})

export const layer = Consumer.layer(GROUP, run)
