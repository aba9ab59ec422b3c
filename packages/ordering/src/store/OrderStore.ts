/** Orders in MySQL: creation by batch, tombstones for what is given up, and every read of them. */
import { randomUUID } from "node:crypto"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { OrderChange, OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import { affected, Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { decide, type ProductState, purchaseKey, type Verdict } from "../domain/decide.ts"
import { isLive, type RejectReason, type StoredState, statesOf } from "../domain/OrderState.ts"
import { OrderingConfig } from "../OrderingConfig.ts"
import * as OrderEvents from "./OrderEvents.ts"
import * as OrderRow from "./OrderRow.ts"
import * as Sql from "./Sql.ts"

/** A barrier that was read between the entries of a batch. */
export interface Barrier {
  readonly partition: number
  readonly epoch: number
}

export interface BatchResult {
  /** What was decided now: one an entry that had no row yet. */
  readonly decided: ReadonlyArray<{ readonly event: ReservationEvent; readonly verdict: Verdict }>
  /** Entries whose product has no row: nothing was written for them. */
  readonly orphans: ReadonlyArray<ReservationEvent>
  /** Entries whose number has a row of another buyer or product: a defect somewhere; nothing was written. */
  readonly impostors: ReadonlyArray<ReservationEvent>
  /** Every order of the batch that waits for its money, made now or there before, for the timers. */
  readonly unpaid: ReadonlyArray<Unpaid>
}

/** An order and when its time to pay is over, Unix ms by MySQL's clock. */
export interface Unpaid {
  readonly order_num: string
  readonly expires_at_ms: number
}

/** What is known for certain of a reservation whose message can't be applied. */
export interface GivenUp {
  readonly order_num: string
  readonly user_id: number
  readonly product_id: number
  readonly generation: number
  /** As far as the message's own words are plausible. */
  readonly quantity: number
  readonly request_id: string
  readonly reserved_at_ms: number
  readonly traceparent: string | null
}

/** What MySQL says of a product together with the absence of an order. */
export interface ProductGlimpse {
  readonly name: string
  readonly price: number
  readonly currency: string
  readonly generation: number
}

export interface Listing {
  /** Everybody's, where it is left out. */
  readonly userId?: number | undefined
  readonly productId?: number | undefined
  readonly orderNum?: string | undefined
  /** Created from (included) and to (not included), Unix ms. */
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  /** The roadmap's 0, 1, 2. */
  readonly status?: number | undefined
  readonly state?: StoredState | undefined
  /** Only ids below this one. */
  readonly beforeId?: number | undefined
  readonly limit: number
}

export interface ReservationRecord {
  readonly id: number
  readonly order_num: string
  readonly user_id: number
  readonly quantity: number
  readonly request_id: string
  readonly live: boolean
}

/** Fails with MysqlUnavailable, or MysqlConflict after its retries; MysqlDuplicateKey only from `createBatch`. */
export class OrderStore extends Context.Tag("@floodgate/ordering/store/OrderStore")<
  OrderStore,
  {
    /**
     * One short transaction: every entry that has no row gets one, as an order or as a tombstone; stock, purchases,
     * logs and outbox with it. Entries in any order of products, each product's in stream order. Safe to repeat.
     * MysqlDuplicateKey is a defect of the data: rolled back, nothing was written.
     */
    readonly createBatch: (
      entries: ReadonlyArray<ReservationEvent>,
      barriers: ReadonlyArray<Barrier>,
    ) => Effect.Effect<BatchResult, MysqlError>
    /** `createBatch` of entries inside the caller's transaction. */
    readonly createWithin: (
      entries: ReadonlyArray<ReservationEvent>,
    ) => Effect.Effect<BatchResult, MysqlError>
    /**
     * Inside the caller's transaction: a tombstone (`rejected`, `lost`) with the release of its stock, unless the number
     * has a row by now; then nothing, and the answer is that row's state.
     */
    readonly rejectWithin: (givenUp: GivenUp) => Effect.Effect<StoredState | undefined, MysqlError>
    readonly find: (orderNum: string) => Effect.Effect<OrderRow.OrderRow | undefined, MysqlError>
    /** The order and its product in one snapshot; undefined where there is no such product. */
    readonly findWithProduct: (
      orderNum: string,
      productId: number,
    ) => Effect.Effect<
      { readonly order: OrderRow.OrderRow | undefined; readonly product: ProductGlimpse } | undefined,
      MysqlError
    >
    /** Those that have a row. */
    readonly decided: (orderNums: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>, MysqlError>
    /** Newest first. */
    readonly list: (listing: Listing) => Effect.Effect<ReadonlyArray<OrderRow.OrderRow>, MysqlError>
    /** Every reservation of a product, oldest first, from after an id. */
    readonly reservations: (
      productId: number,
      afterId: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<ReservationRecord>, MysqlError>
    /** The partitions on which a barrier of at least this epoch was recorded. */
    readonly barrier: (epoch: number) => Effect.Effect<ReadonlyArray<number>, MysqlError>
  }
>() {}

/** The columns of the JSON rows that `createBatch` sends, by position. */
const ORDER_COLUMNS = `
  order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$[0]',
  user_id BIGINT UNSIGNED PATH '$[1]',
  product_id BIGINT UNSIGNED PATH '$[2]',
  generation INT UNSIGNED PATH '$[3]',
  quantity INT UNSIGNED PATH '$[4]',
  amount BIGINT PATH '$[5]',
  request_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PATH '$[6]',
  reserved_at_ms BIGINT PATH '$[7]',
  reject_reason VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin PATH '$[8]',
  traceparent VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin PATH '$[9]'`

const NUMBER_COLUMN = "order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$'"

interface LockedProduct extends ProductState {
  readonly now_ms: number
}

/** The row of an entry's number. */
interface Known {
  readonly o_user_id: number | null
  readonly o_product_id: number | null
  readonly state: StoredState
  readonly expires_at_ms: number | null
}

/** Of a tombstone whose product has no row. */
const DEFAULT_CURRENCY = "CNY"

/**
 * States that an order passes through: few orders are in one of them at a time, so that an index by state finds them
 * sooner than one by product.
 */
const PASSING: ReadonlySet<StoredState> = new Set(["unpaid", "refunding", "refunded"])

/** The index whose order is the list's, and that leaves the fewest rows to pass over. */
export const listIndex = (filter: Pick<Listing, "orderNum" | "userId" | "productId" | "state">): string => {
  const { orderNum, productId, state, userId } = filter
  if (orderNum !== undefined) return "order_num"
  if (userId !== undefined) return "by_user"
  if (productId !== undefined && (state === undefined || !PASSING.has(state))) return "by_product"
  return state !== undefined ? "by_state" : "PRIMARY"
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { inventorySchema, payTimeoutMs } = yield* OrderingConfig
  const sql: SqlClient.SqlClient = mysql.sql
  const { product, stockLog } = Sql.inventoryTables(sql, inventorySchema)
  const orderColumns = sql.literal(OrderRow.columns)
  const orderRowColumns = sql.literal(ORDER_COLUMNS)
  const numberColumn = sql.literal(NUMBER_COLUMN)
  const expiresAt = sql.literal(`UTC_TIMESTAMP(3) + INTERVAL ${payTimeoutMs * 1000} MICROSECOND`)
  const reservedAt = sql.literal(Sql.fromMs("j.reserved_at_ms"))
  const nowMs = sql.literal(Sql.toMs("UTC_TIMESTAMP(3)"))
  const expiresAtMs = sql.literal(Sql.toMs("o.expires_at"))

  const lockProducts = (ids: ReadonlyArray<number>) =>
    // The ids come sorted, and rows are locked as they are read: everyone locks in the same order. FORCE INDEX keeps a
    // small table from being scanned, which would lock products that nobody asked for.
    sql<LockedProduct>`
      SELECT STRAIGHT_JOIN p.id, p.stock, p.generation, p.per_user_limit, ${nowMs} AS now_ms
      FROM JSON_TABLE(${JSON.stringify(ids)}, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) j
      JOIN ${product} p FORCE INDEX (PRIMARY) ON p.id = j.id
      ORDER BY p.id FOR UPDATE`

  /**
   * What is there already of each entry: the row of its number, and what its buyer has of its product. Nothing of an
   * entry that is new of a buyer who is new.
   */
  const found = (entries: ReadonlyArray<readonly [orderNum: string, productId: number, userId: number]>) =>
    sql<{
      order_num: string
      product_id: number
      user_id: number
      state: StoredState | null
      /** Whose order it is, and of which product: null where there is none. */
      o_user_id: number | null
      o_product_id: number | null
      expires_at_ms: number | null
      live_quantity: number | null
    }>`
      SELECT STRAIGHT_JOIN j.order_num, j.product_id, j.user_id, o.state, o.user_id AS o_user_id,
        o.product_id AS o_product_id, ${expiresAtMs} AS expires_at_ms, b.live_quantity
      FROM JSON_TABLE(${JSON.stringify(entries)}, '$[*]' COLUMNS (
        order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$[0]',
        product_id BIGINT UNSIGNED PATH '$[1]', user_id BIGINT UNSIGNED PATH '$[2]')) j
      LEFT JOIN \`order\` o FORCE INDEX (order_num) ON o.order_num = j.order_num
      LEFT JOIN purchase b FORCE INDEX (PRIMARY) ON b.product_id = j.product_id AND b.user_id = j.user_id
      WHERE o.id IS NOT NULL OR b.user_id IS NOT NULL`

  const insertOrders = (rows: string) =>
    sql`
      INSERT INTO \`order\` (order_num, user_id, product_id, product_name, generation, quantity, amount, currency,
        request_id, state, reject_reason, expires_at, version, traceparent, reserved_at, created_at, updated_at)
      SELECT STRAIGHT_JOIN j.order_num, j.user_id, j.product_id, p.name, j.generation, j.quantity, j.amount, p.currency,
        j.request_id, IF(j.reject_reason IS NULL, 'unpaid', 'rejected'), j.reject_reason,
        IF(j.reject_reason IS NULL, ${expiresAt}, NULL), 1, j.traceparent, ${reservedAt},
        UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)
      FROM JSON_TABLE(${rows}, '$[*]' COLUMNS (${orderRowColumns})) j
      JOIN ${product} p FORCE INDEX (PRIMARY) ON p.id = j.product_id`

  // As when they were locked: a scan of a small table would wait for products of other batches, which wait for ours.
  const takeStock = (taken: ReadonlyArray<readonly [productId: number, quantity: number]>) =>
    affected(sql`
      UPDATE JSON_TABLE(${JSON.stringify(taken)}, '$[*]' COLUMNS (
        id BIGINT UNSIGNED PATH '$[0]', quantity BIGINT PATH '$[1]')) j
      STRAIGHT_JOIN ${product} p FORCE INDEX (PRIMARY) ON p.id = j.id
      SET p.stock = p.stock - j.quantity
      WHERE p.stock >= j.quantity`)

  const logStock = (taken: ReadonlyArray<readonly [orderNum: string, productId: number, quantity: number]>) =>
    sql`
      INSERT INTO ${stockLog} (product_id, kind, ref, delta, created_at)
      SELECT j.product_id, 'order', j.order_num, -j.quantity, UTC_TIMESTAMP(3)
      FROM JSON_TABLE(${JSON.stringify(taken)}, '$[*]' COLUMNS (
        order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$[0]',
        product_id BIGINT UNSIGNED PATH '$[1]', quantity BIGINT PATH '$[2]')) j`

  const addPurchases = (
    bought: ReadonlyArray<readonly [productId: number, userId: number, quantity: number]>,
  ) =>
    sql`
      INSERT INTO purchase (product_id, user_id, live_quantity)
      SELECT j.product_id, j.user_id, j.quantity
      FROM JSON_TABLE(${JSON.stringify(bought)}, '$[*]' COLUMNS (
        product_id BIGINT UNSIGNED PATH '$[0]', user_id BIGINT UNSIGNED PATH '$[1]',
        quantity INT UNSIGNED PATH '$[2]')) j
      ON DUPLICATE KEY UPDATE live_quantity = purchase.live_quantity + j.quantity`

  const recordBarriers = (barriers: ReadonlyArray<Barrier>) =>
    sql`
      INSERT INTO barrier (partition_no, epoch, recorded_at)
      SELECT j.partition_no, j.epoch, UTC_TIMESTAMP(3)
      FROM JSON_TABLE(${JSON.stringify(barriers)}, '$[*]' COLUMNS (
        partition_no INT UNSIGNED PATH '$.partition', epoch BIGINT UNSIGNED PATH '$.epoch')) j
      ON DUPLICATE KEY UPDATE recorded_at = IF(j.epoch > barrier.epoch, UTC_TIMESTAMP(3), barrier.recorded_at),
        epoch = GREATEST(barrier.epoch, j.epoch)`

  const writeDecided = (
    fresh: ReadonlyArray<ReservationEvent>,
    products: ReadonlyMap<number, LockedProduct>,
    live: ReadonlyMap<string, number>,
    occurredAtMs: number,
  ) =>
    Effect.gen(function* () {
      const buyers = new Map<string, readonly [number, number]>()
      for (const e of fresh) buyers.set(purchaseKey(e.product_id, e.user_id), [e.product_id, e.user_id])

      const { verdicts, taken, bought } = decide(fresh, products, live)

      const rows: Array<ReadonlyArray<unknown>> = []
      const fits: Array<readonly [string, number, number]> = []
      const told = new Map<number, { fits: Array<OrderChange>; rejected: Array<OrderChange> }>()
      fresh.forEach((e, i) => {
        const verdict = verdicts[i]!
        const rejected = verdict === "fits" ? null : verdict
        rows.push([
          e.order_num,
          e.user_id,
          e.product_id,
          e.generation,
          e.quantity,
          e.price * e.quantity,
          e.request_id,
          e.reserved_at_ms,
          rejected,
          e.traceparent ?? null,
        ])
        let changes = told.get(e.product_id)
        if (changes === undefined) {
          changes = { fits: [], rejected: [] }
          told.set(e.product_id, changes)
        }
        const change = {
          order_num: e.order_num,
          user_id: e.user_id,
          product_id: e.product_id,
          generation: e.generation,
          quantity: e.quantity,
          version: 1,
        }
        if (rejected === null) {
          fits.push([e.order_num, e.product_id, e.quantity])
          changes.fits.push({ ...change, state: "unpaid" })
        } else {
          changes.rejected.push({ ...change, state: "rejected", reason: rejected })
        }
      })

      yield* insertOrders(JSON.stringify(rows))
      if (fits.length > 0) {
        const matched = yield* takeStock([...taken])
        if (matched.affectedRows !== taken.size) {
          // The rows are locked and were judged: only an engine that broke its lock gets here.
          return yield* Effect.dieMessage(`stock of ${taken.size} products, ${matched.affectedRows} taken`)
        }
        yield* logStock(fits)
        yield* addPurchases(
          [...bought].map(([key, quantity]) => {
            const [productId, userId] = buyers.get(key)!
            return [productId, userId, quantity] as const
          }),
        )
      }

      const message = (type: OrderEvent["type"], productId: number, changes: ReadonlyArray<OrderChange>) =>
        OrderEvents.row({
          eventId: randomUUID(),
          type,
          aggregate: `product:${productId}`,
          occurredAtMs,
          changes,
        })
      yield* Outbox.append(
        [...told].flatMap(([productId, changes]) => [
          ...(changes.fits.length > 0 ? [message("order.created", productId, changes.fits)] : []),
          ...(changes.rejected.length > 0 ? [message("order.rejected", productId, changes.rejected)] : []),
        ]),
      )
      // One row a product and batch: a row an order would be the larger part of a batch's work.
      yield* Audit.append(
        [...told].map(([productId, changes]) => ({
          actorId: Audit.SYSTEM,
          action: "order.create",
          targetType: "product",
          targetId: productId,
          after: {
            created: changes.fits.length,
            rejected: changes.rejected.length,
            stock_taken: taken.get(productId) ?? 0,
          },
        })),
      )
      return fresh.map((event, i) => ({ event, verdict: verdicts[i]! }))
    }).pipe(Effect.provideService(Mysql, mysql))

  const batch = Effect.fnUntraced(function* (
    entries: ReadonlyArray<ReservationEvent>,
    barriers: ReadonlyArray<Barrier>,
  ) {
    const none: BatchResult = { decided: [], orphans: [], impostors: [], unpaid: [] }
    if (entries.length === 0) {
      if (barriers.length > 0) yield* recordBarriers(barriers)
      return none
    }
    const ids = [...new Set(entries.map((e) => e.product_id))].sort((a, b) => a - b)
    const products = new Map((yield* lockProducts(ids)).map((row) => [row.id, row]))
    const known = new Map<string, Known>()
    const live = new Map<string, number>()
    for (const row of yield* found(entries.map((e) => [e.order_num, e.product_id, e.user_id]))) {
      if (row.state !== null) known.set(row.order_num, { ...row, state: row.state })
      if (row.live_quantity !== null) live.set(purchaseKey(row.product_id, row.user_id), row.live_quantity)
    }
    const fresh: Array<ReservationEvent> = []
    const orphans: Array<ReservationEvent> = []
    const impostors: Array<ReservationEvent> = []
    const unpaid: Array<Unpaid> = []
    const seen = new Set<string>()
    for (const e of entries) {
      const row = known.get(e.order_num)
      if (row !== undefined) {
        if (row.o_user_id !== e.user_id || row.o_product_id !== e.product_id) impostors.push(e)
        else if (row.state === "unpaid" && row.expires_at_ms !== null) {
          unpaid.push({ order_num: e.order_num, expires_at_ms: row.expires_at_ms })
        }
      } else if (seen.has(e.order_num)) {
        // A copy within the batch: the relay produced it twice.
      } else if (!products.has(e.product_id)) {
        orphans.push(e)
      } else {
        seen.add(e.order_num)
        fresh.push(e)
      }
    }
    let decided: BatchResult["decided"] = []
    if (fresh.length > 0) {
      const occurredAtMs = products.get(fresh[0]!.product_id)!.now_ms
      decided = yield* writeDecided(fresh, products, live, occurredAtMs)
      for (const { event, verdict } of decided) {
        // The row's own time is that of its statement, some ms later: a hint needs no more.
        if (verdict === "fits") {
          unpaid.push({ order_num: event.order_num, expires_at_ms: occurredAtMs + payTimeoutMs })
        }
      }
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("orders.in_transaction")
    }
    if (barriers.length > 0) yield* recordBarriers(barriers)
    return { decided, orphans, impostors, unpaid }
  })

  const reject = Effect.fnUntraced(
    function* (o: GivenUp) {
      const [locked] = yield* lockProducts([o.product_id])
      const [row] = yield* found([[o.order_num, o.product_id, o.user_id]])
      if (row !== undefined && row.state !== null) return row.state
      // A product without a row doesn't keep its reservation from an end.
      yield* sql`
      INSERT INTO \`order\` (order_num, user_id, product_id, product_name, generation, quantity, amount, currency,
        request_id, state, reject_reason, expires_at, version, traceparent, reserved_at, created_at, updated_at)
      SELECT STRAIGHT_JOIN ${o.order_num}, ${o.user_id}, ${o.product_id}, COALESCE(p.name, ''), ${o.generation},
        ${o.quantity}, COALESCE(p.price, 0) * ${o.quantity}, COALESCE(p.currency, ${DEFAULT_CURRENCY}), ${o.request_id},
        'rejected', ${"lost" satisfies RejectReason}, NULL, 1, ${o.traceparent}, ${Sql.at(sql, o.reserved_at_ms)},
        UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)
      FROM (SELECT 1 AS one) x
      LEFT JOIN ${product} p FORCE INDEX (PRIMARY) ON p.id = ${o.product_id}`
      const [clock] = yield* sql<{ now_ms: number }>`SELECT ${nowMs} AS now_ms`
      yield* Outbox.append([
        OrderEvents.row({
          eventId: randomUUID(),
          type: "order.rejected",
          aggregate: `product:${o.product_id}`,
          occurredAtMs: locked?.now_ms ?? clock?.now_ms ?? 0,
          traceparent: o.traceparent,
          changes: [
            {
              order_num: o.order_num,
              user_id: o.user_id,
              product_id: o.product_id,
              generation: o.generation,
              quantity: o.quantity,
              state: "rejected",
              version: 1,
              reason: "lost",
            },
          ],
        }),
      ])
      return undefined
    },
    Effect.provideService(Mysql, mysql),
  )

  const first = <A>(rows: ReadonlyArray<A>): A | undefined => rows[0]

  return OrderStore.of({
    createBatch: (entries, barriers) => mysql.transaction("orders.create", batch(entries, barriers)),

    createWithin: (entries) => mysql.run("orders.create_within", batch(entries, [])),

    rejectWithin: (givenUp) => mysql.run("orders.reject_within", reject(givenUp)),

    find: (orderNum) =>
      mysql.run(
        "orders.find",
        Effect.map(
          sql<OrderRow.OrderRow>`SELECT ${orderColumns} FROM \`order\` o WHERE o.order_num = ${orderNum}`,
          first,
        ),
      ),

    findWithProduct: (orderNum, productId) =>
      mysql.run(
        "orders.find_with_product",
        Effect.map(
          sql<
            OrderRow.OrderRow & { p_name: string; p_price: number; p_currency: string; p_generation: number }
          >`
            SELECT p.name AS p_name, p.price AS p_price, p.currency AS p_currency, p.generation AS p_generation,
              ${orderColumns}
            FROM ${product} p LEFT JOIN \`order\` o ON o.order_num = ${orderNum}
            WHERE p.id = ${productId}`,
          (rows) => {
            const row = rows[0]
            if (row === undefined) return undefined
            const { p_name, p_price, p_currency, p_generation, ...order } = row
            return {
              // The outer join's NULLs where there is no order.
              order: (order.id as number | null) === null ? undefined : order,
              product: { name: p_name, price: p_price, currency: p_currency, generation: p_generation },
            }
          },
        ),
      ),

    decided: (orderNums) =>
      mysql.run(
        "orders.decided",
        Effect.map(
          sql<{ order_num: string }>`
            SELECT STRAIGHT_JOIN o.order_num
            FROM JSON_TABLE(${JSON.stringify(orderNums)}, '$[*]' COLUMNS (${numberColumn})) j
            JOIN \`order\` o FORCE INDEX (order_num) ON o.order_num = j.order_num`,
          (rows) => rows.map((row) => row.order_num),
        ),
      ),

    list: ({ beforeId, fromMs, limit, orderNum, productId, state, status, toMs, userId }) =>
      mysql.run(
        "orders.list",
        Effect.gen(function* () {
          const span = yield* Sql.idSpan(sql, {
            table: "order",
            column: "created_at",
            index: "by_created",
            fromMs,
            toMs,
          })
          if (span === undefined) return []
          const filters = [
            ...Sql.within(sql, "o.id", span, beforeId),
            ...Sql.between(sql, "o.created_at", fromMs, toMs),
          ]
          if (orderNum !== undefined) filters.push(sql`o.order_num = ${orderNum}`)
          if (userId !== undefined) filters.push(sql`o.user_id = ${userId}`)
          if (productId !== undefined) filters.push(sql`o.product_id = ${productId}`)
          if (state !== undefined) filters.push(sql`o.state = ${state}`)
          if (status !== undefined) filters.push(sql`o.state IN ${sql.in(statesOf(status))}`)
          const index = sql.literal(listIndex({ orderNum, userId, productId, state }))
          return yield* sql<OrderRow.OrderRow>`
            SELECT ${orderColumns} FROM \`order\` o FORCE INDEX (${index})
            WHERE ${sql.and(filters)} ORDER BY o.id DESC LIMIT ${sql.literal(String(limit))}`
        }),
      ),

    reservations: (productId, afterId, limit) =>
      mysql.run(
        "orders.reservations",
        Effect.map(
          sql<{
            id: number
            order_num: string
            user_id: number
            quantity: number
            request_id: string
            state: StoredState
          }>`
            SELECT o.id, o.order_num, o.user_id, o.quantity, o.request_id, o.state
            FROM \`order\` o FORCE INDEX (by_product)
            WHERE o.product_id = ${productId} AND o.id > ${afterId} ORDER BY o.id LIMIT ${limit}`,
          (rows) => rows.map(({ state, ...row }) => ({ ...row, live: isLive(state) })),
        ),
      ),

    barrier: (epoch) =>
      mysql.run(
        "orders.barrier",
        Effect.map(
          sql<{ partition_no: number }>`
            SELECT partition_no FROM barrier WHERE epoch >= ${epoch} ORDER BY partition_no`,
          (rows) => rows.map((row) => row.partition_no),
        ),
      ),
  })
})

export const layer: Layer.Layer<OrderStore, never, Mysql | OrderingConfig> = Layer.effect(OrderStore, make)
