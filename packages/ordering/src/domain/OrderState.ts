/**
 * The order's state machine: everything about when an order may change state is the table in this file.
 *
 * `queued` has no row: it is what a valid number means before the order worker has decided it.
 */

export type OrderState = "queued" | "unpaid" | "paid" | "cancelled" | "rejected" | "refunding" | "refunded"

/** A state that a row can have. */
export type StoredState = Exclude<OrderState, "queued">

export type OrderTransition =
  | "create"
  | "reject"
  | "pay"
  | "cancel"
  | "refund"
  | "refund_done"
  | "refund_failed"

export type RejectReason = "stock" | "limit" | "generation" | "lost" | "not_reserved"

export type CancelReason = "user" | "timeout" | "operator"

/** Where each transition leads from each state; what isn't here can't happen. */
const table: Readonly<Record<OrderState, Readonly<Partial<Record<OrderTransition, StoredState>>>>> = {
  queued: { create: "unpaid", reject: "rejected" },
  unpaid: { pay: "paid", cancel: "cancelled" },
  paid: { refund: "refunding" },
  refunding: { refund_done: "refunded", refund_failed: "paid" },
  // Late money on a cancelled or rejected order is returned without its state changing.
  cancelled: {},
  rejected: {},
  refunded: {},
}

export const states = Object.keys(table) as ReadonlyArray<OrderState>

/** The state after the transition, or undefined where it isn't allowed. */
export const next = (from: OrderState, transition: OrderTransition): StoredState | undefined =>
  table[from][transition]

/** Whether its quantity counts against stock and the buyer's limit. A refund returns money, not stock. */
export const isLive = (state: OrderState): boolean => state !== "cancelled" && state !== "rejected"

/** The roadmap's three numbers: 0 unpaid, 1 paid, 2 cancelled; null while queued. */
export const statusOf = (state: OrderState): 0 | 1 | 2 | null => {
  switch (state) {
    case "queued":
      return null
    case "unpaid":
      return 0
    case "paid":
    case "refunding":
    case "refunded":
      return 1
    case "cancelled":
    case "rejected":
      return 2
  }
}

/** The states that a status stands for; empty for any other number. */
export const statesOf = (status: number): ReadonlyArray<StoredState> =>
  states.filter((s): s is StoredState => s !== "queued" && statusOf(s) === status)
