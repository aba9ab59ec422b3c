/** Pieces of SQL that every store here writes the same way. */
import type * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"

/** Tables of inventory that ordering's user may reach (product: read and `stock`; stock_log: insert). */
export interface InventoryTables {
  readonly product: Statement.Fragment
  readonly stockLog: Statement.Fragment
}

export const inventoryTables = (sql: SqlClient.SqlClient, schema: string): InventoryTables => ({
  product: sql.literal(`\`${schema}\`.product`),
  stockLog: sql.literal(`\`${schema}\`.stock_log`),
})

/**
 * A DATETIME(3) column as Unix ms. Not UNIX_TIMESTAMP, which ends in 2038 on MariaDB; numbers last until 2081.
 */
export const toMs = (column: string): string => `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${column}) DIV 1000`

/** Unix ms as a DATETIME(3). */
export const fromMs = (expression: string): string =>
  `TIMESTAMP('1970-01-01') + INTERVAL (${expression}) * 1000 MICROSECOND`
