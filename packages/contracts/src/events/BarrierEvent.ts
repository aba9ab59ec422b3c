/**
 * A mark that recovery sends down every partition of the reservations topic: once the order worker has recorded it,
 * everything produced before it is decided in MySQL.
 */
import * as Schema from "effect/Schema"

export const BarrierEvent = Schema.Struct({
  event_id: Schema.String,
  type: Schema.Literal("seckill.barrier"),
  version: Schema.Literal(1),
  /** Rises with every recovery. */
  epoch: Schema.Int,
  /** RFC 3339 UTC. */
  occurred_at: Schema.String,
})

export type BarrierEvent = typeof BarrierEvent.Type
