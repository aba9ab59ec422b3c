/** The rules of a wallet. Amounts are minor units, positive and safe integers. */

export const CURRENCY = "CNY"

/** The largest amount and balance: beyond it JavaScript's numbers, and JSON's, aren't exact. */
export const MAX_AMOUNT = Number.MAX_SAFE_INTEGER

export type Outcome = "debited" | "declined" | "void"

export type EntryKind = "topup" | "payment" | "refund" | "adjust"

/** A stored decision about a payment. `amount` is undefined where a void came before any debit. */
export interface Decision {
  readonly paymentId: string
  readonly userId: number
  readonly outcome: Outcome
  readonly amount: number | undefined
  readonly orderNum: string | undefined
  readonly balanceAfter: number
  readonly decidedAtMs: number
}

export interface Entry {
  readonly id: number
  readonly userId: number
  readonly kind: EntryKind
  /** Signed: a payment is negative. */
  readonly amount: number
  readonly balanceAfter: number
  readonly orderNum: string | undefined
  readonly createdAtMs: number
}

/** The first decision about a debit: all of it or nothing. */
export const decideDebit = (
  balance: number,
  amount: number,
): { readonly outcome: "debited" | "declined"; readonly balanceAfter: number } =>
  balance >= amount
    ? { outcome: "debited", balanceAfter: balance - amount }
    : { outcome: "declined", balanceAfter: balance }

/** Whether a debit that is asked for again is the one that was decided. Any debit may meet a void. */
export const isSameDebit = (
  decision: Decision,
  asked: { readonly userId: number; readonly amount: number; readonly orderNum: string },
): boolean =>
  decision.userId === asked.userId &&
  (decision.amount === undefined ||
    (decision.amount === asked.amount && (decision.orderNum ?? "") === asked.orderNum))

/** The balance after a credit; undefined where it would be too large to be exact. */
export const afterCredit = (balance: number, amount: number): number | undefined =>
  balance <= MAX_AMOUNT - amount ? balance + amount : undefined
