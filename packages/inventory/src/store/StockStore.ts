/**
 * Stock changes by operators, in MySQL. Each is a row of `stock_adjustment` by its id; what became of it in Redis is
 * taken over here only while the product is still at the generation in which Redis answered, under the product's lock:
 * a rebuild in between has loaded MySQL's stock anew, with or without this change.
 */
import { IdempotencyMismatch, InvalidInput, NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import { ProductBounds } from "@floodgate/contracts/sale/ProductBounds"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ProductState } from "../domain/Product.ts"
import * as InventoryEvents from "./InventoryEvents.ts"

/** What an operator asks for. */
export interface StockChange {
  /** Unique to the wish, ≤ 64 ASCII characters. */
  readonly id: string
  readonly productId: number
  /** Not 0. */
  readonly delta: number
  readonly actorId: number
  readonly reason: string
  readonly bodyHash: string
}

export type AdjustmentState = "requested" | "logged" | "applied" | "refused"

export interface Adjustment {
  readonly id: string
  readonly productId: number
  readonly delta: number
  readonly state: AdjustmentState
  /** The product's, when MySQL took an increase in. */
  readonly generation: number
  /** What was left when it was refused. */
  readonly left: number | null
}

/** An adjustment with what carrying it out depends on. */
export interface Pending extends Adjustment {
  /** Of the product, now. */
  readonly productGeneration: number
  /** The sale ended so long ago that Redis need not hold the product any more. */
  readonly retired: boolean
}

/** What Redis said of an adjustment. */
export interface Verdict {
  readonly done: boolean
  /** Where it was refused: what was left. */
  readonly left: number
  /** In which generation; undefined where Redis doesn't hold the product any more, and MySQL alone decides. */
  readonly generation: number | undefined
  /** What the shard held then; undefined where it doesn't hold the product. */
  readonly held: { readonly stock: number; readonly version: number } | undefined
}

export interface LogEntry {
  readonly id: number
  readonly productId: number
  readonly kind: string
  readonly ref: string
  readonly delta: number
  readonly reason: string | null
  readonly actorId: number | null
  readonly createdAtMs: number
}

interface AdjustmentRow {
  readonly id: string
  readonly product_id: number
  readonly delta: number
  readonly body_hash: string
  readonly state: AdjustmentState
  readonly generation: number
  readonly left_count: number | null
  readonly actor_id: number
  readonly reason: string
  readonly traceparent: string | null
}

interface ProductRow {
  readonly id: number
  readonly stock: number
  readonly generation: number
  readonly state: ProductState
  readonly version: number
  readonly retired: number
}

const toAdjustment = (row: AdjustmentRow): Adjustment => ({
  id: row.id,
  productId: row.product_id,
  delta: row.delta,
  state: row.state,
  generation: row.generation,
  left: row.left_count,
})

