/** The rows of the fault table that are tried, in the order in which they run. */
import type { Row } from "../Trial.ts"
import { crashes } from "./crashes.ts"

export const rows: ReadonlyArray<Row> = [...crashes]
