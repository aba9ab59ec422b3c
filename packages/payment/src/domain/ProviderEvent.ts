/** What a payment provider tells us, in our own terms, whatever its wire format is. */

export interface ProviderEvent {
  /** The provider's own id of the event; seen again, it changes nothing. */
  readonly eventId: string
  readonly type:
    | "payment.succeeded"
    | "payment.failed"
    /** No money comes by it any more. */
    | "payment.closed"
    | "refund.succeeded"
    | "refund.failed"
  readonly paymentId: string
  readonly orderNum: string
  readonly amount: number
  readonly currency: string
  /** The provider's id of the movement of money. */
  readonly providerTxnId: string
  readonly refundId?: string
}

/**
 * Whether an event speaks of exactly this payment: same order, amount and currency. A refund's amount may be a part.
 */
export const matches = (
  event: ProviderEvent,
  intent: { readonly orderNum: string; readonly amount: number; readonly currency: string },
): boolean =>
  event.orderNum === intent.orderNum &&
  event.currency === intent.currency &&
  (event.type.startsWith("refund.") ? event.amount <= intent.amount : event.amount === intent.amount)
