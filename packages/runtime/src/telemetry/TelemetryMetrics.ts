/** What telemetry itself has lost. */
import * as Instrument from "../metrics/Instrument.ts"

export const logLinesLost = Instrument.counter(
  "floodgate_log_lines_lost_total",
  "Log lines that no target would take, or that one lost",
  {},
)
export const spansLost = Instrument.counter(
  "floodgate_spans_lost_total",
  "Spans that couldn't be exported",
  {},
)
