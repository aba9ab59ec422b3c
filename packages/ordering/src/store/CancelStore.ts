/** The steps of a cancel that MySQL decides: asking for it, finding what was left unfinished, and finishing it. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import { affected, Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { purchaseKey } from "../domain/decide.ts"
import { type CancelReason, next, type StoredState } from "../domain/OrderState.ts"
import { OrderingConfig } from "../OrderingConfig.ts"
import * as OrderEvents from "./OrderEvents.ts"
import type { Unpaid } from "./OrderStore.ts"
import * as Sql from "./Sql.ts"

/** An order whose cancel was asked for and isn't finished. */
export interface Requested {
  readonly order_num: string
  readonly product_id: number
  readonly reason: CancelReason
  /** How long ago it was asked for, by MySQL's clock. */
  readonly age_ms: number
  readonly traceparent: string | null
}

/** What MySQL says to timers that went off. */
export interface RungTimers {
  /** Marked now, for the caller alone. */
  readonly requested: ReadonlyArray<Requested>
  /** Unpaid, but their time isn't over by MySQL's clock. */
  readonly early: ReadonlyArray<Unpaid>
  /** Locked by somebody who may be changing them: to be asked about again. */
  readonly busy: ReadonlyArray<string>
}

export interface CancelWish {
  readonly orderNum: string
  readonly reason: Exclude<CancelReason, "timeout">
  /** Who asks; 0 where it isn't known. */
  readonly actorId: number
  readonly note: string
}

/** Fails with MysqlUnavailable, or MysqlConflict after its retries. A duplicate key here is a defect of the data. */
export class CancelStore extends Context.Tag("@floodgate/ordering/store/CancelStore")<
  CancelStore,
  {
    /** Marks an unpaid order; false where it isn't unpaid, or was asked for before. */
    readonly request: (wish: CancelWish) => Effect.Effect<boolean, MysqlError>
    /** Marks up to `limit` unpaid orders whose time is over by MySQL's clock, for the caller alone. */
    readonly requestExpired: (limit: number) => Effect.Effect<ReadonlyArray<Requested>, MysqlError>
    /** The same for the orders of these numbers, at most 500; and what is to become of their timers. */
    readonly requestExpiredOf: (orderNums: ReadonlyArray<string>) => Effect.Effect<RungTimers, MysqlError>
    /** Up to `limit` unfinished cancels that nobody has asked payment about for `quietMs`, for the caller alone. */
    readonly claimUnfinished: (
      limit: number,
      quietMs: number,
    ) => Effect.Effect<ReadonlyArray<Requested>, MysqlError>
    /**
     * The last step, for orders whose gate is shut: one transaction that cancels those still unpaid and gives their
     * stock back, once. Answers the numbers that it cancelled now.
     */
    readonly finish: (
      orders: ReadonlyArray<Pick<Requested, "order_num" | "product_id">>,
    ) => Effect.Effect<ReadonlyArray<string>, MysqlError>
  }
>() {}

interface LockedOrder {
  readonly id: number
  readonly order_num: string
  readonly user_id: number
  readonly product_id: number
  readonly generation: number
  readonly quantity: number
  readonly state: StoredState
  readonly version: number
  readonly reason: CancelReason | null
  readonly actor_id: number | null
  readonly note: string | null
  readonly traceparent: string | null
  readonly now_ms: number
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { inventorySchema } = yield* OrderingConfig
  const sql: SqlClient = mysql.sql
  const { product, stockLog } = Sql.inventoryTables(sql, inventorySchema)
  const nowMs = sql.literal(Sql.toMs("UTC_TIMESTAMP(3)"))
  const expiresAtMs = sql.literal(Sql.toMs("o.expires_at"))
  const ageMs = sql.literal(
    "TIMESTAMPDIFF(MICROSECOND, COALESCE(o.cancel_requested_at, UTC_TIMESTAMP(3)), UTC_TIMESTAMP(3)) DIV 1000",
  )

  const idList = (ids: ReadonlyArray<number>): Fragment =>
    sql`JSON_TABLE(${JSON.stringify(ids)}, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) j`

  const claim = (where: Fragment, order: Fragment, limit: number, set: Fragment) =>
    Effect.gen(function* () {
      const rows = yield* sql<Requested & { readonly id: number }>`
        SELECT o.id, o.order_num, o.product_id, COALESCE(o.cancel_requested_reason, 'timeout') AS reason,
          ${ageMs} AS age_ms, o.traceparent
        FROM \`order\` o FORCE INDEX (by_cancel)
        WHERE o.state = 'unpaid' AND ${where} ORDER BY ${order} LIMIT ${limit}
        FOR UPDATE SKIP LOCKED`
      if (rows.length > 0) {
        yield* sql`UPDATE \`order\` o JOIN ${idList(rows.map((row) => row.id))} ON o.id = j.id SET ${set}`
      }
      return rows.map(({ id: _, ...row }) => row)
    })

