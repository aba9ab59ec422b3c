/** The rows of the fault table that are tried, in the order in which they run. */
import type { Row } from "../Trial.ts"
import { bus } from "./bus.ts"
import { clients } from "./clients.ts"
import { crashes } from "./crashes.ts"
import { engines } from "./engines.ts"
import { listening } from "./listening.ts"
import { money } from "./money.ts"
import { slow } from "./slow.ts"
import { stock } from "./stock.ts"
import { streams } from "./streams.ts"

export const rows: ReadonlyArray<Row> = [
  ...crashes,
  ...engines,
  ...bus,
  ...slow,
  ...clients,
  ...listening,
  ...money,
  ...stock,
  ...streams,
]
