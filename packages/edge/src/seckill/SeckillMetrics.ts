/** What the edge shows of the sale, beside the funnel's steps. */
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as SaleFunnel from "@floodgate/runtime/metrics/SaleFunnel"

const checks = Instrument.counter(
  "floodgate_stock_checks_total",
  "Wishes that got as far as the stock: hit where there was enough, miss where it was sold out",
  { result: ["hit", "miss"] },
)
const hit = checks.at({ result: "hit" })
const miss = checks.at({ result: "miss" })

const marks = Instrument.counter(
  "floodgate_sold_out_marks_total",
  "Wishes that this edge answered as sold out by itself",
  {},
).at({})

/** Wishes that wait for a call to inventory. */
export const pending = Instrument.gauge(
  "floodgate_coalescer_pending_items",
  "Wishes that wait for a call to inventory",
  {},
)
export const overflow = Instrument.counter(
  "floodgate_coalescer_refused_total",
  "Wishes that were turned away because too many waited",
  {},
).at({})
export const batchItems = Instrument.histogram(
  "floodgate_coalescer_batch_items",
  "Wishes in one call to inventory",
  {},
  [1, 2, 4, 8, 16, 32, 64, 128],
).at({})
export const batchSeconds = Instrument.histogram(
  "floodgate_coalescer_batch_seconds",
  "Time of one call to inventory with its wishes",
  {},
).at({})

/** What a wish was answered. */
export const answered = (code: number): void => {
  if (code === ReserveCode.RESERVED) {
    SaleFunnel.accepted(1)
    hit(1)
  } else if (code === ReserveCode.SOLD_OUT) {
    SaleFunnel.soldOut(1)
    miss(1)
  }
}

/** A wish was answered as sold out without inventory. */
export const marked = (): void => {
  answered(ReserveCode.SOLD_OUT)
  marks(1)
}
