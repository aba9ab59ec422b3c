/** What the relay tells the order worker: one reservation, exactly as Redis confirmed it. */
import * as Schema from "effect/Schema"

export const ReservationEvent = Schema.Struct({
  event_id: Schema.String,
  type: Schema.Literal("seckill.reserved"),
  version: Schema.Literal(1),
  /** The order number; also the event id, so that every copy of an entry is the same event. */
  order_num: Schema.String,
  user_id: Schema.Int,
  product_id: Schema.Int,
  generation: Schema.Int,
  quantity: Schema.Int,
  /** Minor units for one, as it was at warm-up. */
  price: Schema.Int,
  per_user_limit: Schema.Int,
  request_id: Schema.String,
  /** Unix ms by the shard's Redis. */
  reserved_at_ms: Schema.Int,
  traceparent: Schema.optionalWith(Schema.String, { exact: true }),
})

export type ReservationEvent = typeof ReservationEvent.Type
