/** What payment tells of a refund, and what it makes of the order. */
import { next, type OrderTransition, type StoredState } from "./OrderState.ts"

export type RefundStatus = "pending" | "succeeded" | "failed"

export interface RefundedOrder {
  readonly state: StoredState
  /** The payment that the order shows, which is the one that paid it once it is paid. */
  readonly payment_id: string | null
  /** The capture that paid it. */
  readonly capture_id: string | null
  readonly refund_id: string | null
  readonly refund_status: RefundStatus | null
}

export interface ToldRefund {
  readonly refund_id: string
  readonly status: RefundStatus
  readonly payment_id: string
  /** The capture that goes back, where payment says which. */
  readonly capture_id: string | undefined
}

/**
 * Whether it is the money that paid this order. Any other refund is of money that came too late or twice, and is no
 * business of the order's state.
 */
export const isOfOwnMoney = (order: RefundedOrder, told: ToldRefund): boolean =>
  order.capture_id !== null &&
  (told.capture_id === undefined
    ? order.payment_id === told.payment_id
    : order.capture_id === told.capture_id)

const wanted: Readonly<Record<RefundStatus, ReadonlyArray<OrderTransition>>> = {
  pending: ["refund"],
  succeeded: ["refund", "refund_done"],
  failed: ["refund_failed"],
}

/** The changes of state that it means, in their order; those the order has behind it, or that can't be, are left out. */
export const steps = (
  order: RefundedOrder,
  told: ToldRefund,
): ReadonlyArray<{ readonly transition: OrderTransition; readonly state: StoredState }> => {
  if (!isOfOwnMoney(order, told)) return []
  const taken: Array<{ transition: OrderTransition; state: StoredState }> = []
  let state = order.state
  for (const transition of wanted[told.status]) {
    const to = next(state, transition)
    if (to === undefined) continue
    taken.push({ transition, state: to })
    state = to
  }
  return taken
}

/**
 * Whether the order shows it from now on. Of the same refund: success is the end of it, and a failed one may be tried
 * anew. Of another: the refund of an order that is being, or was, refunded isn't hidden by that of other money.
 */
export const isShown = (order: RefundedOrder, told: ToldRefund): boolean => {
  if (order.refund_id === told.refund_id) {
    return order.refund_status !== told.status && order.refund_status !== "succeeded"
  }
  const own = order.state === "refunding" || order.state === "refunded"
  return !own || isOfOwnMoney(order, told)
}
