/** Payments and refunds as the console shows them. Money in minor units. */
import * as Schema from "effect/Schema"
import * as AdminList from "./AdminList.ts"
import * as AdminWrite from "./AdminWrite.ts"
import * as InertText from "./InertText.ts"
import { Timestamp } from "./Instant.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"
import { Payment } from "./Payment.ts"

const statuses = ["processing", "requires_action", "succeeded", "declined", "closed"] as const
const refundStatuses = ["pending", "succeeded", "failed"] as const

/** Money that came by a payment: `new` until ordering, or the wallet, has taken or refused it. */
export const Capture = Schema.Struct({
  capture_id: Schema.String,
  provider_txn_id: Schema.String,
  amount: Schema.Int,
  state: Schema.Literal("new", "applied", "refused"),
  created_at: Timestamp,
}).annotations({ identifier: "Capture" })

/**
 * One try to give money back; a failed one may be followed by another (`attempt`). `reason` in one word: `operator`, or
 * why ordering refused the money. `actor_id` is null where the system acted for itself.
 */
export const Refund = Schema.Struct({
  refund_id: Schema.String,
  payment_id: Schema.String,
  capture_id: Schema.String,
  order_num: Schema.String,
  user_id: Id,
  channel: Schema.String,
  amount: Schema.Int,
  currency: Schema.String,
  status: Schema.Literal(...refundStatuses),
  reason: Schema.String,
  attempt: Schema.Int,
  failure: Schema.NullOr(Schema.String),
  actor_id: Schema.NullOr(Id),
  created_at: Timestamp,
  succeeded_at: Schema.NullOr(Timestamp),
}).annotations({ identifier: "Refund" })
export type Refund = typeof Refund.Type

/** `state` is finer than `status`: it tells money that is refunded from money that was taken. */
export const AdminPayment = Schema.Struct({
  payment_id: Schema.String,
  purpose: Schema.Literal("order", "topup"),
  order_num: Schema.String,
  user_id: Id,
  channel: Schema.String,
  amount: Schema.Int,
  currency: Schema.String,
  status: Payment.fields.status,
  state: Schema.String,
  captures: Schema.Array(Capture),
  refunds: Schema.Array(Refund),
  version: Schema.Int,
  created_at: Timestamp,
  updated_at: Timestamp,
}).annotations({ identifier: "AdminPayment" })
export type AdminPayment = typeof AdminPayment.Type

const orderNum = { order_num: Schema.optionalWith(InertText.line(1, 64), { exact: true }) }

export const ListPaymentsQuery = strict(
  Schema.Struct({
    ...orderNum,
    status: Schema.optionalWith(Schema.Literal(...statuses), { exact: true }),
    ...AdminList.query,
  }),
)

export const ListRefundsQuery = strict(
  Schema.Struct({
    ...orderNum,
    status: Schema.optionalWith(Schema.Literal(...refundStatuses), { exact: true }),
    ...AdminList.query,
  }),
)

/** All of it goes back; what stands against it is told as 520, so there is no version to send. */
export const RefundPayload = strict(Schema.Struct({ ...AdminWrite.reason })).annotations({
  identifier: "RefundPayload",
})
