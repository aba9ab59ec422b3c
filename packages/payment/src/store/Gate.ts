/**
 * The order's gate: whoever changes the payments of an order locks its row first, so that the changes of one order have
 * one order. What is done under that lock is here: moves of an intent by its state machine, captures, and what
 * ordering is told of them in the outbox of the same transaction. Every change is a compare-and-set.
 */
import { randomUUID } from "node:crypto"
import type { Statement } from "@effect/sql/Statement"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  type Intent,
  type IntentEvent,
  type IntentState,
  isOpen,
  next,
  type Purpose,
  publicStatus,
} from "../domain/Intent.ts"

export interface IntentRow {
  readonly payment_id: string
  readonly purpose: Purpose
  readonly order_num: string
  readonly user_id: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly state: IntentState
  readonly pay_url: string | null
  readonly client_params: string | null
  readonly provider_ref: string | null
  readonly accepted: number
  readonly version: number
  readonly created_at_ms: number
  readonly updated_at_ms: number
}

export const toIntent = (row: IntentRow): Intent => ({
  paymentId: row.payment_id,
  purpose: row.purpose,
  orderNum: row.order_num,
  userId: row.user_id,
  channel: row.channel,
  amount: row.amount,
  currency: row.currency,
  state: row.state,
  payUrl: row.pay_url,
  clientParams: row.client_params === null ? {} : JSON.parse(row.client_params),
  providerRef: row.provider_ref,
  accepted: row.accepted === 1,
  version: row.version,
  createdAtMs: row.created_at_ms,
  updatedAtMs: row.updated_at_ms,
})

/** Unix ms of a DATETIME column, in SQL. */
export const ms = (column: string): string => `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${column}) DIV 1000`

/** The columns of an {@link IntentRow}, in SQL. */
export const intentColumns = `payment_id, purpose, order_num, user_id, channel, amount, currency, state, pay_url,
  client_params, provider_ref, accepted, version, ${ms("created_at")} AS created_at_ms, ${ms("updated_at")} AS updated_at_ms`

/** An id nobody guesses: the prefix says what it names. */
export const newId = (prefix: string): string => `${prefix}${randomUUID().replaceAll("-", "")}`

/** What a provider that has accepted a payment is given before it is asked for the first time. Seconds. */
const FIRST_QUERY_S = 5

/** A step that got no answer is repeated first after this. Seconds. */
const FIRST_REPEAT_S = 1

/** How long a worker has a row that it claimed: whoever dies with it loses it. Seconds. */
const CLAIM_S = 15

export interface Started {
  readonly payUrl: string | null
  readonly clientParams: Readonly<Record<string, string>>
  readonly providerRef: string | null
  /** False where the channel has not answered. */
  readonly accepted: boolean
}

export interface TellExtra {
  readonly capture_id?: string
  readonly refund?: NonNullable<PaymentEvent["refund"]>
  /** Of the capture or refund, where it isn't the intent's. Minor units. */
  readonly amount?: number
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const relay = yield* Outbox.OutboxRelay
  const { sql } = mysql

  const columns = sql.literal(intentColumns)

  const find = (paymentId: string) =>
    sql<IntentRow>`SELECT ${columns} FROM intent WHERE payment_id = ${paymentId}`.pipe(
      Effect.map((rows) => (rows[0] === undefined ? undefined : toIntent(rows[0]))),
    )

  /** Locks the gate, making it where it is missing. */
  const lock = Effect.fnUntraced(function* (orderNum: string) {
    yield* sql`INSERT IGNORE INTO order_gate (order_num, state) VALUES (${orderNum}, 'open')`
    const rows = yield* sql<{ state: "open" | "closed"; active_payment_id: string | null }>`
      SELECT state, active_payment_id FROM order_gate WHERE order_num = ${orderNum} FOR UPDATE`
    return rows[0]!
  })

  const audit = (row: Audit.AuditRow) => Audit.append([row]).pipe(Effect.provideService(Mysql, mysql))

  /** Ordering is told of orders only: a top-up is nobody's but its wallet's. */
  const tell = Effect.fnUntraced(function* (
    type: PaymentEvent["type"],
    intent: Intent,
    extra: TellExtra = {},
  ) {
    if (intent.purpose === "topup") return
    const traceparent = yield* TraceContext.current
    const event: PaymentEvent = {
      event_id: newId("evt_"),
      type,
      version: 1,
      aggregate: intent.orderNum,
      occurred_at: new Date(yield* Clock.currentTimeMillis).toISOString(),
      payment_id: intent.paymentId,
      order_num: intent.orderNum,
      channel: intent.channel,
      status: publicStatus(intent),
      amount: intent.amount,
      currency: intent.currency,
      payment_version: intent.version,
      ...(traceparent === undefined ? {} : { traceparent }),
      ...extra,
    }
    yield* Outbox.append([
      {
        event_id: event.event_id,
        topic: Topic.PaymentEvents,
        aggregate: intent.orderNum,
        type,
        payload: JSON.stringify(event),
        ...(traceparent === undefined ? {} : { traceparent }),
      },
    ]).pipe(Effect.provideService(Mysql, mysql))
  })

