/** Payments and refunds as the console shows them, made from payment's messages. */
import type {
  CaptureRecord,
  PaymentRecord,
  RefundRecord,
} from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import type { AdminPayment, Refund } from "@floodgate/contracts/http/AdminPayment"
import { format } from "@floodgate/contracts/http/Instant"
import * as PaymentView from "./PaymentView.ts"

export const refund = (message: RefundRecord): Refund => ({
  refund_id: message.refundId,
  payment_id: message.paymentId,
  capture_id: message.captureId,
  order_num: message.orderNum,
  user_id: Number(message.userId),
  channel: message.channel,
  amount: Number(message.amount),
  currency: message.currency,
  status: message.status as Refund["status"],
  reason: message.reason,
  attempt: message.attempt,
  failure: message.failure === "" ? null : message.failure,
  actor_id: message.actorId === 0n ? null : Number(message.actorId),
  created_at: format(Number(message.createdAtMs)),
  succeeded_at: message.succeededAtMs === 0n ? null : format(Number(message.succeededAtMs)),
})

const capture = (message: CaptureRecord): AdminPayment["captures"][number] => ({
  capture_id: message.captureId,
  provider_txn_id: message.providerTxnId,
  amount: Number(message.amount),
  state: message.state as AdminPayment["captures"][number]["state"],
  created_at: format(Number(message.createdAtMs)),
})

/** Where a person pays is the buyer's to know. */
export const of = (message: PaymentRecord): AdminPayment => {
  const payment = message.payment!
  const { amount, channel, currency, order_num, payment_id, status } = PaymentView.of(payment)
  return {
    payment_id,
    purpose: message.purpose === "topup" ? "topup" : "order",
    order_num,
    user_id: Number(payment.userId),
    channel,
    amount,
    currency,
    status,
    state: message.state,
    captures: message.captures.map(capture),
    refunds: message.refunds.map(refund),
    version: Number(message.version),
    created_at: format(Number(payment.createdAtMs)),
    updated_at: format(Number(payment.updatedAtMs)),
  }
}

/** The columns of an export, in order. */
export const columns: ReadonlyArray<keyof AdminPayment> = [
  "payment_id",
  "purpose",
  "order_num",
  "user_id",
  "channel",
  "amount",
  "currency",
  "status",
  "state",
  "captures",
  "refunds",
  "version",
  "created_at",
  "updated_at",
]

export const refundColumns: ReadonlyArray<keyof Refund> = [
  "refund_id",
  "payment_id",
  "capture_id",
  "order_num",
  "user_id",
  "channel",
  "amount",
  "currency",
  "status",
  "reason",
  "attempt",
  "failure",
  "actor_id",
  "created_at",
  "succeeded_at",
]
