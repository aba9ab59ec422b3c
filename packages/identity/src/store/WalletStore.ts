/**
 * Wallets in MySQL. Every change is one transaction that locks the wallet first, and is keyed: a payment is decided
 * once, a credit is booked once, whatever is repeated, reordered or cut off.
 */
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlDuplicateKey, MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  afterCredit,
  type Decision,
  decideDebit,
  type Entry,
  type EntryKind,
  isSameDebit,
  type Outcome,
} from "../domain/Wallet.ts"

interface DecisionRow {
  readonly payment_id: string
  readonly user_id: number
  readonly outcome: Outcome
  readonly amount: number | null
  readonly order_num: string | null
  readonly balance_after: number
  readonly decided_at_ms: number
}

const toDecision = (row: DecisionRow): Decision => ({
  paymentId: row.payment_id,
  userId: row.user_id,
  outcome: row.outcome,
  amount: row.amount ?? undefined,
  orderNum: row.order_num ?? undefined,
  balanceAfter: row.balance_after,
  decidedAtMs: row.decided_at_ms,
})

interface EntryRow {
  readonly id: number
  readonly user_id: number
  readonly kind: EntryKind
  readonly amount: number
  readonly balance_after: number
  readonly order_num: string | null
  readonly created_at_ms: number
}

const toEntry = (row: EntryRow): Entry => ({
  id: row.id,
  userId: row.user_id,
  kind: row.kind,
  amount: row.amount,
  balanceAfter: row.balance_after,
  orderNum: row.order_num ?? undefined,
  createdAtMs: row.created_at_ms,
})

export interface Debit {
  readonly paymentId: string
  readonly userId: number
  readonly amount: number
  readonly currency: string
  readonly orderNum: string
}

export interface Credit {
  readonly creditId: string
  readonly userId: number
  readonly amount: number
  readonly currency: string
  readonly kind: EntryKind
  readonly orderNum: string
}

export interface Wallet {
  readonly userId: number
  readonly balance: number
  readonly currency: string
}

