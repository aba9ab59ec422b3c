/** Orders as the HTTP contract shows them. Money in minor units. */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Instant.ts"
import * as Page from "./Page.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

export const orderStates = [
  "queued",
  "unpaid",
  "paid",
  "cancelled",
  "rejected",
  "refunding",
  "refunded",
] as const
export const OrderState = Schema.Literal(...orderStates)
export type OrderState = typeof OrderState.Type

/** The coarse status of each state; a queued reservation has none yet. */
export const statusOf = {
  queued: null,
  unpaid: 0,
  paid: 1,
  cancelled: 2,
  rejected: 2,
  refunding: 1,
  refunded: 1,
} as const satisfies Record<OrderState, 0 | 1 | 2 | null>

/** `id` is null while queued; exactly one of `reject_reason` and `cancel_reason` is set on an order that ended unpaid. */
export const Order = Schema.Struct({
  id: Schema.NullOr(Id),
  order_num: Schema.String,
  user_id: Id,
  product_id: Id,
  product_name: Schema.String,
  quantity: Schema.Int,
  amount: Schema.Int,
  currency: Schema.String,
  status: Schema.NullOr(Schema.Literal(0, 1, 2)),
  state: OrderState,
  reject_reason: Schema.NullOr(Schema.Literal("stock", "limit", "generation", "lost", "not_reserved")),
  cancel_reason: Schema.NullOr(Schema.Literal("user", "timeout", "operator")),
  expires_at: Schema.NullOr(Timestamp),
  paid_at: Schema.NullOr(Timestamp),
  cancelled_at: Schema.NullOr(Timestamp),
  payment: Schema.NullOr(
    Schema.Struct({ payment_id: Schema.String, channel: Schema.String, status: Schema.String }),
  ),
  refund: Schema.NullOr(
    Schema.Struct({
      refund_id: Schema.String,
      amount: Schema.Int,
      status: Schema.Literal("pending", "succeeded", "failed"),
      reason: Schema.String,
      created_at: Timestamp,
      succeeded_at: Schema.NullOr(Timestamp),
    }),
  ),
  created_at: Timestamp,
  updated_at: Timestamp,
}).annotations({ identifier: "Order" })
export type Order = typeof Order.Type

export const ListOrdersQuery = strict(
  Schema.Struct({
    status: Schema.optionalWith(Schema.Literal("0", "1", "2"), { exact: true }),
    state: Schema.optionalWith(OrderState, { exact: true }),
    ...Page.query,
  }),
)

/** An opaque number in a path: one that was never issued is not found, whatever it looks like. */
export const OrderNumPath = Schema.Struct({ order_num: Schema.String })
