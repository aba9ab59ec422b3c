/** What payment tells, applied to the order: the shown payment, captures, refunds. */
import { randomUUID } from "node:crypto"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Inbox from "@floodgate/runtime/outbox/Inbox"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { answerCapture, type CaptureAnswer } from "../domain/Capture.ts"
import type { OrderTransition, StoredState } from "../domain/OrderState.ts"
import * as Refund from "../domain/Refund.ts"
import { type PaymentStatus, replaces } from "../domain/ShownPayment.ts"
import * as OrderEvents from "./OrderEvents.ts"
import * as Sql from "./Sql.ts"

export type Applied =
  /** `capture` is there where money was answered now, `moved` where a refund changed the order's state. */
  | { readonly _tag: "applied"; readonly moved?: boolean; readonly capture?: CaptureAnswer }
  /** The event was seen before. */
  | { readonly _tag: "known" }
  /** There is no such order yet: the event is kept, and applied once there is. */
  | { readonly _tag: "parked" }

export interface Parked {
  readonly id: number
  readonly event_id: string
  readonly payload: string
  readonly attempts: number
  /** By MySQL's clock. */
  readonly age_ms: number
}

/** Fails with MysqlUnavailable, or MysqlConflict after its retries. A duplicate key here is a defect of the data. */
export class PaymentStore extends Context.Tag("@floodgate/ordering/store/PaymentStore")<
  PaymentStore,
  {
    /** One event, one transaction, one effect, however often it comes. */
    readonly apply: (event: PaymentEvent) => Effect.Effect<Applied, MysqlError>
    /** `apply` inside the caller's transaction. */
    readonly applyWithin: (event: PaymentEvent) => Effect.Effect<Applied, MysqlError>
    /** Parked events that are due, oldest first; each is put off, so that the next call finds others. */
    readonly claimParked: (limit: number) => Effect.Effect<ReadonlyArray<Parked>, MysqlError>
    /** Forgets a parked event, once it was applied or left for the dead letters. */
    readonly unpark: (id: number) => Effect.Effect<void, MysqlError>
  }
>() {}

const CONSUMER = "ordering"

/** A parked event is tried again after 1 s, then twice as long each time, up to this. */
const MAX_PARKED_PAUSE_S = 60

interface LockedOrder {
  readonly id: number
  readonly order_num: string
  readonly user_id: number
  readonly product_id: number
  readonly generation: number
  readonly quantity: number
  readonly amount: number
  readonly currency: string
  readonly state: StoredState
  readonly version: number
  readonly payment_id: string | null
  readonly payment_status: PaymentStatus | null
  readonly payment_version: number | null
  readonly capture_id: string | null
  readonly refund_id: string | null
  readonly refund_status: Refund.RefundStatus | null
  readonly traceparent: string | null
  readonly now_ms: number
}