  /** Moves an intent by its state machine; undefined where the event changes nothing. Under the gate's lock. */
  const move = Effect.fnUntraced(function* (intent: Intent, event: IntentEvent, started?: Started) {
    const to = next(intent.state, event)
    if (to === undefined) return undefined
    const after: Intent = { ...intent, ...started, state: to, version: intent.version + 1 }
    const pause = after.accepted ? FIRST_QUERY_S : FIRST_REPEAT_S
    const result = yield* affected(sql`
      UPDATE intent SET state = ${to}, pay_url = ${after.payUrl}, client_params = ${JSON.stringify(after.clientParams)},
        provider_ref = ${after.providerRef}, accepted = ${after.accepted ? 1 : 0}, version = version + 1, tries = 0,
        next_try_at = ${isOpen(to) ? sql.literal(`UTC_TIMESTAMP(3) + INTERVAL ${pause} SECOND`) : null}
      WHERE payment_id = ${intent.paymentId} AND state = ${intent.state}`)
    if (result.affectedRows !== 1) return undefined
    if (isOpen(intent.state) && !isOpen(to))
      yield* sql`UPDATE order_gate SET active_payment_id = NULL
        WHERE order_num = ${intent.orderNum} AND active_payment_id = ${intent.paymentId}`
    return after
  })

  /**
   * Money arrived: once per (channel, provider_txn_id). Ordering is asked what to do with an order's; a top-up's waits
   * for its wallet. Under the gate's lock.
   */
  const capture = Effect.fnUntraced(function* (current: Intent, providerTxnId: string, amount: number) {
    const captureId = newId("cap_")
    const inserted = yield* affected(
      sql`INSERT IGNORE INTO capture ${sql.insert({
        capture_id: captureId,
        channel: current.channel,
        provider_txn_id: providerTxnId,
        payment_id: current.paymentId,
        order_num: current.orderNum,
        amount,
        currency: current.currency,
        state: "new",
      })}`,
    )
    // The same movement of money, told twice.
    if (inserted.affectedRows === 0) return current
    if (current.purpose === "topup")
      yield* sql`UPDATE capture SET next_try_at = UTC_TIMESTAMP(3) WHERE capture_id = ${captureId}`
    const moved = (yield* move(current, "captured")) ?? current
    yield* tell("payment.captured", moved, { capture_id: captureId, amount })
    return moved
  })

  /** Runs `f` on the intent as it is under its gate's lock, in one transaction. */
  const holding = <A, E, R>(
    op: string,
    intent: Pick<Intent, "orderNum" | "paymentId">,
    f: (current: Intent) => Effect.Effect<A, E, R>,
  ) =>
    mysql
      .transaction(
        op,
        Effect.gen(function* () {
          yield* lock(intent.orderNum)
          const current = yield* find(intent.paymentId)
          return yield* f(current!)
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))

  /** Rows that are due, claimed for a while by moving their time; `which` narrows them. */
  const claim = <A, E, R, Id extends string | number>(
    op: string,
    table: "intent" | "provider_event" | "refund" | "capture",
    idColumn: string,
    limit: number,
    which: Statement<object> | undefined,
    read: (ids: ReadonlyArray<Id>) => Effect.Effect<ReadonlyArray<A>, E, R>,
  ) =>
    mysql.transaction(
      op,
      Effect.gen(function* () {
        const due = yield* sql<{ id: Id }>`SELECT ${sql(idColumn)} AS id FROM ${sql(table)}
          WHERE next_try_at <= UTC_TIMESTAMP(3) ${which === undefined ? sql.literal("") : sql`AND ${which}`}
          ORDER BY next_try_at LIMIT ${sql.literal(String(limit))} FOR UPDATE SKIP LOCKED`
        if (due.length === 0) return []
        const ids = due.map((row) => row.id)
        // A look at an intent isn't a change of it.
        const unchanged = sql.literal(table === "intent" ? ", updated_at = updated_at" : "")
        yield* sql`UPDATE ${sql(table)}
          SET next_try_at = UTC_TIMESTAMP(3) + INTERVAL ${sql.literal(String(CLAIM_S))} SECOND, tries = tries + 1 ${unchanged}
          WHERE ${sql.in(idColumn, ids)}`
        return yield* read(ids)
      }),
    )

  /** A claimed row is tried again after `seconds`, if nothing else has moved it meanwhile. */
  const postpone = (
    table: "intent" | "provider_event" | "refund" | "capture",
    idColumn: string,
    id: string | number,
    seconds: number,
  ) =>
    mysql.run(
      "payment.postpone",
      sql`UPDATE ${sql(table)}
        SET next_try_at = UTC_TIMESTAMP(3) + INTERVAL ${sql.literal(String(Math.ceil(seconds)))} SECOND
          ${sql.literal(table === "intent" ? ", updated_at = updated_at" : "")}
        WHERE ${sql(idColumn)} = ${id} AND next_try_at IS NOT NULL`,
    )

  return { find, lock, audit, tell, move, capture, holding, claim, postpone } as const
})

/** `find`, `lock`, `audit`, `tell`, `move` and `capture` belong into a transaction of the caller's. */
export class Gate extends Context.Tag("@floodgate/payment/store/Gate")<
  Gate,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Gate, make)
}
