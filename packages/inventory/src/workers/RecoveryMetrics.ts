/** What inventory shows of the shards that aren't proved equal to MySQL. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"

const closed = Instrument.gauge(
  "floodgate_shards_closed",
  "Shards that sell nothing until they are proved equal to MySQL, as last looked at",
  {},
).at({})
const rounds = Instrument.counter(
  "floodgate_recoveries_total",
  "Rounds of recovery: done, or failed and tried again",
  { result: ["done", "failed"] },
)
const seconds = Instrument.histogram(
  "floodgate_recovery_seconds",
  "Time of a round of recovery, from its lease to the last shard's opening",
  {},
  [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
)

/** So many shards were found closed. */
export const foundClosed = (shards: number): void => closed(shards)

/** A round is over. */
export const round = (result: "done" | "failed", tookMs: number): void => {
  rounds.inc({ result })
  if (result === "done") seconds.observe({}, tookMs / 1_000)
}