/** How each step of a refund is told, and named in the audit trail. */
const refundTold: Readonly<Partial<Record<OrderTransition, OrderEvent["type"]>>> = {
  refund: "order.refunding",
  refund_done: "order.refunded",
  refund_failed: "order.refund_failed",
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const sql: SqlClient = mysql.sql
  const nowMs = sql.literal(Sql.toMs("UTC_TIMESTAMP(3)"))

  const tell = (
    order: LockedOrder,
    o: {
      readonly type: OrderEvent["type"]
      readonly eventId: string
      readonly state: StoredState
      readonly version: number
      readonly event: PaymentEvent
      readonly reason?: string
    },
  ) =>
    Outbox.append([
      OrderEvents.row({
        eventId: o.eventId,
        type: o.type,
        aggregate: order.order_num,
        occurredAtMs: order.now_ms,
        traceparent: o.event.traceparent ?? order.traceparent,
        changes: [
          {
            order_num: order.order_num,
            user_id: order.user_id,
            product_id: order.product_id,
            generation: order.generation,
            quantity: order.quantity,
            state: o.state,
            version: o.version,
            payment_id: o.event.payment_id,
            ...(o.reason === undefined ? {} : { reason: o.reason }),
            ...(o.event.capture_id === undefined ? {} : { capture_id: o.event.capture_id }),
          },
        ],
      }),
    ])

  const show = Effect.fnUntraced(function* (order: LockedOrder, event: PaymentEvent) {
    const shown =
      order.payment_id === null || order.payment_status === null || order.payment_version === null
        ? null
        : { payment_id: order.payment_id, status: order.payment_status, version: order.payment_version }
    const told = { payment_id: event.payment_id, status: event.status, version: event.payment_version }
    if (!replaces(shown, told)) return
    yield* sql`
      UPDATE \`order\`
      SET payment_id = ${event.payment_id}, payment_channel = ${event.channel}, payment_status = ${event.status},
        payment_version = ${event.payment_version}, updated_at = UTC_TIMESTAMP(3), version = version + 1
      WHERE id = ${order.id}`
  })

  const capture = Effect.fnUntraced(function* (order: LockedOrder, event: PaymentEvent, captureId: string) {
    // A capture that was answered under another event id keeps its first answer.
    if (!(yield* Inbox.firstTime(`${CONSUMER}.capture`, captureId))) return { _tag: "known" } as const
    const answer = answerCapture(order, {
      capture_id: captureId,
      amount: event.amount,
      currency: event.currency,
    })
    if (answer._tag === "pay") {
      const paid = yield* affected(sql`
        UPDATE \`order\`
        SET state = 'paid', paid_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), version = version + 1,
          payment_id = ${event.payment_id}, payment_channel = ${event.channel}, payment_status = ${event.status},
          payment_version = ${event.payment_version}, capture_id = ${captureId}
        WHERE id = ${order.id} AND state = 'unpaid'`)
      if (paid.affectedRows !== 1)
        return yield* Effect.dieMessage(`${order.order_num} left unpaid under its lock`)
      yield* tell(order, {
        type: "order.paid",
        eventId: `${order.order_num}:${order.version + 1}`,
        state: "paid",
        version: order.version + 1,
        event,
      })
      yield* Audit.append([
        {
          actorId: Audit.SYSTEM,
          action: "order.pay",
          targetType: "order",
          targetId: order.order_num,
          before: { state: order.state },
          after: { state: "paid", payment_id: event.payment_id, capture_id: captureId },
          traceparent: event.traceparent ?? order.traceparent,
        },
      ])
    }
    if (answer._tag === "refuse") {
      yield* tell(order, {
        type: "order.payment_refused",
        eventId: randomUUID(),
        state: order.state,
        version: order.version,
        event,
        reason: answer.reason,
      })
    }
    return answer
  })

  const applyRefund = Effect.fnUntraced(function* (
    order: LockedOrder,
    event: PaymentEvent,
    refund: NonNullable<PaymentEvent["refund"]>,
  ) {
    const told = {
      refund_id: refund.refund_id,
      status: refund.status,
      payment_id: event.payment_id,
      capture_id: event.capture_id,
    }
    if (!Refund.isShown(order, told)) return false
    const createdAtMs = Date.parse(refund.created_at)
    const succeededAtMs = refund.succeeded_at === null ? null : Date.parse(refund.succeeded_at)
    const time = (ms: number) => sql.literal(Sql.fromMs(String(ms)))
    yield* sql`
      UPDATE \`order\`
      SET refund_id = ${refund.refund_id}, refund_amount = ${refund.amount}, refund_status = ${refund.status},
        refund_reason = ${refund.reason}, refund_created_at = ${time(createdAtMs)},
        refund_succeeded_at = ${succeededAtMs === null ? sql.literal("NULL") : time(succeededAtMs)},
        updated_at = UTC_TIMESTAMP(3), version = version + 1
      WHERE id = ${order.id}`
    let before: StoredState = order.state
    let version = order.version + 1
    for (const { state, transition } of Refund.steps(order, told)) {
      const moved = yield* affected(sql`
        UPDATE \`order\` SET state = ${state}, updated_at = UTC_TIMESTAMP(3), version = version + 1
        WHERE id = ${order.id} AND state = ${before}`)
      if (moved.affectedRows !== 1) {
        return yield* Effect.dieMessage(`${order.order_num} left ${before} under its lock`)
      }
      version += 1
      const type = refundTold[transition]
      if (type === undefined) return yield* Effect.dieMessage(`a refund has no step ${transition}`)
      yield* tell(order, {
        type,
        eventId: `${order.order_num}:${version}`,
        state,
        version,
        event,
        reason: refund.reason,
      })
      yield* Audit.append([
        {
          actorId: Audit.SYSTEM,
          action: `order.${transition}`,
          targetType: "order",
          targetId: order.order_num,
          before: { state: before },
          after: { state, refund_id: refund.refund_id, amount: refund.amount },
          reason: refund.reason,
          traceparent: event.traceparent ?? order.traceparent,
        },
      ])
      before = state
    }
    return before !== order.state
  })

  const apply = Effect.fnUntraced(
    function* (event: PaymentEvent) {
      const [order] = yield* sql<LockedOrder>`
        SELECT o.id, o.order_num, o.user_id, o.product_id, o.generation, o.quantity, o.amount, o.currency, o.state,
          o.version, o.payment_id, o.payment_status, o.payment_version, o.capture_id, o.refund_id, o.refund_status,
          o.traceparent, ${nowMs} AS now_ms
        FROM \`order\` o FORCE INDEX (order_num) WHERE o.order_num = ${event.order_num} FOR UPDATE`
      if (order === undefined) {
        yield* sql`
          INSERT INTO parked_payment (event_id, order_num, payload, attempts, parked_at, next_at)
          VALUES (${event.event_id}, ${event.order_num}, ${JSON.stringify(event)}, 0, UTC_TIMESTAMP(3),
            UTC_TIMESTAMP(3) + INTERVAL 1 SECOND)
          ON DUPLICATE KEY UPDATE order_num = parked_payment.order_num`
        return { _tag: "parked" } as Applied
      }
      if (!(yield* Inbox.firstTime(CONSUMER, event.event_id))) return { _tag: "known" } as Applied
      if (event.type === "payment.captured" && event.capture_id !== undefined) {
        return { _tag: "applied", capture: yield* capture(order, event, event.capture_id) } as Applied
      }
      if (event.type === "refund.updated" && event.refund !== undefined) {
        return { _tag: "applied", moved: yield* applyRefund(order, event, event.refund) } as Applied
      }
      yield* show(order, event)
      return { _tag: "applied" } as Applied
    },
    Effect.provideService(Mysql, mysql),
  ) as (event: PaymentEvent) => Effect.Effect<Applied, SqlError>

  return PaymentStore.of({
    apply: (event) => mysql.transaction("payment_event.apply", apply(event)),

    applyWithin: (event) => mysql.run("payment_event.apply_within", apply(event)),

    claimParked: (limit) =>
      mysql.transaction(
        "parked_payment.claim",
        Effect.gen(function* () {
          const rows = yield* sql<Parked>`
            SELECT q.id, q.event_id, q.payload, q.attempts,
              TIMESTAMPDIFF(MICROSECOND, q.parked_at, UTC_TIMESTAMP(3)) DIV 1000 AS age_ms
            FROM parked_payment q FORCE INDEX (by_next)
            WHERE q.next_at <= UTC_TIMESTAMP(3) ORDER BY q.next_at, q.id LIMIT ${limit}
            FOR UPDATE SKIP LOCKED`
          if (rows.length > 0) {
            yield* sql`
              UPDATE parked_payment q
              JOIN JSON_TABLE(${JSON.stringify(rows.map((row) => row.id))}, '$[*]' COLUMNS (
                id BIGINT UNSIGNED PATH '$')) j ON q.id = j.id
              SET q.attempts = q.attempts + 1,
                q.next_at = UTC_TIMESTAMP(3)
                  + INTERVAL LEAST(${MAX_PARKED_PAUSE_S}, POW(2, LEAST(q.attempts, 10))) SECOND`
          }
          return [...rows].sort((a, b) => a.id - b.id)
        }),
      ),

    unpark: (id) =>
      mysql.run("parked_payment.unpark", Effect.asVoid(sql`DELETE FROM parked_payment WHERE id = ${id}`)),
  })
})

export const layer: Layer.Layer<PaymentStore, never, Mysql> = Layer.effect(PaymentStore, make)
