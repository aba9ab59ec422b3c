/** What the edge shows of its bounds on requests in hand. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import type { Bulkheads } from "./Bulkheads.ts"
import { bounds } from "./Degradation.ts"

const classes = Object.keys(bounds)

const inHand = Instrument.gauge("floodgate_bulkhead_in_hand", "Requests in hand, by class of route", {
  class: classes,
})
const waiting = Instrument.gauge(
  "floodgate_bulkhead_waiting",
  "Requests that wait for their turn, by class of route",
  { class: classes },
)
const refused = Instrument.counter(
  "floodgate_bulkhead_refused_total",
  "Requests that were turned away because their class had no room, by class of route",
  { class: classes },
)

/** Shows the bounds, until the scope closes. */
export const observe = (bulkheads: Bulkheads["Type"]) =>
  Instrument.observing(() => {
    for (const [name, status] of Object.entries(bulkheads.states())) {
      inHand.set({ class: name }, status.in_hand)
      waiting.set({ class: name }, status.waiting)
      refused.reach({ class: name }, status.refused)
    }
  })
