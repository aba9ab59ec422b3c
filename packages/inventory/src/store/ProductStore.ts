/** Products, their stock log and the keys of publishing, in MySQL. */
import {
  IdempotencyMismatch,
  InFlight,
  InvalidInput,
  NotFound,
  StaleVersion,
  WrongState,
} from "@floodgate/contracts/errors/Errors"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  type Draft,
  type Edit,
  edited,
  type Product,
  type ProductState,
  type ProductStatus,
  problemsOf,
  statusOf,
  touchesSale,
} from "../domain/Product.ts"
import * as InventoryEvents from "./InventoryEvents.ts"

interface ProductRow {
  readonly id: number
  readonly name: string
  readonly description: string
  readonly price: number
  readonly original_price: number | null
  readonly currency: string
  readonly stock: number
  readonly initial_stock: number
  readonly start_time_ms: number
  readonly end_time_ms: number | null
  readonly per_user_limit: number
  readonly image: string
  readonly access_challenge: number
  readonly access_waiting_room: number
  readonly publisher_id: number
  readonly state: ProductState
  readonly generation: number
  readonly version: number
  readonly created_at_ms: number
  readonly updated_at_ms: number
}

const toProduct = (row: ProductRow): Product => ({
  id: row.id,
  name: row.name,
  description: row.description,
  price: row.price,
  originalPrice: row.original_price,
  currency: row.currency,
  stock: row.stock,
  initialStock: row.initial_stock,
  startTimeMs: row.start_time_ms,
  endTimeMs: row.end_time_ms,
  perUserLimit: row.per_user_limit,
  image: row.image,
  accessChallenge: row.access_challenge === 1,
  accessWaitingRoom: row.access_waiting_room === 1,
  publisherId: row.publisher_id,
  state: row.state,
  generation: row.generation,
  version: row.version,
  createdAtMs: row.created_at_ms,
  updatedAtMs: row.updated_at_ms,
})

/** How a publish is known again: by the caller's key, or for a short while by what it says. */
export interface PublishKey {
  readonly scope: string
  readonly keyHash: string
  readonly bodyHash: string
  /** Seconds for which it is remembered. */
  readonly lifetimeS: number
  /** A key is replayed; the same form sent twice without one is refused. */
  readonly onRepeat: "replay" | "refuse"
}

/** Where a page starts: after this product in the list's order. */
export interface PageStart {
  readonly startTimeMs: number
  readonly id: number
}

/** The fields of a product that an edit is about. */
const editOf = (product: Product, change: Edit): Partial<Product> =>
  Object.fromEntries(
    (Object.keys(change) as ReadonlyArray<keyof Edit>).map((field) => [field, product[field]]),
  )

