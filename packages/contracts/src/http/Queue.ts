/** The waiting room in front of a product: who is let in, and when. */
import * as Schema from "effect/Schema"
import { strict } from "./Payload.ts"
import { MAX_TICKET_LENGTH } from "./Seckill.ts"

/**
 * `position` counts from 1, and `ahead` those before it; in the first second they still change, because everyone who
 * comes in it is drawn by lot. Position 0 with the state `waiting` is somebody who hasn't joined. Ask again after
 * `retry_after_ms`. `ticket`, for whoever is admitted, goes into `POST /seckill` within a minute; it is left out where
 * the product has no waiting room.
 */
export const QueuePlace = Schema.Struct({
  state: Schema.Literal("waiting", "admitted"),
  position: Schema.Int,
  ahead: Schema.Int,
  retry_after_ms: Schema.Int,
  ticket: Schema.optionalWith(Schema.String, { exact: true }),
}).annotations({ identifier: "QueuePlace" })
export type QueuePlace = typeof QueuePlace.Type

/** `ticket` carries what a challenge proved, where the product asks for one; its proof goes over into the room's own. */
export const QueuePayload = strict(
  Schema.Struct({
    ticket: Schema.optionalWith(
      Schema.String.pipe(Schema.minLength(1), Schema.maxLength(MAX_TICKET_LENGTH)),
      { exact: true },
    ),
  }),
).annotations({ identifier: "QueuePayload" })
