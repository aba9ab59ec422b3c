/**
 * The way of a wish through the sale, across processes: the edge counts what it is asked and answers, ordering what is in
 * its books. Each process shows every step, at zero where it has no part in it, so that sums over all of them are right.
 */
import * as Instrument from "./Instrument.ts"

const sale = Instrument.counter(
  "floodgate_sale_total",
  "Wishes by the step they came to: at the edge asked, limited, sold_out, accepted; in ordering persisted, rejected, paid, cancelled, refunded",
  {
    step: [
      "asked",
      "limited",
      "sold_out",
      "accepted",
      "persisted",
      "rejected",
      "paid",
      "cancelled",
      "refunded",
    ],
  },
)

/** A step, counted by a call. */
export const asked = sale.at({ step: "asked" })
export const limited = sale.at({ step: "limited" })
export const soldOut = sale.at({ step: "sold_out" })
export const accepted = sale.at({ step: "accepted" })
export const persisted = sale.at({ step: "persisted" })
export const rejected = sale.at({ step: "rejected" })
export const paid = sale.at({ step: "paid" })
export const cancelled = sale.at({ step: "cancelled" })
export const refunded = sale.at({ step: "refunded" })
