/** What ordering answers to money: it pays the order, or is refused and goes back. */
import { next, type StoredState } from "./OrderState.ts"

export interface CapturedOrder {
  readonly state: StoredState
  readonly amount: number
  readonly currency: string
  /** The capture that paid it. */
  readonly capture_id: string | null
}

export interface Captured {
  readonly capture_id: string
  readonly amount: number
  readonly currency: string
}

export type CaptureAnswer =
  | { readonly _tag: "pay" }
  /** This very capture was answered before. */
  | { readonly _tag: "known" }
  | { readonly _tag: "refuse"; readonly reason: "mismatch" | "paid" | "cancelled" | "rejected" }

/** At most one capture pays an order; whatever else arrives is refused, so that payment refunds it. */
export const answerCapture = (order: CapturedOrder, capture: Captured): CaptureAnswer => {
  if (order.capture_id === capture.capture_id) return { _tag: "known" }
  if (order.state === "cancelled" || order.state === "rejected")
    return { _tag: "refuse", reason: order.state }
  if (next(order.state, "pay") === undefined) return { _tag: "refuse", reason: "paid" }
  if (order.amount !== capture.amount || order.currency !== capture.currency) {
    return { _tag: "refuse", reason: "mismatch" }
  }
  return { _tag: "pay" }
}