/** Which products a list shows; `sold_out` is `live` here, because stock to reserve is Redis's to say. */
export type Listing = Exclude<ProductStatus, "sold_out"> | "all"

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const relay = yield* Outbox.OutboxRelay
  const { sql } = mysql

  const append = (rows: ReadonlyArray<Outbox.OutboxRow>) =>
    Outbox.append(rows).pipe(Effect.provideService(Mysql, mysql))

  const audit = (row: Audit.AuditRow) => Audit.append([row]).pipe(Effect.provideService(Mysql, mysql))

  const recorded = (action: string, requestId: string) =>
    Audit.isRecorded(action, requestId).pipe(Effect.provideService(Mysql, mysql))

  // Not UNIX_TIMESTAMP and FROM_UNIXTIME, which end in 2038 on MariaDB.
  const ms = (column: string) =>
    `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${column}) DIV 1000 AS ${column}_ms`
  const columns = sql.literal(
    `id, name, description, price, original_price, currency, stock, initial_stock, ${ms("start_time")}, ${ms("end_time")},
     per_user_limit, image, access_challenge, access_waiting_room, publisher_id, state, generation, version,
     ${ms("created_at")}, ${ms("updated_at")}`,
  )
  const at = (unixMs: number) => sql`TIMESTAMP('1970-01-01') + INTERVAL ${unixMs * 1_000} MICROSECOND`

  const tell = (type: InventoryEvents.Told["type"], product: Product, nowMs: number, traceparent?: string) =>
    append([InventoryEvents.row({ type, product, nowMs, traceparent })])

  const read = (id: number, lock = false) =>
    sql<ProductRow>`SELECT ${columns} FROM product WHERE id = ${id} ${sql.literal(lock ? "FOR UPDATE" : "")}`.pipe(
      Effect.map((rows) => (rows[0] === undefined ? undefined : toProduct(rows[0]))),
    )

  const find = Effect.fn("ProductStore.find")(function* (id: number) {
    return yield* mysql.run("product.find", read(id))
  })

  const findMany = Effect.fn("ProductStore.findMany")(function* (ids: ReadonlyArray<number>) {
    if (ids.length === 0) return []
    return yield* mysql.run(
      "product.findMany",
      sql<ProductRow>`SELECT ${columns} FROM product WHERE ${sql.in("id", ids)}`.pipe(
        Effect.map((rows) => rows.map(toProduct)),
      ),
    )
  })

  /** Takes the key, or answers the product that it stands for. Its row is locked till the end of the transaction. */
  const claimKey = Effect.fnUntraced(function* (key: PublishKey) {
    // Not INSERT IGNORE: its shared lock on a row that is there would deadlock with the same wish's FOR UPDATE.
    yield* sql`INSERT INTO idempotency (scope, key_hash, body_hash, product_id, created_at)
      VALUES (${key.scope}, ${key.keyHash}, ${key.bodyHash}, 0, UTC_TIMESTAMP(3))
      ON DUPLICATE KEY UPDATE scope = scope`
    const rows = yield* sql<{ body_hash: string; product_id: number; fresh: number }>`
      SELECT body_hash, product_id, created_at > UTC_TIMESTAMP(3) - INTERVAL ${key.lifetimeS} SECOND AS fresh
      FROM idempotency WHERE scope = ${key.scope} AND key_hash = ${key.keyHash} FOR UPDATE`
    const row = rows[0]!
    if (row.product_id === 0 || row.fresh === 0) return undefined
    if (key.onRepeat === "refuse") return yield* new InFlight({ id: row.product_id })
    if (row.body_hash !== key.bodyHash) return yield* new IdempotencyMismatch()
    return row.product_id
  })

  /** Inserts a draft with its stock log and audit row, once per key; `clone` where it is the copy of a product. */
  const create = Effect.fn("ProductStore.create")(function* (
    draft: Draft,
    key: PublishKey,
    clone?: { readonly of: number; readonly reason: string },
    /** What stands against the form by now. It was none when the key's first request was taken. */
    problems: ReturnType<typeof problemsOf> = [],
  ) {
    return yield* mysql
      .transaction(
        "product.create",
        Effect.gen(function* () {
          const known = yield* claimKey(key)
          if (known !== undefined) return { product: (yield* read(known))!, replayed: true }
          if (problems.length > 0) return yield* new InvalidInput({ issues: [...problems] })
          yield* sql`INSERT INTO product (name, description, price, original_price, stock, initial_stock, start_time,
              end_time, per_user_limit, image, access_challenge, access_waiting_room, publisher_id, state)
            VALUES (${draft.name.trim()}, ${draft.description}, ${draft.price}, ${draft.originalPrice}, ${draft.stock},
              ${draft.stock}, ${at(draft.startTimeMs)}, ${draft.endTimeMs === null ? null : at(draft.endTimeMs)},
              ${draft.perUserLimit}, ${draft.image}, ${draft.accessChallenge}, ${draft.accessWaitingRoom},
              ${draft.publisherId}, 'draft')`
          const [{ id } = { id: 0 }] = yield* sql<{
            id: number
          }>`SELECT CAST(LAST_INSERT_ID() AS SIGNED) AS id`
          yield* sql`INSERT INTO stock_log (product_id, kind, ref, delta) VALUES (${id}, 'initial', ${`p${id}`}, ${draft.stock})`
          yield* sql`UPDATE idempotency SET product_id = ${id}, body_hash = ${key.bodyHash}, created_at = UTC_TIMESTAMP(3)
            WHERE scope = ${key.scope} AND key_hash = ${key.keyHash}`
          yield* audit({
            actorId: draft.publisherId,
            action: clone === undefined ? "product.publish" : "product.clone",
            targetType: "product",
            targetId: id,
            after: { ...draft, publisherId: undefined, state: "draft", clone_of: clone?.of },
            reason: clone?.reason,
          })
          return { product: (yield* read(id))!, replayed: false }
        }),
      )
      .pipe(retryConflicts)
  })

  /** Raises a draft's generation for one attempt at its warm-up; undefined where it is no draft any more. */
  const beginWarmUp = Effect.fn("ProductStore.beginWarmUp")(function* (id: number) {
    return yield* mysql
      .transaction(
        "product.beginWarmUp",
        Effect.gen(function* () {
          yield* sql`UPDATE product SET generation = generation + 1 WHERE id = ${id} AND state = 'draft'`
          const product = yield* read(id)
          return product?.state === "draft" ? product : undefined
        }),
      )
      .pipe(retryConflicts)
  })

  /** Makes a draft sellable, if the warm-up of exactly this generation is what Redis holds. `actorId` asked for it. */
  const confirmWarmUp = Effect.fn("ProductStore.confirmWarmUp")(function* (
    id: number,
    generation: number,
    actorId: number,
    reason = "",
  ) {
    const traceparent = yield* TraceContext.current
    const now = yield* Clock.currentTimeMillis
    return yield* mysql
      .transaction(
        "product.confirmWarmUp",
        Effect.gen(function* () {
          const result = yield* affected(sql`UPDATE product
            SET state = 'published', version = version + 1, updated_at = UTC_TIMESTAMP(3)
            WHERE id = ${id} AND state = 'draft' AND generation = ${generation}`)
          const product = (yield* read(id))!
          if (result.affectedRows === 1) {
            yield* audit({
              actorId,
              action: "product.warm_up",
              targetType: "product",
              targetId: id,
              before: { state: "draft" },
              after: { state: "published", generation, stock: product.stock },
              reason,
            })
            yield* tell("product.published", product, now, traceparent)
          }
          return product
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))
  })

  /** As recovery's: what isn't in it is no longer brought into Redis. */
  const inScope = sql.literal("(end_time IS NULL OR end_time > UTC_TIMESTAMP(3) - INTERVAL 1 DAY)")

  /** Published products that Redis may still hold closed, left alone for `olderThanMs`. */
  const unopened = Effect.fn("ProductStore.unopened")(function* (limit: number, olderThanMs = 0) {
    return yield* mysql.run(
      "product.unopened",
      sql<{ id: number; generation: number; version: number }>`SELECT id, generation, version FROM product
        WHERE opened_at IS NULL AND state = 'published' AND ${inScope}
          AND updated_at <= UTC_TIMESTAMP(3) - INTERVAL ${olderThanMs * 1_000} MICROSECOND
        ORDER BY id LIMIT ${sql.literal(String(limit))}`,
    )
  })

  /** Withdrawn products that Redis may still hold open. */
  const unclosed = Effect.fn("ProductStore.unclosed")(function* (limit: number) {
    return yield* mysql.run(
      "product.unclosed",
      sql<{ id: number; generation: number; version: number }>`SELECT id, generation, version FROM product
        WHERE state = 'withdrawn' AND opened_at IS NOT NULL AND ${inScope}
        ORDER BY start_time, id LIMIT ${sql.literal(String(limit))}`,
    )
  })

  /** Whether Redis may still hold this product open although it is withdrawn. */
  const isUnclosed = Effect.fn("ProductStore.isUnclosed")(function* (id: number) {
    const rows = yield* mysql.run(
      "product.isUnclosed",
      sql`SELECT 1 FROM product
        WHERE id = ${id} AND state = 'withdrawn' AND opened_at IS NOT NULL AND ${inScope}`,
    )
    return rows.length > 0
  })

  /** Redis is open, by this version of the row. */
  const opened = Effect.fn("ProductStore.opened")(function* (id: number, version: number) {
    yield* mysql.run(
      "product.opened",
      sql`UPDATE product SET opened_at = UTC_TIMESTAMP(3)
        WHERE id = ${id} AND opened_at IS NULL AND state = 'published' AND version = ${version}`,
    )
  })

  /** Redis is closed for good. */
  const closed = Effect.fn("ProductStore.closed")(function* (id: number) {
    yield* mysql.run(
      "product.closed",
      sql`UPDATE product SET opened_at = NULL WHERE id = ${id} AND state = 'withdrawn'`,
    )
  })

  /**
   * Edits a product that is still as the editor saw it. What the sale is made of (price, times, limit) only before it
   * starts, and under a new generation: what Redis holds of the old one is void from the commit on. `redisGeneration`
   * is what Redis was seen to hold, `nowMs` the sale's clock, `marginMs` how long before its start a sale counts as
   * begun. Answers the product, and whether Redis must be warmed up again.
   */
  const edit = Effect.fn("ProductStore.edit")(function* (
    id: number,
    change: Edit,
    by: {
      readonly version: number | undefined
      readonly actorId: number
      readonly reason: string
      readonly requestId: string
      readonly nowMs: number
      readonly marginMs: number
      readonly redisGeneration: number
    },
  ) {
    const traceparent = yield* TraceContext.current
    const now = yield* Clock.currentTimeMillis
    return yield* mysql
      .transaction(
        "product.edit",
        Effect.gen(function* () {
          const before = (yield* read(id, true)) ?? (yield* new NotFound())
          if (by.version !== undefined && by.version !== before.version) {
            return yield* new StaleVersion({ version: before.version })
          }
          const after = edited(before, change)
          const anew = touchesSale(before, after)
          if (anew) {
            const status = statusOf(before, before.stock, by.nowMs + by.marginMs)
            if (status !== "draft" && status !== "upcoming") return yield* new WrongState({ state: status })
          }
          const problems = problemsOf({ ...after, stock: before.initialStock }, by.nowMs, anew)
          if (problems.length > 0) return yield* new InvalidInput({ issues: [...problems] })
          const generation = anew ? Math.max(before.generation, by.redisGeneration) + 1 : before.generation
          yield* sql`UPDATE product SET name = ${after.name.trim()}, description = ${after.description},
              price = ${after.price}, original_price = ${after.originalPrice}, image = ${after.image},
              start_time = ${at(after.startTimeMs)},
              end_time = ${after.endTimeMs === null ? null : at(after.endTimeMs)},
              per_user_limit = ${after.perUserLimit}, access_challenge = ${after.accessChallenge},
              access_waiting_room = ${after.accessWaitingRoom}, generation = ${generation},
              opened_at = IF(${anew}, NULL, opened_at), version = version + 1, updated_at = UTC_TIMESTAMP(3)
            WHERE id = ${id}`
          const product = (yield* read(id))!
          yield* audit({
            actorId: by.actorId,
            action: "product.edit",
            targetType: "product",
            targetId: id,
            before: { ...editOf(before, change), generation: before.generation },
            after: { ...editOf(product, change), generation },
            reason: by.reason,
            requestId: by.requestId,
          })
          yield* tell("product.updated", product, now, traceparent)
          return { product, warmUp: anew && product.state === "published" }
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))
  })

  /** Withdraws a product, once per request id; Redis is told afterwards. WrongState where it was withdrawn before. */
  const withdraw = Effect.fn("ProductStore.withdraw")(function* (
    id: number,
    by: { readonly actorId: number; readonly reason: string; readonly requestId: string },
  ) {
    const traceparent = yield* TraceContext.current
    const now = yield* Clock.currentTimeMillis
    return yield* mysql
      .transaction(
        "product.withdraw",
        Effect.gen(function* () {
          const before = (yield* read(id, true)) ?? (yield* new NotFound())
          const known = yield* recorded("product.withdraw", by.requestId)
          if (known) return before
          if (before.state === "withdrawn") return yield* new WrongState({ state: "withdrawn" })
          // A warm-up of a draft that is under way must not be confirmed any more.
          yield* sql`UPDATE product SET state = 'withdrawn', generation = generation + ${before.state === "draft" ? 1 : 0},
              version = version + 1, updated_at = UTC_TIMESTAMP(3),
              opened_at = IF(${before.state === "draft"}, NULL, COALESCE(opened_at, UTC_TIMESTAMP(3)))
            WHERE id = ${id}`
          const product = (yield* read(id))!
          yield* audit({
            actorId: by.actorId,
            action: "product.withdraw",
            targetType: "product",
            targetId: id,
            before: { state: before.state },
            after: { state: product.state },
            reason: by.reason,
            requestId: by.requestId,
          })
          yield* tell("product.withdrawn", product, now, traceparent)
          return product
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))
  })

  /** Records that an operator has the product's shard rebuilt. */
  const recordRebuild = Effect.fn("ProductStore.recordRebuild")(function* (
    id: number,
    by: { readonly actorId: number; readonly reason: string; readonly requestId: string },
  ) {
    yield* mysql
      .transaction(
        "product.recordRebuild",
        Effect.gen(function* () {
          const product = (yield* read(id, true)) ?? (yield* new NotFound())
          if (product.state === "draft") return yield* new WrongState({ state: "draft" })
          const known = yield* recorded("product.rebuild", by.requestId)
          if (known) return
          yield* audit({
            actorId: by.actorId,
            action: "product.rebuild",
            targetType: "product",
            targetId: id,
            before: { generation: product.generation },
            reason: by.reason,
            requestId: by.requestId,
          })
        }),
      )
      .pipe(retryConflicts)
  })

  /** A page of a listing: upcoming by start ascending, all others by start descending. */
  const list = Effect.fn("ProductStore.list")(function* (
    listing: Listing,
    nowMs: number,
    after: PageStart | undefined,
    limit: number,
  ) {
    const now = at(nowMs)
    const ascending = listing === "upcoming"
    const which = {
      all: sql`state = 'published'`,
      draft: sql`state = 'draft'`,
      withdrawn: sql`state = 'withdrawn'`,
      upcoming: sql`state = 'published' AND start_time > ${now}`,
      live: sql`state = 'published' AND start_time <= ${now} AND (end_time IS NULL OR end_time > ${now})`,
      ended: sql`state = 'published' AND end_time <= ${now}`,
    }[listing]
    const beyond =
      after === undefined
        ? sql`1 = 1`
        : ascending
          ? sql`(start_time > ${at(after.startTimeMs)} OR (start_time = ${at(after.startTimeMs)} AND id > ${after.id}))`
          : sql`(start_time < ${at(after.startTimeMs)} OR (start_time = ${at(after.startTimeMs)} AND id < ${after.id}))`
    const order = sql.literal(ascending ? "start_time ASC, id ASC" : "start_time DESC, id DESC")
    return yield* mysql.run(
      "product.list",
      sql<ProductRow>`SELECT ${columns} FROM product WHERE ${which} AND ${beyond} ORDER BY ${order} LIMIT ${sql.literal(String(limit))}`.pipe(
        Effect.map((rows) => rows.map(toProduct)),
      ),
    )
  })

  /** A page of all products, newest first. */
  const listManaged = Effect.fn("ProductStore.listManaged")(function* (query: {
    readonly status: ProductStatus | undefined
    readonly q: string
    readonly fromMs: number
    readonly toMs: number
    readonly nowMs: number
    readonly after: { readonly createdAtMs: number; readonly id: number } | undefined
    readonly limit: number
  }) {
    const { after, fromMs, q, status, toMs } = query
    const now = at(query.nowMs)
    const filters = [sql`1 = 1`]
    const during = sql`state = 'published' AND start_time <= ${now} AND (end_time IS NULL OR end_time > ${now})`
    if (status === "draft" || status === "withdrawn") filters.push(sql`state = ${status}`)
    if (status === "upcoming") filters.push(sql`state = 'published' AND start_time > ${now}`)
    if (status === "live" || status === "sold_out") filters.push(during)
    if (status === "ended") filters.push(sql`state = 'published' AND end_time <= ${now}`)
    if (q !== "") {
      const start = `${q.replace(/[\\%_]/g, "\\$&")}%`
      filters.push(
        /^[1-9]\d{0,15}$/.test(q) ? sql`(name LIKE ${start} OR id = ${Number(q)})` : sql`name LIKE ${start}`,
      )
    }
    if (fromMs > 0) filters.push(sql`created_at >= ${at(fromMs)}`)
    if (toMs > 0) filters.push(sql`created_at < ${at(toMs)}`)
    if (after !== undefined) {
      const last = at(after.createdAtMs)
      filters.push(sql`created_at <= ${last}`, sql`(created_at < ${last} OR id < ${after.id})`)
    }
    return yield* mysql.run(
      "product.listManaged",
      sql<ProductRow>`SELECT ${columns} FROM product WHERE ${sql.and(filters)}
        ORDER BY created_at DESC, id DESC LIMIT ${sql.literal(String(query.limit))}`.pipe(
        Effect.map((rows) => rows.map(toProduct)),
      ),
    )
  })

  /** Forgets keys that are out of their time; answers whether more may be. */
  const forgetKeys = Effect.fn("ProductStore.forgetKeys")(function* (limit: number) {
    const { affectedRows } = yield* mysql.run(
      "product.forgetKeys",
      affected(sql`DELETE FROM idempotency WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 24 HOUR
        ORDER BY created_at LIMIT ${sql.literal(String(limit))}`),
    )
    return affectedRows === limit
  })

  return {
    find,
    findMany,
    create,
    forgetKeys,
    beginWarmUp,
    confirmWarmUp,
    unopened,
    unclosed,
    isUnclosed,
    opened,
    closed,
    edit,
    withdraw,
    recordRebuild,
    list,
    listManaged,
  } as const
})

export class ProductStore extends Context.Tag("@floodgate/inventory/store/ProductStore")<
  ProductStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(ProductStore, make)
}
