/** A payment as the HTTP contract shows it, made from payment's message. */
import {
  type Payment as Message,
  PaymentStatus,
} from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import type { Payment } from "@floodgate/contracts/http/Payment"

const statuses: Record<PaymentStatus, Payment["status"]> = {
  [PaymentStatus.UNSPECIFIED]: "processing",
  [PaymentStatus.PROCESSING]: "processing",
  [PaymentStatus.REQUIRES_ACTION]: "requires_action",
  [PaymentStatus.SUCCEEDED]: "succeeded",
  [PaymentStatus.DECLINED]: "declined",
  [PaymentStatus.CLOSED]: "closed",
}

export const of = (message: Message): Payment => ({
  payment_id: message.paymentId,
  order_num: message.orderNum,
  channel: message.channel,
  amount: Number(message.amount),
  currency: message.currency,
  status: statuses[message.status] ?? "processing",
  ...(message.payUrl === "" ? undefined : { pay_url: message.payUrl }),
  ...(Object.keys(message.clientParams).length === 0 ? undefined : { client_params: message.clientParams }),
})
