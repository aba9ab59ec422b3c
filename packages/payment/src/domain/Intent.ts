/** A payment intent: one attempt to pay by one channel, and everything about when it may change state. */

export type IntentState =
  | "created"
  | "processing"
  | "captured"
  | "applied"
  | "declined"
  | "closed"
  | "refunding"
  | "refunded"

export type IntentEvent =
  /** The channel took the request and waits for a person, or for itself. */
  | "started"
  /** Money is there, whenever it comes. */
  | "captured"
  | "declined"
  | "closed"
  /** Ordering took the money for its order, or a wallet was credited with it. */
  | "applied"
  /** Ordering refused the money; it goes back. */
  | "refused"
  /** An operator gives back money that was taken. */
  | "refund"
  | "refunded"
  /** The channel refused for good to give money back that an order has: it stays there. */
  | "refund_failed"

/**
 * The state machine. What isn't listed doesn't happen: the event is remembered where it came from, and ignored.
 * Success after a decline or a close is money all the same, so those two states aren't final. Money that was refused and
 * can't be given back stays `refunding`: nobody's, and a person's business.
 */
const table: Record<IntentState, Partial<Record<IntentEvent, IntentState>>> = {
  created: { started: "processing", captured: "captured", declined: "declined", closed: "closed" },
  processing: { captured: "captured", declined: "declined", closed: "closed" },
  declined: { captured: "captured" },
  closed: { captured: "captured" },
  captured: { applied: "applied", refused: "refunding" },
  applied: { refund: "refunding" },
  refunding: { refunded: "refunded", refund_failed: "applied" },
  refunded: {},
}

export const states = Object.keys(table) as ReadonlyArray<IntentState>

/** The state after an event; undefined where the event changes nothing. */
export const next = (state: IntentState, event: IntentEvent): IntentState | undefined => table[state][event]

/** Open: money may still come by the ordinary road, so no other intent of the order may start. */
export const isOpen = (state: IntentState): boolean => state === "created" || state === "processing"

/** What the money is for: an order, or one's own wallet. */
export type Purpose = "order" | "topup"

/** An intent as it is stored. Amounts in minor units, times in Unix ms. */
export interface Intent {
  readonly paymentId: string
  readonly purpose: Purpose
  /** A top-up's is its own reference: no order has it. */
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly state: IntentState
  readonly payUrl: string | null
  readonly clientParams: Readonly<Record<string, string>>
  /** The provider's own id of the payment, once known. */
  readonly providerRef: string | null
  /** The provider has confirmed that it knows the payment. */
  readonly accepted: boolean
  readonly version: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

export type PublicStatus = "processing" | "requires_action" | "succeeded" | "declined" | "closed"

/** What callers see of an intent. */
export const publicStatus = (intent: Pick<Intent, "state" | "payUrl" | "clientParams">): PublicStatus => {
  switch (intent.state) {
    case "created":
      return "processing"
    case "processing":
      return intent.payUrl === null && Object.keys(intent.clientParams).length === 0
        ? "processing"
        : "requires_action"
    case "declined":
      return "declined"
    case "closed":
      return "closed"
    default:
      return "succeeded"
  }
}
