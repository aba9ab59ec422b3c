/** Giving money back: which capture of an order is meant, and what its refunds say of it. */

export type RefundStatus = "pending" | "succeeded" | "failed"

/** One try to give the money of one capture back. Amounts in minor units, times in Unix ms. */
export interface Refund {
  readonly refundId: string
  readonly captureId: string
  readonly paymentId: string
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly status: RefundStatus
  /** In one word: `operator`, or why ordering refused the money. */
  readonly reason: string
  /** Counts from 1. */
  readonly attempt: number
  /** Why it failed for good. */
  readonly failure: string | null
  /** The operator who asked for it; 0 where the system did. */
  readonly actorId: number
  readonly createdAtMs: number
  readonly succeededAtMs: number | null
}

/** A capture, as the choice of what to refund sees it. */
export interface RefundableCapture {
  readonly captureId: string
  readonly state: "new" | "applied" | "refused"
  /** Of its latest refund; undefined where there is none. */
  readonly refund: RefundStatus | undefined
}

export type RefundChoice =
  | { readonly _tag: "Give"; readonly captureId: string }
  /** Nothing can be given back now; `state` says what stands against it. */
  | { readonly _tag: "Nothing"; readonly state: "unpaid" | "captured" | "refunding" | "refunded" }

/**
 * What an operator's refund of an order gives back: the capture that paid it, else money that was refused and whose
 * refund failed. A capture has at most one refund that hasn't failed.
 */
export const chooseRefund = (captures: ReadonlyArray<RefundableCapture>): RefundChoice => {
  const free = (capture: RefundableCapture) => capture.refund === undefined || capture.refund === "failed"
  const chosen =
    captures.find((capture) => capture.state === "applied" && free(capture)) ??
    captures.find((capture) => capture.state === "refused" && capture.refund === "failed")
  if (chosen !== undefined) return { _tag: "Give", captureId: chosen.captureId }
  if (captures.some((capture) => capture.refund === "pending")) return { _tag: "Nothing", state: "refunding" }
  if (captures.some((capture) => capture.state === "new")) return { _tag: "Nothing", state: "captured" }
  return { _tag: "Nothing", state: captures.length === 0 ? "unpaid" : "refunded" }
}