  const requestExpiredOf = Effect.fnUntraced(function* (orderNums: ReadonlyArray<string>) {
    const numbers = sql`JSON_TABLE(${JSON.stringify([...new Set(orderNums)].sort())}, '$[*]' COLUMNS (
      order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$')) j`
    const seen = yield* sql<
      Requested & {
        readonly id: number
        readonly state: StoredState
        readonly waits: number
        readonly over: number
        readonly expires_at_ms: number
      }
    >`
      SELECT STRAIGHT_JOIN o.id, o.order_num, o.product_id, 'timeout' AS reason, 0 AS age_ms, o.traceparent, o.state,
        o.cancel_requested_at IS NULL AS waits, o.expires_at <= UTC_TIMESTAMP(3) AS \`over\`,
        ${expiresAtMs} AS expires_at_ms
      FROM ${numbers} JOIN \`order\` o FORCE INDEX (order_num) ON o.order_num = j.order_num
      FOR UPDATE SKIP LOCKED`
    const unpaid = seen.filter((row) => row.state === "unpaid" && row.waits === 1)
    const due = unpaid.filter((row) => row.over === 1)
    if (due.length > 0) {
      const moved = yield* affected(sql`
        UPDATE \`order\` o JOIN ${idList(due.map((row) => row.id))} ON o.id = j.id
        SET o.cancel_requested_at = UTC_TIMESTAMP(3), o.cancel_requested_reason = 'timeout',
          o.cancel_asked_at = UTC_TIMESTAMP(3)
        WHERE o.state = 'unpaid' AND o.cancel_requested_at IS NULL AND o.expires_at <= UTC_TIMESTAMP(3)`)
      if (moved.affectedRows !== due.length) {
        return yield* Effect.dieMessage(`${due.length - moved.affectedRows} orders changed under their lock`)
      }
    }
    const known = new Set(seen.map((row) => row.order_num))
    const missed = orderNums.filter((orderNum) => !known.has(orderNum))
    const there =
      missed.length === 0
        ? []
        : yield* sql<{ order_num: string }>`
            SELECT STRAIGHT_JOIN o.order_num
            FROM JSON_TABLE(${JSON.stringify(missed)}, '$[*]' COLUMNS (
              order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$')) j
            JOIN \`order\` o FORCE INDEX (order_num) ON o.order_num = j.order_num`
    return {
      requested: due.map(({ age_ms, order_num, product_id, reason, traceparent }) => ({
        age_ms,
        order_num,
        product_id,
        reason,
        traceparent,
      })),
      early: unpaid.filter((row) => row.over !== 1),
      busy: there.map((row) => row.order_num),
    }
  })

