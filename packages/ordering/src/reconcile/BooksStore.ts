/** What the reconciler reads of MySQL. Nothing is locked but, for one look, a product's row. */
import type { SqlClient } from "@effect/sql/SqlClient"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isLive, type StoredState, states } from "../domain/OrderState.ts"
import { OrderingConfig } from "../OrderingConfig.ts"
import type { MoneyOrder } from "./domain/Money.ts"
import type { StockBooks } from "./domain/Stock.ts"

/** A product's row and what is newest about it, read while the row was locked. */
export interface LockedProduct {
  readonly stock: number
  readonly generation: number
  readonly draft: boolean
  /** Sold, or sold until a day ago. */
  readonly inScope: boolean
  readonly newestLog: number
  readonly newestOrder: number
}

/** What became of a number. */
export interface Fate {
  readonly orderNum: string
  readonly quantity: number
  readonly live: boolean
  /** How long ago the order last changed. */
  readonly ageMs: number
}

export interface Buyer {
  readonly userId: number
  /** Quantity of their live orders. */
  readonly ordered: number
  /** What `purchase` says. */
  readonly recorded: number
}

export interface Adjustment {
  readonly id: string
  readonly productId: number
  readonly delta: number
  readonly state: string
  readonly ageMs: number
}

export interface Overdue {
  readonly orderNum: string
  readonly productId: number
  readonly ageMs: number
}

/** How long one product's row is locked at most, the read of Redis included. */
const LOCK_DEADLINE_MS = 1_500

/** A sum over all orders of a product; a million take some seconds. */
const SUM_DEADLINE_MS = 20_000

