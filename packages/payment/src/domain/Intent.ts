/** A payment intent: one attempt to pay one order by one channel, and everything about when it may change state. */

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
  /** Ordering took the money for its order. */
  | "applied"
  /** Ordering refused the money; it goes back. */
  | "refused"
  | "refunded"

/**
 * The state machine. What isn't listed doesn't happen: the event is remembered where it came from, and ignored.
 * Success after a decline or a close is money all the same, so those two states aren't final.
 */
const table: Record<IntentState, Partial<Record<IntentEvent, IntentState>>> = {
  created: { started: "processing", captured: "captured", declined: "declined", closed: "closed" },
  processing: { captured: "captured", declined: "declined", closed: "closed" },
  declined: { captured: "captured" },
  closed: { captured: "captured" },
  captured: { applied: "applied", refused: "refunding" },
  applied: {},
  refunding: { refunded: "refunded" },
  refunded: {},
}

/** The state after an event; undefined where the event changes nothing. */
export const next = (state: IntentState, event: IntentEvent): IntentState | undefined => table[state][event]

/** Open: money may still come by the ordinary road, so no other intent of the order may start. */
export const isOpen = (state: IntentState): boolean => state === "created" || state === "processing"

/** An intent as it is stored. Amounts in minor units, times in Unix ms. */
export interface Intent {
  readonly paymentId: string
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly state: IntentState
  readonly payUrl: string | null
  readonly clientParams: Readonly<Record<string, string>>
  readonly version: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

export type PublicStatus = "processing" | "requires_action" | "succeeded" | "declined" | "closed"

/** What callers see of an intent. */
export const publicStatus = (intent: Pick<Intent, "state" | "payUrl">): PublicStatus => {
  switch (intent.state) {
    case "created":
      return "processing"
    case "processing":
      return intent.payUrl === null ? "processing" : "requires_action"
    case "declined":
      return "declined"
    case "closed":
      return "closed"
    default:
      return "succeeded"
  }
}
