/** Pieces of SQL that every store here writes the same way. */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"

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

/** An instant of a caller, Unix ms, as a DATETIME(3). */
export const at = (sql: SqlClient.SqlClient, ms: number): Statement.Fragment =>
  sql`TIMESTAMP('1970-01-01') + INTERVAL ${ms * 1000} MICROSECOND`

/** Ids between two, both included; undefined where that end is open. */
export interface IdSpan {
  readonly low?: number
  readonly high?: number
}

/**
 * Rows get their id and their time within one statement, whose neighbours may have taken ids in another order: no
 * statement takes longer than this, ms.
 */
const SAME_TIME_MS = 5_000

/**
 * The ids that the rows of a span of time lie between, so that a list by id needs to look at no others; undefined where
 * there is no such row. Wider than the span by some seconds, so the rows' own times are still to be asked.
 */
export const idSpan = (
  sql: SqlClient.SqlClient,
  o: {
    readonly table: string
    readonly column: string
    /** Of that column. */
    readonly index: string
    readonly fromMs: number | undefined
    readonly toMs: number | undefined
  },
): Effect.Effect<IdSpan | undefined, SqlError> =>
  Effect.gen(function* () {
    const [table, column, index] = [o.table, o.column, o.index].map((name) => sql.literal(`\`${name}\``))
    const edge = (where: Statement.Fragment, order: Statement.Fragment) =>
      sql<{ id: number }>`
        SELECT id FROM ${table!} FORCE INDEX (${index!}) WHERE ${where} ORDER BY ${order} LIMIT 1`
    let span: IdSpan = {}
    if (o.fromMs !== undefined) {
      const from = at(sql, Math.max(0, o.fromMs - SAME_TIME_MS))
      const [row] = yield* edge(sql`${column!} >= ${from}`, sql`${column!}, id`)
      if (row === undefined) return undefined
      span = { ...span, low: row.id }
    }
    if (o.toMs !== undefined) {
      const to = at(sql, o.toMs + SAME_TIME_MS)
      const [row] = yield* edge(sql`${column!} < ${to}`, sql`${column!} DESC, id DESC`)
      if (row === undefined) return undefined
      span = { ...span, high: row.id }
    }
    return span
  })

/** The conditions of a span of ids and of a keyset's page before an id. Never empty. */
export const within = (
  sql: SqlClient.SqlClient,
  column: string,
  span: IdSpan,
  beforeId: number | undefined,
): Array<Statement.Fragment> => {
  const id = sql.literal(column)
  return [
    sql`${id} >= ${span.low ?? 0}`,
    ...(span.high === undefined ? [] : [sql`${id} <= ${span.high}`]),
    ...(beforeId === undefined ? [] : [sql`${id} < ${beforeId}`]),
  ]
}

/** The conditions of a span of time, `from` included, `to` not. */
export const between = (
  sql: SqlClient.SqlClient,
  column: string,
  fromMs: number | undefined,
  toMs: number | undefined,
): Array<Statement.Fragment> => {
  const time = sql.literal(column)
  return [
    ...(fromMs === undefined ? [] : [sql`${time} >= ${at(sql, fromMs)}`]),
    ...(toMs === undefined ? [] : [sql`${time} < ${at(sql, toMs)}`]),
  ]
}
