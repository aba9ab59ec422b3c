/** Wallets and their decisions as the reconciler reads them: bounded pages, nothing is locked. */
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Outcome } from "../domain/Wallet.ts"

/** A wallet beside what its entries add up to, both of one moment. Minor units. */
export interface Books {
  readonly userId: number
  readonly balance: number
  readonly entriesTotal: number
}

/** What was decided about a payment. */
export interface DecisionRecord {
  readonly paymentId: string
  readonly userId: number
  readonly outcome: Outcome
  /** 0 where a void came before any debit. */
  readonly amount: number
  readonly orderNum: string
  /** By MySQL's clock. */
  readonly ageMs: number
}

/** The rows named, or all from after a key on. */
export type Selection<Key> =
  | { readonly _tag: "named"; readonly keys: ReadonlyArray<Key> }
  | { readonly _tag: "page"; readonly after: Key; readonly limit: number }

/** Fails with MysqlUnavailable or MysqlConflict. */
export class WalletLedger extends Context.Tag("@floodgate/identity/store/WalletLedger")<
  WalletLedger,
  {
    /** By user id. */
    readonly books: (selection: Selection<number>) => Effect.Effect<ReadonlyArray<Books>, MysqlError>
    /** By payment id. */
    readonly decisions: (
      selection: Selection<string>,
    ) => Effect.Effect<ReadonlyArray<DecisionRecord>, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<WalletLedger, never, Mysql> = Layer.effect(
    WalletLedger,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const chosen = <Key extends string | number>(column: string, selection: Selection<Key>) =>
    selection._tag === "named"
      ? sql`WHERE ${sql.in(column, selection.keys)} ORDER BY ${sql(column)}`
      : sql`WHERE ${sql(column)} > ${selection.after} ORDER BY ${sql(column)}
          LIMIT ${sql.literal(String(selection.limit))}`

  const nothing = <Key>(selection: Selection<Key>) =>
    selection._tag === "named" && selection.keys.length === 0

  return WalletLedger.of({
    books: Effect.fn("WalletLedger.books")((selection) =>
      nothing(selection)
        ? Effect.succeed([])
        : mysql.run(
            "WalletLedger.books",
            // One statement: what it reads of both tables is of one moment, so no entry is between the two.
            sql<Books>`
              SELECT w.user_id AS userId, w.balance, CAST(COALESCE(SUM(e.amount), 0) AS SIGNED) AS entriesTotal
              FROM (SELECT user_id, balance FROM wallet ${chosen("user_id", selection)}) w
              LEFT JOIN wallet_entry e ON e.user_id = w.user_id
              GROUP BY w.user_id, w.balance ORDER BY w.user_id`,
          ),
    ),

    decisions: Effect.fn("WalletLedger.decisions")((selection) =>
      nothing(selection)
        ? Effect.succeed([])
        : mysql.run(
            "WalletLedger.decisions",
            sql<DecisionRecord>`
              SELECT payment_id AS paymentId, user_id AS userId, outcome, COALESCE(amount, 0) AS amount,
                COALESCE(order_num, '') AS orderNum,
                GREATEST(0, TIMESTAMPDIFF(MICROSECOND, decided_at, UTC_TIMESTAMP(3)) DIV 1000) AS ageMs
              FROM wallet_decision ${chosen("payment_id", selection)}`,
          ),
    ),
  })
})
