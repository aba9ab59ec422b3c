/** Payments and refunds as the console asks for them: keyset pages, newest first. */
import type { Statement } from "@effect/sql/Statement"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Intent, PublicStatus } from "../domain/Intent.ts"
import type { Place } from "../domain/PageToken.ts"
import type { Refund, RefundStatus } from "../domain/Refund.ts"
import { type IntentRow, intentColumns, ms, toIntent } from "./Gate.ts"
import { refundColumns } from "./RefundStore.ts"

export interface Span {
  /** Unix ms; included. */
  readonly fromMs: number | undefined
  /** Unix ms; not included. */
  readonly toMs: number | undefined
  readonly after: Place | undefined
  readonly limit: number
}

export interface Capture {
  readonly captureId: string
  readonly paymentId: string
  readonly providerTxnId: string
  readonly amount: number
  readonly state: "new" | "applied" | "refused"
  readonly createdAtMs: number
}

/** A payment with all its money. */
export interface PaymentRecord {
  readonly intent: Intent
  readonly captures: ReadonlyArray<Capture>
  readonly refunds: ReadonlyArray<Refund>
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const at = (unixMs: number) => sql`TIMESTAMP('1970-01-01') + INTERVAL ${unixMs * 1_000} MICROSECOND`

  const within = (span: Span, id: string): Array<Statement<object>> => {
    const filters: Array<Statement<object>> = []
    if (span.fromMs !== undefined) filters.push(sql`created_at >= ${at(span.fromMs)}`)
    if (span.toMs !== undefined) filters.push(sql`created_at < ${at(span.toMs)}`)
    if (span.after !== undefined) {
      // The first part alone bounds the index; the second one leaves out what the last page ended with.
      const { atMs, id: last } = span.after
      filters.push(sql`created_at <= ${at(atMs)}`, sql`(created_at < ${at(atMs)} OR ${sql(id)} < ${last})`)
    }
    return filters
  }

  const shown: Record<PublicStatus, string> = {
    processing: `(state = 'created' OR (state = 'processing' AND pay_url IS NULL AND COALESCE(client_params, '{}') = '{}'))`,
    requires_action: `(state = 'processing' AND NOT (pay_url IS NULL AND COALESCE(client_params, '{}') = '{}'))`,
    succeeded: `state IN ('captured', 'applied', 'refunding', 'refunded')`,
    declined: `state = 'declined'`,
    closed: `state = 'closed'`,
  }

  const withMoney = Effect.fnUntraced(function* (rows: ReadonlyArray<IntentRow>) {
    if (rows.length === 0) return []
    const ids = rows.map((row) => row.payment_id)
    const captures = yield* sql<Capture>`
      SELECT capture_id AS captureId, payment_id AS paymentId, provider_txn_id AS providerTxnId, amount, state,
        ${sql.literal(ms("created_at"))} AS createdAtMs
      FROM capture WHERE ${sql.in("payment_id", ids)} ORDER BY created_at, capture_id`
    const refunds = yield* sql<Refund>`SELECT ${sql.literal(refundColumns)} FROM refund
      WHERE ${sql.in("payment_id", ids)} ORDER BY created_at, attempt`
    return rows.map(
      (row): PaymentRecord => ({
        intent: toIntent(row),
        captures: captures.filter((capture) => capture.paymentId === row.payment_id),
        refunds: refunds.filter((refund) => refund.paymentId === row.payment_id),
      }),
    )
  })

  const payments = Effect.fn("PaymentLists.payments")(function* (
    query: Span & { readonly orderNum: string | undefined; readonly status: PublicStatus | undefined },
  ) {
    const filters = [sql`1 = 1`, ...within(query, "payment_id")]
    if (query.orderNum !== undefined) filters.push(sql`order_num = ${query.orderNum}`)
    if (query.status !== undefined) filters.push(sql`${sql.literal(shown[query.status])}`)
    return yield* mysql.run(
      "payment.list",
      sql<IntentRow>`SELECT ${sql.literal(intentColumns)} FROM intent WHERE ${sql.and(filters)}
        ORDER BY created_at DESC, payment_id DESC LIMIT ${sql.literal(String(query.limit))}`.pipe(
        Effect.flatMap(withMoney),
      ),
    )
  })

  const payment = Effect.fn("PaymentLists.payment")(function* (paymentId: string) {
    const [record] = yield* mysql.run(
      "payment.record",
      sql<IntentRow>`SELECT ${sql.literal(intentColumns)} FROM intent WHERE payment_id = ${paymentId}`.pipe(
        Effect.flatMap(withMoney),
      ),
    )
    return record ?? (yield* new NotFound())
  })

  const refunds = Effect.fn("PaymentLists.refunds")(function* (
    query: Span & { readonly orderNum: string | undefined; readonly status: RefundStatus | undefined },
  ) {
    const filters = [sql`1 = 1`, ...within(query, "refund_id")]
    if (query.orderNum !== undefined) filters.push(sql`order_num = ${query.orderNum}`)
    if (query.status !== undefined) filters.push(sql`state = ${query.status}`)
    return yield* mysql.run(
      "refund.list",
      sql<Refund>`SELECT ${sql.literal(refundColumns)} FROM refund WHERE ${sql.and(filters)}
        ORDER BY created_at DESC, refund_id DESC LIMIT ${sql.literal(String(query.limit))}`,
    )
  })

  return { payments, payment, refunds } as const
})

export class PaymentLists extends Context.Tag("@floodgate/payment/store/PaymentLists")<
  PaymentLists,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(PaymentLists, make)
}
