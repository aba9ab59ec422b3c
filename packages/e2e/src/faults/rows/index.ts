/** The rows of the fault table that are tried, in the order in which they run. */
import type { Row } from "../Trial.ts"
import { bus } from "./bus.ts"
import { crashes } from "./crashes.ts"
import { engines } from "./engines.ts"

export const rows: ReadonlyArray<Row> = [...crashes, ...engines, ...bus]
