/** Products, their stock log and the keys of publishing, in MySQL. */
import { randomUUID } from "node:crypto"
import { IdempotencyMismatch, InFlight } from "@floodgate/contracts/errors/Errors"
import type { InventoryEvent } from "@floodgate/contracts/events/InventoryEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Draft, Product, ProductState, ProductStatus } from "../domain/Product.ts"

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

/** Which products a list shows; `sold_out` is `live` here, because stock to reserve is Redis's to say. */
export type Listing = Exclude<ProductStatus, "sold_out"> | "all"

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const relay = yield* Outbox.OutboxRelay
  const { sql } = mysql

  const append = (rows: ReadonlyArray<Outbox.OutboxRow>) =>
    Outbox.append(rows).pipe(Effect.provideService(Mysql, mysql))

  const audit = (row: Audit.AuditRow) => Audit.append([row]).pipe(Effect.provideService(Mysql, mysql))

  const ms = (column: string) => `CAST(ROUND(UNIX_TIMESTAMP(${column}) * 1000) AS SIGNED) AS ${column}_ms`
  const columns = sql.literal(
    `id, name, description, price, original_price, currency, stock, initial_stock, ${ms("start_time")}, ${ms("end_time")},
     per_user_limit, image, access_challenge, access_waiting_room, publisher_id, state, generation, version,
     ${ms("created_at")}, ${ms("updated_at")}`,
  )
  const at = (unixMs: number) => sql`FROM_UNIXTIME(${unixMs} / 1000)`

  const read = (id: number) =>
    sql<ProductRow>`SELECT ${columns} FROM product WHERE id = ${id}`.pipe(
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
    yield* sql`INSERT IGNORE INTO idempotency (scope, key_hash, body_hash, product_id, created_at)
      VALUES (${key.scope}, ${key.keyHash}, ${key.bodyHash}, 0, UTC_TIMESTAMP(3))`
    const rows = yield* sql<{ body_hash: string; product_id: number; fresh: number }>`
      SELECT body_hash, product_id, created_at > UTC_TIMESTAMP(3) - INTERVAL ${key.lifetimeS} SECOND AS fresh
      FROM idempotency WHERE scope = ${key.scope} AND key_hash = ${key.keyHash} FOR UPDATE`
    const row = rows[0]!
    if (row.product_id === 0 || row.fresh === 0) return undefined
    if (key.onRepeat === "refuse") return yield* new InFlight({ id: row.product_id })
    if (row.body_hash !== key.bodyHash) return yield* new IdempotencyMismatch()
    return row.product_id
  })

  /** Inserts a draft with its stock log and audit row, once per key. */
  const create = Effect.fn("ProductStore.create")(function* (draft: Draft, key: PublishKey) {
    return yield* mysql
      .transaction(
        "product.create",
        Effect.gen(function* () {
          const known = yield* claimKey(key)
          if (known !== undefined) return { product: (yield* read(known))!, replayed: true }
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
            action: "product.publish",
            targetType: "product",
            targetId: id,
            after: { ...draft, publisherId: undefined, state: "draft" },
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
            })
            const event: InventoryEvent = {
              event_id: `evt_${randomUUID()}`,
              type: "product.published",
              version: 1,
              aggregate: String(id),
              occurred_at: new Date(now).toISOString(),
              product_id: id,
              stock: product.stock,
              product_version: product.version,
              ...(traceparent === undefined ? {} : { traceparent }),
            }
            yield* append([
              {
                event_id: event.event_id,
                topic: Topic.InventoryEvents,
                aggregate: event.aggregate,
                type: event.type,
                payload: JSON.stringify(event),
                ...(traceparent === undefined ? {} : { traceparent }),
              },
            ])
          }
          return product
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))
  })

  /** Published products that Redis may still hold closed. */
  const unopened = Effect.fn("ProductStore.unopened")(function* (limit: number) {
    return yield* mysql.run(
      "product.unopened",
      sql<{ id: number; generation: number }>`SELECT id, generation FROM product
        WHERE opened_at IS NULL AND state = 'published' ORDER BY id LIMIT ${sql.literal(String(limit))}`,
    )
  })

  const opened = Effect.fn("ProductStore.opened")(function* (id: number) {
    yield* mysql.run(
      "product.opened",
      sql`UPDATE product SET opened_at = UTC_TIMESTAMP(3) WHERE id = ${id} AND opened_at IS NULL`,
    )
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

  return { find, findMany, create, beginWarmUp, confirmWarmUp, unopened, opened, list } as const
})

export class ProductStore extends Context.Tag("@floodgate/inventory/store/ProductStore")<
  ProductStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(ProductStore, make)
}