/** As recovery's: from then on it doesn't bring a product back into Redis. */
const RETIRED = "COALESCE(end_time <= UTC_TIMESTAMP(3) - INTERVAL 1 DAY, FALSE)"

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const relay = yield* Outbox.OutboxRelay
  const { sql } = mysql

  const adjustmentRow = (id: string, lock: boolean) =>
    sql<AdjustmentRow>`SELECT id, product_id, delta, body_hash, state, generation, left_count, actor_id, reason, traceparent
      FROM stock_adjustment WHERE id = ${id} ${sql.literal(lock ? "FOR UPDATE" : "")}`.pipe(
      Effect.map((rows) => rows[0]),
    )

  const productRow = (id: number, lock: boolean) =>
    sql<ProductRow>`SELECT id, stock, generation, state, version, ${sql.literal(RETIRED)} AS retired
      FROM product WHERE id = ${id} ${sql.literal(lock ? "FOR UPDATE" : "")}`.pipe(
      Effect.map((rows) => rows[0]),
    )

  /** The stock itself, its log, the audit: what makes a change true. The product is locked. */
  const book = Effect.fnUntraced(function* (product: ProductRow, row: AdjustmentRow) {
    const after = product.stock + row.delta
    yield* sql`UPDATE product SET stock = ${after}, version = version + 1, updated_at = UTC_TIMESTAMP(3)
      WHERE id = ${product.id}`
    yield* sql`INSERT INTO stock_log (product_id, kind, ref, delta)
      VALUES (${product.id}, 'adjust', ${row.id}, ${row.delta})`
    yield* Audit.append([
      {
        actorId: row.actor_id,
        action: "product.stock",
        targetType: "product",
        targetId: product.id,
        before: { stock: product.stock },
        after: { stock: after, delta: row.delta },
        reason: row.reason,
        requestId: row.id,
        traceparent: row.traceparent,
      },
    ]).pipe(Effect.provideService(Mysql, mysql))
    return { ...product, stock: after, version: product.version + 1 }
  })

  const tell = Effect.fnUntraced(function* (product: ProductRow, row: AdjustmentRow, held: Verdict["held"]) {
    const told = InventoryEvents.row({
      type: "stock.changed",
      product,
      held,
      nowMs: yield* Clock.currentTimeMillis,
      traceparent: row.traceparent ?? undefined,
    })
    yield* Outbox.append([told]).pipe(Effect.provideService(Mysql, mysql))
  })

  /**
   * Records what is asked for, once: an increase is in MySQL's stock from here on, a decrease is only an intention.
   * `known` where the id was seen before; fails with IdempotencyMismatch where it stood for something else.
   */
  const begin = Effect.fn("StockStore.begin")(function* (change: StockChange) {
    const traceparent = yield* TraceContext.current
    return yield* mysql
      .transaction(
        "stock.begin",
        Effect.gen(function* () {
          const product = yield* productRow(change.productId, true)
          const known = yield* adjustmentRow(change.id, false)
          if (known !== undefined) {
            return known.product_id === change.productId && known.body_hash === change.bodyHash
              ? { adjustment: toAdjustment(known), known: true }
              : yield* new IdempotencyMismatch()
          }
          if (product === undefined) return yield* new NotFound()
          // A draft's stock is what its warm-up takes along; there is no half of it in Redis to change.
          if (product.state === "draft") return yield* new WrongState({ state: product.state })
          const increase = change.delta > 0
          if (increase && product.stock + change.delta > ProductBounds.stock) {
            return yield* InvalidInput.at("delta", `the stock would be over ${ProductBounds.stock}`)
          }
          yield* sql`INSERT INTO stock_adjustment
              (id, product_id, delta, body_hash, state, generation, actor_id, reason, traceparent)
            VALUES (${change.id}, ${change.productId}, ${change.delta}, ${change.bodyHash},
              ${increase ? "logged" : "requested"}, ${product.generation}, ${change.actorId}, ${change.reason},
              ${traceparent ?? null})`
          const row = (yield* adjustmentRow(change.id, false))!
          if (increase) yield* book(product, row)
          return { adjustment: toAdjustment(row), known: false }
        }),
      )
      .pipe(retryConflicts)
  })

  /** What an id stands for, without beginning anything. */
  const find = Effect.fn("StockStore.find")(function* (id: string) {
    return yield* mysql.run(
      "stock.find",
      Effect.gen(function* () {
        const row = yield* adjustmentRow(id, false)
        if (row === undefined) return undefined
        const product = (yield* productRow(row.product_id, false))!
        return {
          ...toAdjustment(row),
          bodyHash: row.body_hash,
          productGeneration: product.generation,
          retired: product.retired === 1,
        }
      }),
    )
  })

  /**
   * Ends an adjustment by what Redis said. Undefined where Redis spoke in a generation that is over by now: it must be
   * asked again. `impossible` where MySQL hasn't what Redis gave away, which breaks an invariant: refused, and the
   * caller has the shard rebuilt.
   */
  const finish = Effect.fn("StockStore.finish")(function* (id: string, verdict: Verdict) {
    return yield* mysql
      .transaction(
        "stock.finish",
        Effect.gen(function* () {
          const seen = (yield* adjustmentRow(id, false))!
          const product = (yield* productRow(seen.product_id, true))!
          const row = (yield* adjustmentRow(id, true))!
          if (row.state === "applied" || row.state === "refused") {
            return { adjustment: toAdjustment(row), impossible: false }
          }
          const isDecrease = row.delta < 0
          if (isDecrease) {
            const current =
              verdict.generation === undefined
                ? product.retired === 1
                : verdict.generation === product.generation
            if (!current) return undefined
          }
          const impossible = isDecrease && verdict.done && product.stock + row.delta < 0
          const done = verdict.done && !impossible
          const left = done ? null : impossible ? product.stock : verdict.left
          yield* sql`UPDATE stock_adjustment
            SET state = ${done ? "applied" : "refused"}, left_count = ${left}, finished_at = UTC_TIMESTAMP(3)
            WHERE id = ${id}`
          if (done) yield* tell(isDecrease ? yield* book(product, row) : product, row, verdict.held)
          return {
            adjustment: { ...toAdjustment(row), state: done ? "applied" : "refused", left } as Adjustment,
            impossible: impossible && verdict.generation !== undefined,
          }
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))
  })

  /** Halves that nobody has been at for a while, oldest first, after `afterId`. */
  const unfinished = Effect.fn("StockStore.unfinished")(function* (
    olderThanMs: number,
    afterId: string,
    limit: number,
  ) {
    const rows = yield* mysql.run(
      "stock.unfinished",
      sql<{ id: string }>`SELECT id FROM stock_adjustment
        WHERE state IN ('requested', 'logged')
          AND created_at <= UTC_TIMESTAMP(3) - INTERVAL ${olderThanMs * 1_000} MICROSECOND
          AND id > ${afterId}
        ORDER BY id LIMIT ${sql.literal(String(limit))}`,
    )
    return rows.map(({ id }) => id)
  })

  /** By product: the sum of what operators changed in MySQL's stock, and how many changes are half done. */
  const sums = Effect.fn("StockStore.sums")(function* (productIds: ReadonlyArray<number>) {
    if (productIds.length === 0) return new Map<number, { adjusted: number; unfinished: number }>()
    const rows = yield* mysql.run(
      "stock.sums",
      sql<{ product_id: number; adjusted: number; unfinished: number }>`
        SELECT product_id,
          CAST(SUM(IF(state IN ('logged', 'applied'), delta, 0)) AS SIGNED) AS adjusted,
          CAST(SUM(state IN ('requested', 'logged')) AS SIGNED) AS unfinished
        FROM stock_adjustment WHERE ${sql.in("product_id", productIds)} GROUP BY product_id`,
    )
    return new Map(rows.map(({ adjusted, product_id, unfinished }) => [product_id, { adjusted, unfinished }]))
  })

  /** A page of the stock log, newest first, before `beforeId`. */
  const log = Effect.fn("StockStore.log")(function* (query: {
    readonly productId: number
    readonly kind: string
    readonly fromMs: number
    readonly toMs: number
    readonly beforeId: number | undefined
    readonly limit: number
  }) {
    const at = (ms: number) => sql`TIMESTAMP('1970-01-01') + INTERVAL ${ms * 1_000} MICROSECOND`
    const filters = [sql`l.product_id = ${query.productId}`]
    if (query.kind !== "") filters.push(sql`l.kind = ${query.kind}`)
    if (query.fromMs > 0) filters.push(sql`l.created_at >= ${at(query.fromMs)}`)
    if (query.toMs > 0) filters.push(sql`l.created_at < ${at(query.toMs)}`)
    if (query.beforeId !== undefined) filters.push(sql`l.id < ${query.beforeId}`)
    const rows = yield* mysql.run(
      "stock.log",
      sql<{
        id: number
        product_id: number
        kind: string
        ref: string
        delta: number
        reason: string | null
        actor_id: number | null
        created_at_ms: number
      }>`SELECT l.id, l.product_id, l.kind, l.ref, l.delta, a.reason, a.actor_id,
          TIMESTAMPDIFF(MICROSECOND, '1970-01-01', l.created_at) DIV 1000 AS created_at_ms
        FROM stock_log l LEFT JOIN stock_adjustment a ON l.kind = 'adjust' AND a.id = l.ref
        WHERE ${sql.and(filters)} ORDER BY l.id DESC LIMIT ${sql.literal(String(query.limit))}`,
    )
    return rows.map(
      (row): LogEntry => ({
        id: row.id,
        productId: row.product_id,
        kind: row.kind,
        ref: row.ref,
        delta: row.delta,
        reason: row.reason,
        actorId: row.actor_id,
        createdAtMs: row.created_at_ms,
      }),
    )
  })

  return { begin, find, finish, unfinished, sums, log } as const
})

export class StockStore extends Context.Tag("@floodgate/inventory/store/StockStore")<
  StockStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(StockStore, make)
}
