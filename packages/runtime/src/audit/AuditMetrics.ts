/** What a process shows of its audit trail. */
import * as Instrument from "../metrics/Instrument.ts"

/** No more rows are counted. */
export const MAX_COUNTED = 10_000

export const unsealed = Instrument.gauge(
  "floodgate_audit_unsealed_rows",
  "Rows of the audit trail that aren't sealed yet; counted up to 10,000",
  {},
)
export const oldest = Instrument.gauge(
  "floodgate_audit_sealer_lag_seconds",
  "Age of the oldest row that isn't sealed yet; 0 where all are",
  {},
)
