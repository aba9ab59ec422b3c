/** Event streams: what they tell, and how one is asked for. */
import * as Schema from "effect/Schema"
import { strict } from "./Payload.ts"

/** Topics that one stream can have. */
export const MAX_TOPICS = 50

const TOPIC = /^(orders|(stock|queue):[1-9]\d{0,15})$/

/** `orders` (one's own), `stock:<product id>`, `queue:<product id>` (one's place in its waiting room). */
export const Topic = Schema.String.pipe(
  Schema.filter((text) => TOPIC.test(text) || "must be orders, stock:<id> or queue:<id>"),
).annotations({ identifier: "Topic" })

export const Topics = Schema.Array(Topic).pipe(Schema.maxItems(MAX_TOPICS))

/** Replaces the topics of an open stream. */
export const SubscribePayload = strict(Schema.Struct({ topics: Topics })).annotations({
  identifier: "SubscribePayload",
})

export const StreamPath = Schema.Struct({ stream_id: Schema.String })

/** For `EventSource`, which can't set headers: one use, within `expires_in` seconds. */
export const EventTicket = Schema.Struct({ ticket: Schema.String, expires_in: Schema.Int }).annotations({
  identifier: "EventTicket",
})

/** The query of a stream; `topics` comma separated. */
export const StreamQuery = Schema.Struct({
  topics: Schema.String,
  ticket: Schema.optionalWith(Schema.String, { exact: true }),
  last_event_id: Schema.optionalWith(Schema.String, { exact: true }),
})
