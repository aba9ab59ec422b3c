/** What is stored, as messages of the gRPC contract. */
import { PaymentStatus } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { type Intent, type PublicStatus, publicStatus } from "./domain/Intent.ts"
import type { Refund } from "./domain/Refund.ts"
import type { PaymentRecord } from "./store/PaymentLists.ts"
import type { Delivery, Webhook } from "./store/WebhookStore.ts"

const status: Record<PublicStatus, PaymentStatus> = {
  processing: PaymentStatus.PROCESSING,
  requires_action: PaymentStatus.REQUIRES_ACTION,
  succeeded: PaymentStatus.SUCCEEDED,
  declined: PaymentStatus.DECLINED,
  closed: PaymentStatus.CLOSED,
}

/** The status that a filter names; undefined where it names none. */
export const statusOf = (wire: PaymentStatus): PublicStatus | undefined =>
  (Object.keys(status) as Array<PublicStatus>).find((name) => status[name] === wire)

export const payment = (intent: Intent, replayed = false) => ({
  paymentId: intent.paymentId,
  orderNum: intent.orderNum,
  userId: BigInt(intent.userId),
  channel: intent.channel,
  amount: BigInt(intent.amount),
  currency: intent.currency,
  status: status[publicStatus(intent)],
  payUrl: intent.payUrl ?? "",
  clientParams: { ...intent.clientParams },
  createdAtMs: BigInt(intent.createdAtMs),
  updatedAtMs: BigInt(intent.updatedAtMs),
  replayed,
})

export const refund = (one: Refund, replayed = false) => ({
  refundId: one.refundId,
  captureId: one.captureId,
  paymentId: one.paymentId,
  orderNum: one.orderNum,
  userId: BigInt(one.userId),
  channel: one.channel,
  amount: BigInt(one.amount),
  currency: one.currency,
  status: one.status,
  reason: one.reason,
  attempt: one.attempt,
  failure: one.failure ?? "",
  actorId: BigInt(one.actorId),
  createdAtMs: BigInt(one.createdAtMs),
  succeededAtMs: BigInt(one.succeededAtMs ?? 0),
  replayed,
})

export const paymentRecord = (record: PaymentRecord) => ({
  payment: payment(record.intent),
  state: record.intent.state,
  version: BigInt(record.intent.version),
  purpose: record.intent.purpose,
  captures: record.captures.map((capture) => ({
    captureId: capture.captureId,
    providerTxnId: capture.providerTxnId,
    amount: BigInt(capture.amount),
    state: capture.state,
    createdAtMs: BigInt(capture.createdAtMs),
  })),
  refunds: record.refunds.map((one) => refund(one)),
})

export const webhook = (one: Webhook, secret = "", replayed = false) => ({
  id: BigInt(one.id),
  url: one.url,
  events: [...one.events],
  description: one.description,
  secret,
  createdAtMs: BigInt(one.createdAtMs),
  pending: BigInt(one.pending),
  delivered: BigInt(one.delivered),
  failed: BigInt(one.failed),
  replayed,
})

export const delivery = (one: Delivery) => ({
  id: BigInt(one.id),
  webhookId: BigInt(one.webhookId),
  eventId: one.eventId,
  type: one.type,
  orderNum: one.orderNum,
  state: one.state,
  attempts: one.attempts,
  lastStatus: one.lastStatus ?? 0,
  lastError: one.lastError ?? "",
  createdAtMs: BigInt(one.createdAtMs),
  nextTryAtMs: BigInt(one.nextTryAtMs ?? 0),
  deliveredAtMs: BigInt(one.deliveredAtMs ?? 0),
})
