/** What inventory shows of the reservations that it answered. */
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"

const names = Object.keys(ReserveCode).map((name) => name.toLowerCase())

const outcomes = Instrument.counter(
  "floodgate_reserve_outcomes_total",
  "Answers to wishes, one a wish, by their code's name",
  { code: names },
)

const byCode = new Map<number, (n: number) => void>(
  Object.entries(ReserveCode).map(([name, code]) => [code, outcomes.at({ code: name.toLowerCase() })]),
)

/** Counts a batch's answers. */
export const answered = (codes: ReadonlyArray<number>): void => {
  for (const code of codes) byCode.get(code)?.(1)
}
