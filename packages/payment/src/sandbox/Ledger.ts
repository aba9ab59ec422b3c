/**
 * The provider's own books: which payments it was asked for, what a person did with each, which money moved. Pure;
 * the journal keeps it and the server speaks for it.
 */

export type Status = "pending" | "succeeded" | "failed" | "closed"

export interface ProviderPayment {
  readonly payment_id: string
  readonly order_num: string
  /** Minor units. */
  readonly amount: number
  readonly currency: string
  readonly callback_url: string
  readonly status: Status
  readonly provider_txn_id: string | null
  /** Minor units given back so far, by refund id. */
  readonly refunds: Readonly<Record<string, number>>
}

export type Entry =
  | ({ readonly _tag: "Created" } & Pick<
      ProviderPayment,
      "payment_id" | "order_num" | "amount" | "currency" | "callback_url"
    >)
  /** A close of a payment that was never asked for keeps it closed. */
  | { readonly _tag: "Closed"; readonly payment_id: string }
  | { readonly _tag: "Failed"; readonly payment_id: string }
  | {
      readonly _tag: "Succeeded"
      readonly payment_id: string
      readonly provider_txn_id: string
      readonly late: boolean
    }
  | {
      readonly _tag: "Refunded"
      readonly payment_id: string
      readonly refund_id: string
      readonly amount: number
    }

const never = (payment_id: string): ProviderPayment => ({
  payment_id,
  order_num: "",
  amount: 0,
  currency: "",
  callback_url: "",
  status: "closed",
  provider_txn_id: null,
  refunds: {},
})

/** What an entry makes of a payment; the same one (or still undefined) where it changes nothing. */
export const apply = (payment: ProviderPayment | undefined, entry: Entry): ProviderPayment | undefined => {
  switch (entry._tag) {
    case "Created": {
      if (payment !== undefined) return payment
      const { _tag, ...asked } = entry
      return { ...asked, status: "pending", provider_txn_id: null, refunds: {} }
    }
    case "Closed":
      if (payment === undefined) return never(entry.payment_id)
      return payment.status === "pending" || payment.status === "failed"
        ? { ...payment, status: "closed" }
        : payment
    case "Failed":
      return payment?.status === "pending" ? { ...payment, status: "failed" } : payment
    case "Succeeded": {
      if (payment === undefined || payment.order_num === "" || payment.status === "succeeded") return payment
      // A late payment is one that the person made before the close, and the bank confirmed after it.
      if (payment.status !== "pending" && !entry.late) return payment
      return { ...payment, status: "succeeded", provider_txn_id: entry.provider_txn_id }
    }
    case "Refunded": {
      if (payment === undefined || payment.status !== "succeeded" || entry.refund_id in payment.refunds)
        return payment
      const given = Object.values(payment.refunds).reduce((sum, n) => sum + n, 0)
      if (given + entry.amount > payment.amount) return payment
      return { ...payment, refunds: { ...payment.refunds, [entry.refund_id]: entry.amount } }
    }
  }
}
