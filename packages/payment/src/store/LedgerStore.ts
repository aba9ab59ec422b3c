/** The money that came and went, as the reconciler reads it: bounded pages, nothing is locked. */
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Money of one capture. Amounts are minor units, ages ms by MySQL's clock. */
export interface LedgerCapture {
  readonly captureId: string
  readonly amount: number
  readonly state: string
  readonly ageMs: number
  /** What has been given back. */
  readonly refunded: number
  /** What is being given back. */
  readonly refunding: number
}

/** One intent with all its captures. */
export interface LedgerIntent {
  readonly paymentId: string
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly state: string
  readonly ageMs: number
  readonly captures: ReadonlyArray<LedgerCapture>
}

/** Whose money is asked for. */
export type LedgerQuery =
  /** Intents of these orders that hold captures. */
  | { readonly _tag: "orders"; readonly orderNums: ReadonlyArray<string> }
  | { readonly _tag: "intents"; readonly paymentIds: ReadonlyArray<string> }
  /** All intents, by id, from after one (empty: from the first). */
  | { readonly _tag: "page"; readonly afterId: string; readonly limit: number }

interface IntentRow extends Omit<LedgerIntent, "captures"> {}

interface CaptureRow {
  readonly paymentId: string
  readonly captureId: string
  readonly amount: number
  readonly state: string
  readonly ageMs: number
  readonly refunded: number
  readonly refunding: number
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const age = (column: string) =>
    sql.literal(`GREATEST(0, TIMESTAMPDIFF(MICROSECOND, ${column}, UTC_TIMESTAMP(3)) DIV 1000)`)
  const columns = sql`i.payment_id AS paymentId, i.order_num AS orderNum, i.user_id AS userId, i.channel, i.amount,
    i.currency, i.state, ${age("i.updated_at")} AS ageMs`

  const capturesOf = (paymentIds: ReadonlyArray<string>) =>
    sql<CaptureRow>`
      SELECT c.payment_id AS paymentId, c.capture_id AS captureId, c.amount, c.state,
        ${age("c.created_at")} AS ageMs,
        CAST((SELECT COALESCE(SUM(r.amount), 0) FROM refund r
          WHERE r.capture_id = c.capture_id AND r.state = 'succeeded') AS SIGNED) AS refunded,
        CAST((SELECT COALESCE(SUM(r.amount), 0) FROM refund r
          WHERE r.capture_id = c.capture_id AND r.state NOT IN ('succeeded', 'failed')) AS SIGNED) AS refunding
      FROM capture c WHERE ${sql.in("c.payment_id", paymentIds)}`

  const intentsOf = (query: LedgerQuery) => {
    switch (query._tag) {
      case "orders":
        return query.orderNums.length === 0
          ? Effect.succeed([])
          : sql<IntentRow>`SELECT ${columns} FROM intent i WHERE ${sql.in("i.order_num", query.orderNums)}
              AND EXISTS (SELECT 1 FROM capture c WHERE c.payment_id = i.payment_id)`
      case "intents":
        return query.paymentIds.length === 0
          ? Effect.succeed([])
          : sql<IntentRow>`SELECT ${columns} FROM intent i WHERE ${sql.in("i.payment_id", query.paymentIds)}`
      case "page":
        return sql<IntentRow>`SELECT ${columns} FROM intent i WHERE i.payment_id > ${query.afterId}
          ORDER BY i.payment_id LIMIT ${sql.literal(String(query.limit))}`
    }
  }

  return {
    /**
     * Intents with their captures and what was given back. An intent is read before its captures, so what has moved on
     * between the two shows as a difference that the next look doesn't find again.
     */
    read: Effect.fn("LedgerStore.read")((query: LedgerQuery) =>
      mysql.run(
        "ledger.read",
        Effect.gen(function* () {
          const intents = yield* intentsOf(query)
          if (intents.length === 0) return []
          const captures = new Map<string, Array<LedgerCapture>>()
          for (const { paymentId, ...capture } of yield* capturesOf(intents.map((i) => i.paymentId))) {
            const of = captures.get(paymentId)
            if (of === undefined) captures.set(paymentId, [capture])
            else of.push(capture)
          }
          return intents.map((intent) => ({ ...intent, captures: captures.get(intent.paymentId) ?? [] }))
        }),
      ),
    ),
    /** How long the oldest event has waited for the bus, in ms; 0 where none does. */
    outboxOldestMs: mysql.run(
      "ledger.outbox",
      Effect.map(
        // The oldest of each bucket: the index answers without reading the rows that were sent.
        sql<{ ageMs: number | null }>`
          SELECT MAX(${age("o.created_at")}) AS ageMs
          FROM outbox_lease l JOIN outbox o ON o.id = (
            SELECT MIN(u.id) FROM outbox u WHERE u.bucket = l.bucket AND u.sent_at IS NULL)`,
        ([row]) => row?.ageMs ?? 0,
      ),
    ),
  }
})

/** Reads of the ledger. Fail with MysqlUnavailable or MysqlConflict. */
export class LedgerStore extends Context.Tag("@floodgate/payment/store/LedgerStore")<
  LedgerStore,
  {
    readonly read: (query: LedgerQuery) => Effect.Effect<ReadonlyArray<LedgerIntent>, MysqlError>
    readonly outboxOldestMs: Effect.Effect<number, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<LedgerStore, never, Mysql> = Layer.effect(LedgerStore, make)
}
