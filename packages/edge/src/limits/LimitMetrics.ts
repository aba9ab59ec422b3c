/** What the edge shows of its limits. */
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import { table } from "./LimitTable.ts"

const names = Object.keys(table) as ReadonlyArray<LimitName>

const decisions = Instrument.counter(
  "floodgate_limit_decisions_total",
  "Requests that a limit let through or refused, by limit",
  { limit: names, decision: ["passed", "refused"] },
)

const series = (decision: "passed" | "refused") =>
  Object.fromEntries(names.map((limit) => [limit, decisions.at({ limit, decision })])) as Record<
    LimitName,
    (n: number) => void
  >

export const passed = series("passed")
export const refused = series("refused")

/** 1 while this edge keeps buckets of its own, because they can't be shared. */
export const alone = Instrument.gauge(
  "floodgate_limits_alone",
  "1 while limits aren't shared with the other edges, because their Redis can't be asked",
  {},
).at({})
