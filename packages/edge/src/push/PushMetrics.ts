/** What the edge shows of its event streams. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import type { Hub } from "./Hub.ts"

const open = Instrument.gauge("floodgate_sse_streams_open", "Open event streams", {})
const dropped = Instrument.counter(
  "floodgate_sse_streams_dropped_total",
  "Event streams that were cut off because their readers were too slow",
  {},
)

/** Shows a hub, until the scope closes. */
export const observe = (hub: Hub) =>
  Instrument.observing(() => {
    open.set({}, hub.size)
    dropped.reach({}, hub.dropped)
  })
