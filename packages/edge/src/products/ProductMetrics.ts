/** What the edge shows of the products that it holds. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"

const reads = Instrument.counter(
  "floodgate_product_reads_total",
  "Reads of a product: held here, asked of inventory, served stale while it is away, or known not to exist",
  { source: ["held", "asked", "stale", "unknown"] },
)

export const held = reads.at({ source: "held" })
export const asked = reads.at({ source: "asked" })
export const stale = reads.at({ source: "stale" })
export const unknown = reads.at({ source: "unknown" })