/** Fails with MysqlUnavailable or MysqlConflict: the look is repeated with the next round. */
export class BooksStore extends Context.Tag("@floodgate/ordering/reconcile/BooksStore")<
  BooksStore,
  {
    /** Products whose stock moved after a row of the stock log, and the log's newest row. */
    readonly moved: (
      afterLog: number,
    ) => Effect.Effect<{ readonly newest: number; readonly productIds: ReadonlyArray<number> }, MysqlError>
    /** Ids after this one: of what is on sale now, or of all but drafts. */
    readonly products: (
      which: "live" | "all",
      afterId: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<number>, MysqlError>
    /** Runs `read` while the product's row is locked, in one short transaction; undefined: no such product. */
    readonly locked: <A, E, R>(
      productId: number,
      read: (product: LockedProduct) => Effect.Effect<A, E, R>,
    ) => Effect.Effect<A | undefined, E | MysqlError, R>
    /** One statement, so that everything is of one moment; undefined: no such product. */
    readonly stockBooks: (productId: number) => Effect.Effect<StockBooks | undefined, MysqlError>
    /** Some buyers whose purchases aren't what they ordered. */
    readonly wrongPurchases: (
      productId: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Buyer>, MysqlError>
    /** Those that have a row. */
    readonly fates: (orderNums: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Fate>, MysqlError>
    /** Orders of a product that hold stock, by id. */
    readonly liveOrders: (
      productId: number,
      afterId: number,
      limit: number,
    ) => Effect.Effect<
      ReadonlyArray<{ readonly id: number; readonly orderNum: string; readonly userId: number }>,
      MysqlError
    >
    /** Numbers of orders that were told about after a row of the outbox, and its newest row. */
    readonly told: (
      afterId: number,
      limit: number,
    ) => Effect.Effect<{ readonly newest: number; readonly orderNums: ReadonlyArray<string> }, MysqlError>
    /** Numbers of orders by id. */
    readonly orders: (
      afterId: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<{ readonly id: number; readonly orderNum: string }>, MysqlError>
    readonly money: (
      orderNums: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<MoneyOrder & { readonly ageMs: number }>, MysqlError>
    /** Stock changes that are neither applied nor refused. */
    readonly adjustments: (
      productId: number | undefined,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Adjustment>, MysqlError>
    /** How long the oldest unsent event has waited, ms; 0 where none does. */
    readonly outboxOldestMs: (of: "ordering" | "inventory") => Effect.Effect<number, MysqlError>
    /** Unpaid orders whose cancel was asked for so long ago. */
    readonly stuckCancels: (ms: number, limit: number) => Effect.Effect<ReadonlyArray<Overdue>, MysqlError>
    /** Unpaid orders so long past their time that nobody asked to cancel. */
    readonly stuckExpiries: (ms: number, limit: number) => Effect.Effect<ReadonlyArray<Overdue>, MysqlError>
    /** Those of these numbers that are dead letters waiting for a person. */
    readonly deadLetters: (
      orderNums: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<string>, MysqlError>
  }
>() {}

const NUMBER = "order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$'"

/** Rows of the stock log that one round looks through for products that moved. */
const MOVED_ROWS = 5_000

const liveStates = states.filter((state): state is StoredState => state !== "queued" && isLive(state))

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const sql: SqlClient = mysql.sql
  const { inventorySchema } = yield* OrderingConfig
  const table = (name: string) => sql.literal(`\`${inventorySchema}\`.${name}`)
  const product = table("product")
  const stockLog = table("stock_log")
  const adjustment = table("stock_adjustment")
  const inventoryOutbox = table("outbox")
  const holding = sql.in("o.state", liveStates)
  const age = (column: string) =>
    sql.literal(`GREATEST(0, TIMESTAMPDIFF(MICROSECOND, ${column}, UTC_TIMESTAMP(3)) DIV 1000)`)
  const numbers = (orderNums: ReadonlyArray<string>) =>
    sql`JSON_TABLE(${JSON.stringify(orderNums)}, '$[*]' COLUMNS (${sql.literal(NUMBER)})) j`
  const limited = (limit: number) => sql.literal(`LIMIT ${limit}`)

  const newestOf = (from: ReturnType<typeof table>) =>
    Effect.map(sql<{ id: number | null }>`SELECT MAX(id) AS id FROM ${from}`, ([row]) => row?.id ?? 0)

  return BooksStore.of({
    moved: (afterLog) =>
      mysql.run(
        "reconcile.moved",
        Effect.gen(function* () {
          const newest = yield* newestOf(stockLog)
          const from = Math.max(afterLog, newest - MOVED_ROWS)
          const rows = yield* sql<{ id: number }>`
            SELECT DISTINCT l.product_id AS id FROM ${stockLog} l WHERE l.id > ${from} AND l.id <= ${newest}`
          return { newest, productIds: rows.map(({ id }) => id) }
        }),
      ),

    products: (which, afterId, limit) =>
      mysql.run(
        "reconcile.products",
        Effect.map(
          sql<{ id: number }>`
            SELECT p.id FROM ${product} p WHERE p.id > ${afterId} AND p.state IN ('published', 'withdrawn')
              ${
                which === "all"
                  ? sql.literal("")
                  : sql`AND p.start_time <= UTC_TIMESTAMP(3)
                      AND (p.end_time IS NULL OR p.end_time > UTC_TIMESTAMP(3))`
              }
            ORDER BY p.id ${limited(limit)}`,
          (rows) => rows.map(({ id }) => id),
        ),
      ),

    locked: (productId, read) =>
      mysql.transaction(
        "reconcile.locked",
        Effect.gen(function* () {
          const [row] = yield* sql<{ stock: number; generation: number; state: string; in_scope: number }>`
            SELECT p.stock, p.generation, p.state,
              p.end_time IS NULL OR p.end_time > UTC_TIMESTAMP(3) - INTERVAL 1 DAY AS in_scope
            FROM ${product} p WHERE p.id = ${productId} FOR UPDATE`
          if (row === undefined) return undefined
          const [newest] = yield* sql<{ log: number | null; orders: number | null }>`
            SELECT (SELECT MAX(l.id) FROM ${stockLog} l WHERE l.product_id = ${productId}) AS log,
              (SELECT MAX(o.id) FROM \`order\` o WHERE o.product_id = ${productId}) AS orders`
          return yield* read({
            stock: row.stock,
            generation: row.generation,
            draft: row.state === "draft",
            inScope: row.in_scope === 1,
            newestLog: newest?.log ?? 0,
            newestOrder: newest?.orders ?? 0,
          })
        }),
        { deadlineMs: LOCK_DEADLINE_MS },
      ),

    stockBooks: (productId) =>
      mysql.run(
        "reconcile.stock",
        Effect.map(
          sql<StockBooks>`
            SELECT p.stock, p.initial_stock AS initial,
              CAST((SELECT COALESCE(SUM(l.delta), 0) FROM ${stockLog} l WHERE l.product_id = p.id
                AND l.kind NOT IN ('initial', 'order', 'cancel')) AS SIGNED) AS adjusted,
              CAST((SELECT COALESCE(SUM(l.delta), 0) FROM ${stockLog} l WHERE l.product_id = p.id
                AND l.kind <> 'initial') AS SIGNED) AS logged,
              CAST((SELECT COALESCE(SUM(o.quantity), 0) FROM \`order\` o WHERE o.product_id = p.id
                AND ${holding}) AS SIGNED) AS held
            FROM ${product} p WHERE p.id = ${productId}`,
          ([row]) => row,
        ),
        { deadlineMs: SUM_DEADLINE_MS },
      ),

    wrongPurchases: (productId, limit) =>
      mysql.run(
        "reconcile.purchases",
        sql<Buyer>`
          SELECT t.user_id AS userId, CAST(SUM(t.ordered) AS SIGNED) AS ordered,
            CAST(SUM(t.recorded) AS SIGNED) AS recorded
          FROM (
            SELECT o.user_id, CAST(o.quantity AS SIGNED) AS ordered, 0 AS recorded FROM \`order\` o
            WHERE o.product_id = ${productId} AND ${holding}
            UNION ALL
            SELECT b.user_id, 0, CAST(b.live_quantity AS SIGNED) FROM purchase b WHERE b.product_id = ${productId}
          ) t GROUP BY t.user_id HAVING SUM(t.ordered) <> SUM(t.recorded) ORDER BY t.user_id ${limited(limit)}`,
        { deadlineMs: SUM_DEADLINE_MS },
      ),

    fates: (orderNums) =>
      orderNums.length === 0
        ? Effect.succeed([])
        : mysql.run(
            "reconcile.fates",
            Effect.map(
              sql<{ orderNum: string; quantity: number; state: StoredState; ageMs: number }>`
                SELECT STRAIGHT_JOIN o.order_num AS orderNum, o.quantity, o.state, ${age("o.updated_at")} AS ageMs
                FROM ${numbers(orderNums)} JOIN \`order\` o FORCE INDEX (order_num) ON o.order_num = j.order_num`,
              (rows) => rows.map(({ state, ...row }) => ({ ...row, live: isLive(state) })),
            ),
          ),

    liveOrders: (productId, afterId, limit) =>
      mysql.run(
        "reconcile.live_orders",
        sql<{ id: number; orderNum: string; userId: number }>`
          SELECT o.id, o.order_num AS orderNum, o.user_id AS userId FROM \`order\` o FORCE INDEX (by_product)
          WHERE o.product_id = ${productId} AND o.id > ${afterId} AND ${holding} ORDER BY o.id ${limited(limit)}`,
      ),

    told: (afterId, limit) =>
      mysql.run(
        "reconcile.told",
        Effect.gen(function* () {
          const newest = yield* newestOf(sql.literal("outbox"))
          const from = Math.max(afterId, newest - limit)
          const rows = yield* sql<{ aggregate: string }>`
            SELECT DISTINCT aggregate FROM outbox WHERE id > ${from} AND id <= ${newest}
              AND aggregate NOT LIKE 'product:%'`
          return { newest, orderNums: rows.map(({ aggregate }) => aggregate) }
        }),
      ),

    orders: (afterId, limit) =>
      mysql.run(
        "reconcile.orders",
        sql<{ id: number; orderNum: string }>`
          SELECT id, order_num AS orderNum FROM \`order\` WHERE id > ${afterId} ORDER BY id ${limited(limit)}`,
      ),

    money: (orderNums) =>
      orderNums.length === 0
        ? Effect.succeed([])
        : mysql.run(
            "reconcile.money",
            sql<MoneyOrder & { ageMs: number }>`
              SELECT STRAIGHT_JOIN o.order_num AS orderNum, o.product_id AS productId, o.state, o.version, o.amount,
                o.capture_id AS captureId, ${age("o.updated_at")} AS ageMs
              FROM ${numbers(orderNums)} JOIN \`order\` o FORCE INDEX (order_num) ON o.order_num = j.order_num`,
          ),

    adjustments: (productId, limit) =>
      mysql.run(
        "reconcile.adjustments",
        sql<Adjustment>`
          SELECT a.id, a.product_id AS productId, a.delta, a.state, ${age("a.created_at")} AS ageMs
          FROM ${adjustment} a WHERE a.state IN ('requested', 'logged')
            ${productId === undefined ? sql.literal("") : sql`AND a.product_id = ${productId}`}
          ORDER BY a.created_at ${limited(limit)}`,
      ),

    outboxOldestMs: (of) =>
      mysql.run(
        "reconcile.outbox",
        Effect.map(
          // The oldest of each bucket by the index, without a look at the rows that were sent.
          sql<{ ageMs: number | null }>`
            SELECT MAX(${age("o.created_at")}) AS ageMs
            FROM outbox_lease l JOIN ${of === "ordering" ? sql.literal("outbox") : inventoryOutbox} o ON o.id = (
              SELECT MIN(u.id) FROM ${of === "ordering" ? sql.literal("outbox") : inventoryOutbox} u
              WHERE u.bucket = l.bucket AND u.sent_at IS NULL)`,
          ([row]) => row?.ageMs ?? 0,
        ),
      ),

    stuckCancels: (ms, limit) =>
      mysql.run(
        "reconcile.stuck_cancels",
        sql<Overdue>`
          SELECT o.order_num AS orderNum, o.product_id AS productId, ${age("o.cancel_requested_at")} AS ageMs
          FROM \`order\` o FORCE INDEX (by_cancel)
          WHERE o.state = 'unpaid' AND o.cancel_requested_at <= UTC_TIMESTAMP(3) - INTERVAL ${ms * 1000} MICROSECOND
          ORDER BY o.cancel_requested_at ${limited(limit)}`,
      ),

    stuckExpiries: (ms, limit) =>
      mysql.run(
        "reconcile.stuck_expiries",
        sql<Overdue>`
          SELECT o.order_num AS orderNum, o.product_id AS productId, ${age("o.expires_at")} AS ageMs
          FROM \`order\` o FORCE INDEX (by_cancel)
          WHERE o.state = 'unpaid' AND o.cancel_requested_at IS NULL
            AND o.expires_at <= UTC_TIMESTAMP(3) - INTERVAL ${ms * 1000} MICROSECOND
          ORDER BY o.expires_at ${limited(limit)}`,
      ),

    deadLetters: (orderNums) =>
      orderNums.length === 0
        ? Effect.succeed([])
        : mysql.run(
            "reconcile.dead_letters",
            Effect.map(
              sql<{ orderNum: string }>`
                SELECT order_num AS orderNum FROM dead_letter
                WHERE state = 'open' AND ${sql.in("order_num", orderNums)}`,
              (rows) => rows.map(({ orderNum }) => orderNum),
            ),
          ),
  })
})

export const layer: Layer.Layer<BooksStore, never, Mysql | OrderingConfig> = Layer.effect(BooksStore, make)
