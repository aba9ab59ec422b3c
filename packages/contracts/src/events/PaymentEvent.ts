/** What payment tells ordering. */
import * as Schema from "effect/Schema"

export const PaymentEvent = Schema.Struct({
  event_id: Schema.String,
  type: Schema.Literal(
    /** An intent was opened or moved; the order shows it. */
    "payment.updated",
    /** Money is there; ordering answers with order.paid or order.payment_refused. */
    "payment.captured",
    "refund.updated",
  ),
  version: Schema.Literal(1),
  /** The order number. */
  aggregate: Schema.String,
  occurred_at: Schema.String,
  traceparent: Schema.optionalWith(Schema.String, { exact: true }),
  payment_id: Schema.String,
  order_num: Schema.String,
  channel: Schema.String,
  status: Schema.Literal("processing", "requires_action", "succeeded", "declined", "closed"),
  amount: Schema.Int,
  currency: Schema.String,
  /** The intent's own version, rising with every change. */
  payment_version: Schema.Int,
  capture_id: Schema.optionalWith(Schema.String, { exact: true }),
  refund: Schema.optionalWith(
    Schema.Struct({
      refund_id: Schema.String,
      amount: Schema.Int,
      status: Schema.Literal("pending", "succeeded", "failed"),
      reason: Schema.String,
      created_at: Schema.String,
      succeeded_at: Schema.NullOr(Schema.String),
    }),
    { exact: true },
  ),
})

export type PaymentEvent = typeof PaymentEvent.Type
