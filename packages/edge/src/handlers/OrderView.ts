/** An order as the HTTP contract shows it, made from ordering's message. */
import {
  CancelReason,
  type Order as Message,
  RejectReason,
  OrderState as WireState,
} from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { format } from "@floodgate/contracts/http/Instant"
import { type Order, type OrderState, statusOf } from "@floodgate/contracts/http/Order"

const states: Record<WireState, OrderState> = {
  [WireState.UNSPECIFIED]: "queued",
  [WireState.QUEUED]: "queued",
  [WireState.UNPAID]: "unpaid",
  [WireState.PAID]: "paid",
  [WireState.CANCELLED]: "cancelled",
  [WireState.REJECTED]: "rejected",
  [WireState.REFUNDING]: "refunding",
  [WireState.REFUNDED]: "refunded",
}

export const wireStateOf: Record<OrderState, WireState> = {
  queued: WireState.QUEUED,
  unpaid: WireState.UNPAID,
  paid: WireState.PAID,
  cancelled: WireState.CANCELLED,
  rejected: WireState.REJECTED,
  refunding: WireState.REFUNDING,
  refunded: WireState.REFUNDED,
}

const rejectReasons: Record<RejectReason, Order["reject_reason"]> = {
  [RejectReason.UNSPECIFIED]: null,
  [RejectReason.STOCK]: "stock",
  [RejectReason.LIMIT]: "limit",
  [RejectReason.GENERATION]: "generation",
  [RejectReason.LOST]: "lost",
  [RejectReason.NOT_RESERVED]: "not_reserved",
}

const cancelReasons: Record<CancelReason, Order["cancel_reason"]> = {
  [CancelReason.UNSPECIFIED]: null,
  [CancelReason.USER]: "user",
  [CancelReason.TIMEOUT]: "timeout",
  [CancelReason.OPERATOR]: "operator",
}

const timeOrNull = (ms: bigint): string | null => (ms === 0n ? null : format(Number(ms)))

const refundOf = (refund: NonNullable<Message["refund"]>): Order["refund"] => ({
  refund_id: refund.refundId,
  amount: Number(refund.amount),
  status: refund.status as "pending" | "succeeded" | "failed",
  reason: refund.reason,
  created_at: format(Number(refund.createdAtMs)),
  succeeded_at: timeOrNull(refund.succeededAtMs),
})

export const of = (message: Message): Order => {
  const state = states[message.state] ?? "queued"
  const { payment, refund } = message
  return {
    id: message.id === 0n ? null : Number(message.id),
    order_num: message.orderNum,
    user_id: Number(message.userId),
    product_id: Number(message.productId),
    product_name: message.productName,
    quantity: message.quantity,
    amount: Number(message.amount),
    currency: message.currency,
    status: statusOf[state],
    state,
    reject_reason: rejectReasons[message.rejectReason] ?? null,
    cancel_reason: cancelReasons[message.cancelReason] ?? null,
    expires_at: timeOrNull(message.expiresAtMs),
    paid_at: timeOrNull(message.paidAtMs),
    cancelled_at: timeOrNull(message.cancelledAtMs),
    payment:
      payment === undefined || payment.paymentId === ""
        ? null
        : { payment_id: payment.paymentId, channel: payment.channel, status: payment.status },
    refund: refund === undefined || refund.refundId === "" ? null : refundOf(refund),
    created_at: format(Number(message.createdAtMs)),
    updated_at: format(Number(message.updatedAtMs)),
  }
}