  const finish = Effect.fnUntraced(
    function* (orders: ReadonlyArray<Pick<Requested, "order_num" | "product_id">>) {
      const productIds = [...new Set(orders.map((o) => o.product_id))].sort((a, b) => a - b)
      // Everyone locks in this order: products by id, purchases, orders.
      yield* sql`
      SELECT STRAIGHT_JOIN p.id FROM ${idList(productIds)}
      JOIN ${product} p FORCE INDEX (PRIMARY) ON p.id = j.id ORDER BY p.id FOR UPDATE`
      const numbers = [...new Set(orders.map((o) => o.order_num))].sort()
      const locked = yield* sql<LockedOrder>`
      SELECT STRAIGHT_JOIN o.id, o.order_num, o.user_id, o.product_id, o.generation, o.quantity, o.state, o.version,
        o.cancel_requested_reason AS reason, o.cancel_requested_by AS actor_id, o.cancel_requested_note AS note,
        o.traceparent, ${nowMs} AS now_ms
      FROM JSON_TABLE(${JSON.stringify(numbers)}, '$[*]' COLUMNS (
        order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$')) j
      JOIN \`order\` o FORCE INDEX (order_num) ON o.order_num = j.order_num
      FOR UPDATE`
      const due = locked.filter((o) => next(o.state, "cancel") !== undefined && o.reason !== null)
      if (due.length === 0) return []

      const returned = new Map<number, number>()
      const unbought = new Map<string, [productId: number, userId: number, quantity: number]>()
      for (const o of due) {
        returned.set(o.product_id, (returned.get(o.product_id) ?? 0) + o.quantity)
        const key = purchaseKey(o.product_id, o.user_id)
        unbought.set(key, [o.product_id, o.user_id, (unbought.get(key)?.[2] ?? 0) + o.quantity])
      }

      yield* sql`
      UPDATE purchase b JOIN JSON_TABLE(${JSON.stringify([...unbought.values()])}, '$[*]' COLUMNS (
        product_id BIGINT UNSIGNED PATH '$[0]', user_id BIGINT UNSIGNED PATH '$[1]',
        quantity INT UNSIGNED PATH '$[2]')) j ON b.product_id = j.product_id AND b.user_id = j.user_id
      SET b.live_quantity = b.live_quantity - j.quantity`
      const moved = yield* affected(sql`
      UPDATE \`order\` o JOIN ${idList(due.map((o) => o.id))} ON o.id = j.id
      SET o.state = 'cancelled', o.cancel_reason = o.cancel_requested_reason, o.cancelled_at = UTC_TIMESTAMP(3),
        o.updated_at = UTC_TIMESTAMP(3), o.version = o.version + 1
      WHERE o.state = 'unpaid'`)
      if (moved.affectedRows !== due.length) {
        return yield* Effect.dieMessage(
          `${due.length - moved.affectedRows} orders left unpaid under their lock`,
        )
      }
      yield* sql`
      UPDATE JSON_TABLE(${JSON.stringify([...returned])}, '$[*]' COLUMNS (
        id BIGINT UNSIGNED PATH '$[0]', quantity BIGINT PATH '$[1]')) j
      STRAIGHT_JOIN ${product} p FORCE INDEX (PRIMARY) ON p.id = j.id
      SET p.stock = p.stock + j.quantity`
      yield* sql`
      INSERT INTO ${stockLog} (product_id, kind, ref, delta, created_at)
      SELECT j.product_id, 'cancel', j.order_num, j.quantity, UTC_TIMESTAMP(3)
      FROM JSON_TABLE(${JSON.stringify(due.map((o) => [o.order_num, o.product_id, o.quantity]))}, '$[*]' COLUMNS (
        order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$[0]',
        product_id BIGINT UNSIGNED PATH '$[1]', quantity BIGINT PATH '$[2]')) j`
      yield* Audit.append(
        due.map((o) => ({
          actorId: o.actor_id ?? Audit.SYSTEM,
          action: "order.cancel",
          targetType: "order",
          targetId: o.order_num,
          before: { state: o.state },
          after: { state: "cancelled", cancel_reason: o.reason, stock_returned: o.quantity },
          reason: o.note ?? "",
          traceparent: o.traceparent,
        })),
      )
      yield* Outbox.append(
        due.map((o) =>
          OrderEvents.row({
            eventId: `${o.order_num}:${o.version + 1}`,
            type: "order.cancelled",
            aggregate: o.order_num,
            occurredAtMs: o.now_ms,
            traceparent: o.traceparent,
            changes: [
              {
                order_num: o.order_num,
                user_id: o.user_id,
                product_id: o.product_id,
                generation: o.generation,
                quantity: o.quantity,
                state: "cancelled",
                version: o.version + 1,
                reason: o.reason!,
              },
            ],
          }),
        ),
      )
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("cancel.in_transaction")
      return due.map((o) => o.order_num)
    },
    Effect.provideService(Mysql, mysql),
  )

  return CancelStore.of({
    request: ({ actorId, note, orderNum, reason }) =>
      mysql.transaction(
        "cancel.request",
        Effect.map(
          // By the number, never by the sweeps' index: everyone who changes one order locks its rows in one order.
          affected(sql`
            UPDATE \`order\` FORCE INDEX (order_num)
            SET cancel_requested_at = UTC_TIMESTAMP(3), cancel_requested_reason = ${reason},
              cancel_requested_by = ${actorId}, cancel_requested_note = ${note}, cancel_asked_at = UTC_TIMESTAMP(3)
            WHERE order_num = ${orderNum} AND state = 'unpaid' AND cancel_requested_at IS NULL`),
          ({ affectedRows }) => affectedRows === 1,
        ),
      ),

    requestExpired: (limit) =>
      mysql.transaction(
        "cancel.request_expired",
        claim(
          sql`o.cancel_requested_at IS NULL AND o.expires_at <= UTC_TIMESTAMP(3)`,
          sql`o.expires_at`,
          limit,
          sql`o.cancel_requested_at = UTC_TIMESTAMP(3), o.cancel_requested_reason = 'timeout',
            o.cancel_asked_at = UTC_TIMESTAMP(3)`,
        ),
      ),

    requestExpiredOf: (orderNums) =>
      mysql.transaction("cancel.request_expired_of", requestExpiredOf(orderNums)),

    claimUnfinished: (limit, quietMs) =>
      mysql.transaction(
        "cancel.claim_unfinished",
        claim(
          sql`o.cancel_requested_at IS NOT NULL
            AND o.cancel_asked_at <= UTC_TIMESTAMP(3) - INTERVAL ${quietMs * 1000} MICROSECOND`,
          sql`o.cancel_requested_at`,
          limit,
          sql`o.cancel_asked_at = UTC_TIMESTAMP(3)`,
        ),
      ),

    finish: (orders) => mysql.transaction("cancel.finish", finish(orders)),
  })
})

export const layer: Layer.Layer<CancelStore, never, Mysql | OrderingConfig> = Layer.effect(CancelStore, make)
