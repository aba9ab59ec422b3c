/** Which of an order's payments the order shows. */

export type PaymentStatus = "processing" | "requires_action" | "succeeded" | "declined" | "closed"

export interface ShownPayment {
  readonly payment_id: string
  readonly status: PaymentStatus
  /** The intent's version, rising with every change. */
  readonly version: number
}

const isOver = (status: PaymentStatus): boolean => status === "declined" || status === "closed"

/**
 * Whether what payment tells now replaces what is shown. Of the same intent the newer version wins. Of another: money
 * once shown stays, and the end of an older intent doesn't hide one that is still open (at most one is open at a time).
 */
export const replaces = (shown: ShownPayment | null, told: ShownPayment): boolean => {
  if (shown === null) return true
  if (shown.payment_id === told.payment_id) return told.version > shown.version
  if (shown.status === "succeeded") return false
  return !(isOver(told.status) && !isOver(shown.status))
}
