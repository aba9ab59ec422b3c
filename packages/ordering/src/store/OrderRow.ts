/** An order as it is read from its table. Times are Unix ms. */
import type { CancelReason, RejectReason, StoredState } from "../domain/OrderState.ts"
import { toMs } from "./Sql.ts"

export interface OrderRow {
  readonly id: number
  readonly order_num: string
  readonly user_id: number
  readonly product_id: number
  readonly product_name: string
  readonly generation: number
  readonly quantity: number
  /** Minor units, for all of the quantity. */
  readonly amount: number
  readonly currency: string
  readonly request_id: string
  readonly state: StoredState
  readonly reject_reason: RejectReason | null
  readonly cancel_reason: CancelReason | null
  readonly cancel_requested_at_ms: number | null
  readonly cancel_requested_reason: CancelReason | null
  readonly expires_at_ms: number | null
  readonly paid_at_ms: number | null
  readonly cancelled_at_ms: number | null
  readonly version: number
  readonly payment_id: string | null
  readonly payment_channel: string | null
  readonly payment_status: string | null
  readonly payment_version: number | null
  readonly capture_id: string | null
  readonly refund_id: string | null
  readonly refund_amount: number | null
  readonly refund_status: string | null
  readonly refund_reason: string | null
  readonly refund_created_at_ms: number | null
  readonly refund_succeeded_at_ms: number | null
  readonly traceparent: string | null
  readonly created_at_ms: number
  readonly updated_at_ms: number
}

/** The select list of an `OrderRow`, from the table under the alias `o`. */
export const columns = `o.id, o.order_num, o.user_id, o.product_id, o.product_name, o.generation, o.quantity,
  o.amount, o.currency, o.request_id, o.state, o.reject_reason, o.cancel_reason,
  ${toMs("o.cancel_requested_at")} AS cancel_requested_at_ms, o.cancel_requested_reason,
  ${toMs("o.expires_at")} AS expires_at_ms, ${toMs("o.paid_at")} AS paid_at_ms,
  ${toMs("o.cancelled_at")} AS cancelled_at_ms, o.version,
  o.payment_id, o.payment_channel, o.payment_status, o.payment_version, o.capture_id,
  o.refund_id, o.refund_amount, o.refund_status, o.refund_reason,
  ${toMs("o.refund_created_at")} AS refund_created_at_ms,
  ${toMs("o.refund_succeeded_at")} AS refund_succeeded_at_ms,
  o.traceparent, ${toMs("o.created_at")} AS created_at_ms, ${toMs("o.updated_at")} AS updated_at_ms`