export class WalletStore extends Context.Tag("@floodgate/identity/store/WalletStore")<
  WalletStore,
  {
    readonly get: (userId: number) => Effect.Effect<Wallet, NotFound | MysqlError>
    /** At most `limit` entries older than `before` (an entry's id), newest first. */
    readonly entries: (
      userId: number,
      before: number | undefined,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Entry>, NotFound | MysqlError>
    /**
     * The decision about this payment, made now if it wasn't before. InvalidInput when another debit was decided
     * under this payment_id, or for another currency.
     */
    readonly debit: (debit: Debit) => Effect.Effect<Decision, NotFound | InvalidInput | MysqlError>
    /** The decision about this payment: void now, so that a debit that comes later is refused, if none was made. */
    readonly voidDebit: (paymentId: string, userId: number) => Effect.Effect<Decision, NotFound | MysqlError>
    /** The entry of this credit, booked now if it wasn't before. InvalidInput as for `debit`. */
    readonly credit: (credit: Credit) => Effect.Effect<Entry, NotFound | InvalidInput | MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<WalletStore, never, Mysql> = Layer.effect(
    WalletStore,
    Effect.suspend(() => make),
  )
}

/** Somebody else's wallet was locked while the same key was decided there: asked again, its decision is found. */
const onceMoreOnDuplicate = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(self, {
    times: 1,
    while: (error) => (error as unknown as MysqlDuplicateKey)._tag === "MysqlDuplicateKey",
  })

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const entryColumns = sql.literal(`
    id, user_id, kind, amount, balance_after, order_num,
    CAST(ROUND(UNIX_TIMESTAMP(created_at) * 1000) AS SIGNED) AS created_at_ms`)

  const decisionOf = (paymentId: string) =>
    Effect.map(
      sql<DecisionRow>`
        SELECT payment_id, user_id, outcome, amount, order_num, balance_after,
          CAST(ROUND(UNIX_TIMESTAMP(decided_at) * 1000) AS SIGNED) AS decided_at_ms
        FROM wallet_decision WHERE payment_id = ${paymentId}`,
      ([row]) => (row === undefined ? undefined : toDecision(row)),
    )

  const walletOf = (userId: number, lock: "" | "FOR UPDATE") =>
    Effect.flatMap(
      sql<{ balance: number; currency: string }>`
        SELECT balance, currency FROM wallet WHERE user_id = ${userId} ${sql.literal(lock)}`,
      ([row]) => (row === undefined ? Effect.fail(new NotFound()) : Effect.succeed({ userId, ...row })),
    )

  const move = (userId: number, amount: number) =>
    sql`UPDATE wallet SET balance = balance + ${amount} WHERE user_id = ${userId}`

  const decide = (
    debit: { readonly paymentId: string; readonly userId: number; readonly orderNum?: string },
    outcome: Outcome,
    amount: number | null,
    balanceAfter: number,
  ) =>
    sql`INSERT INTO wallet_decision (payment_id, user_id, outcome, amount, order_num, balance_after)
      VALUES (${debit.paymentId}, ${debit.userId}, ${outcome}, ${amount}, ${debit.orderNum || null}, ${balanceAfter})`

  const stored = (paymentId: string) =>
    Effect.flatMap(decisionOf(paymentId), (decision) =>
      decision === undefined
        ? Effect.dieMessage("a decision vanished in its transaction")
        : Effect.succeed(decision),
    )

  return WalletStore.of({
    get: Effect.fn("WalletStore.get")((userId) => mysql.run("WalletStore.get", walletOf(userId, ""))),

    entries: Effect.fn("WalletStore.entries")((userId, before, limit) =>
      mysql.run(
        "WalletStore.entries",
        Effect.zipRight(
          walletOf(userId, ""),
          Effect.map(
            sql<EntryRow>`
              SELECT ${entryColumns} FROM wallet_entry
              WHERE user_id = ${userId} AND id < ${before ?? Number.MAX_SAFE_INTEGER}
              ORDER BY id DESC LIMIT ${limit}`,
            (rows) => rows.map(toEntry),
          ),
        ),
      ),
    ),

    debit: Effect.fn("WalletStore.debit")((debit) =>
      mysql
        .transaction(
          "WalletStore.debit",
          Effect.gen(function* () {
            const { paymentId, userId, amount, orderNum } = debit
            const { balance, currency } = yield* walletOf(userId, "FOR UPDATE")
            const decided = yield* decisionOf(paymentId)
            if (decided !== undefined) {
              return isSameDebit(decided, debit)
                ? decided
                : yield* InvalidInput.at("payment_id", "was used for another debit")
            }
            if (currency !== debit.currency) return yield* InvalidInput.at("currency", `must be ${currency}`)
            const { outcome, balanceAfter } = decideDebit(balance, amount)
            if (outcome === "debited") {
              yield* move(userId, -amount)
              yield* sql`INSERT INTO wallet_entry (user_id, kind, amount, balance_after, order_num, payment_id)
                VALUES (${userId}, 'payment', ${-amount}, ${balanceAfter}, ${orderNum || null}, ${paymentId})`
            }
            yield* decide(debit, outcome, amount, balanceAfter)
            return yield* stored(paymentId)
          }),
        )
        .pipe(retryConflicts, onceMoreOnDuplicate),
    ),

    voidDebit: Effect.fn("WalletStore.voidDebit")((paymentId, userId) =>
      mysql
        .transaction(
          "WalletStore.voidDebit",
          Effect.gen(function* () {
            const { balance } = yield* walletOf(userId, "FOR UPDATE")
            const decided = yield* decisionOf(paymentId)
            if (decided !== undefined) return decided.userId === userId ? decided : yield* new NotFound()
            yield* decide({ paymentId, userId }, "void", null, balance)
            return yield* stored(paymentId)
          }),
        )
        .pipe(retryConflicts, onceMoreOnDuplicate),
    ),

    credit: Effect.fn("WalletStore.credit")((credit) =>
      mysql
        .transaction(
          "WalletStore.credit",
          Effect.gen(function* () {
            const { creditId, userId, amount, kind, orderNum } = credit
            const { balance, currency } = yield* walletOf(userId, "FOR UPDATE")
            const [booked] = yield* sql<EntryRow>`
              SELECT ${entryColumns} FROM wallet_entry WHERE credit_id = ${creditId}`
            if (booked !== undefined) {
              const same =
                booked.user_id === userId &&
                booked.amount === amount &&
                booked.kind === kind &&
                (booked.order_num ?? "") === orderNum
              return same
                ? toEntry(booked)
                : yield* InvalidInput.at("credit_id", "was used for another credit")
            }
            if (currency !== credit.currency) return yield* InvalidInput.at("currency", `must be ${currency}`)
            const balanceAfter = afterCredit(balance, amount)
            if (balanceAfter === undefined)
              return yield* InvalidInput.at("amount", "the balance would be too large")
            yield* move(userId, amount)
            const { insertId } = yield* affected(sql`
              INSERT INTO wallet_entry (user_id, kind, amount, balance_after, order_num, credit_id)
              VALUES (${userId}, ${kind}, ${amount}, ${balanceAfter}, ${orderNum || null}, ${creditId})`)
            const [entry] =
              yield* sql<EntryRow>`SELECT ${entryColumns} FROM wallet_entry WHERE id = ${insertId}`
            return toEntry(entry!)
          }),
        )
        .pipe(retryConflicts, onceMoreOnDuplicate),
    ),
  })
})
