/** What a process shows of its database's outbox. */
import * as Instrument from "../metrics/Instrument.ts"

/** No more rows are counted: beyond, the number is that of an outage, and counting on would be another load. */
export const MAX_COUNTED = 10_000

export const unsent = Instrument.gauge(
  "floodgate_outbox_unsent_rows",
  "Rows that the bus hasn't got yet; counted up to 10,000",
  {},
)
export const oldest = Instrument.gauge(
  "floodgate_outbox_oldest_seconds",
  "Age of the oldest row among those counted; 0 where none waits",
  {},
)
export const sent = Instrument.counter("floodgate_outbox_sent_total", "Rows that this process has sent", {})
