/**
 * What ordering tells everyone. One message carries the changes of one transaction (a batch creates hundreds of
 * orders); a consumer ignores a change whose version isn't newer than what it knows of that order.
 */
import * as Schema from "effect/Schema"

export const OrderChangeType = Schema.Literal(
  "order.created",
  "order.rejected",
  "order.paid",
  "order.cancelled",
  /** The answer to a capture that came too late or twice: payment refunds it. */
  "order.payment_refused",
  /** An operator's refund of a paid order: under way, done, or failed, which leaves the order paid. */
  "order.refunding",
  "order.refunded",
  "order.refund_failed",
)

export const OrderChange = Schema.Struct({
  order_num: Schema.String,
  user_id: Schema.Int,
  product_id: Schema.Int,
  generation: Schema.Int,
  quantity: Schema.Int,
  state: Schema.Literal("unpaid", "paid", "cancelled", "rejected", "refunding", "refunded"),
  /** The order's own version, rising with every change. */
  version: Schema.Int,
  /** reject_reason or cancel_reason. */
  reason: Schema.optionalWith(Schema.String, { exact: true }),
  payment_id: Schema.optionalWith(Schema.String, { exact: true }),
  capture_id: Schema.optionalWith(Schema.String, { exact: true }),
})

export type OrderChange = typeof OrderChange.Type

export const OrderEvent = Schema.Struct({
  event_id: Schema.String,
  type: OrderChangeType,
  version: Schema.Literal(1),
  aggregate: Schema.String,
  /** RFC 3339 UTC. */
  occurred_at: Schema.String,
  traceparent: Schema.optionalWith(Schema.String, { exact: true }),
  changes: Schema.Array(OrderChange),
})

export type OrderEvent = typeof OrderEvent.Type
