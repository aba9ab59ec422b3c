/** Endpoints of others, and what each of them has been told and still is to be told. */
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlDuplicateKey } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type EventType, isEventType, pauseAfter, type WebhookEvent } from "../domain/Webhook.ts"
import * as SealedSecret from "../webhooks/SealedSecret.ts"
import { WebhookConfig } from "../webhooks/WebhookConfig.ts"
import { ms } from "./Gate.ts"
import * as Keys from "./Keys.ts"

export interface Webhook {
  readonly id: number
  readonly url: string
  readonly events: ReadonlyArray<EventType>
  readonly description: string
  readonly createdAtMs: number
  readonly pending: number
  readonly delivered: number
  readonly failed: number
}

interface WebhookRow extends Omit<Webhook, "events"> {
  readonly events: string
}

const toWebhook = (row: WebhookRow): Webhook => ({
  ...row,
  pending: Number(row.pending),
  delivered: Number(row.delivered),
  failed: Number(row.failed),
  events: row.events.split(",").filter(isEventType),
})

export interface Registration {
  readonly url: string
  readonly events: ReadonlyArray<EventType>
  readonly description: string
  readonly actorId: number
  readonly reason: string
  readonly key: Keys.Key | undefined
}

export type DeliveryState = "pending" | "delivered" | "failed"

export interface Delivery {
  readonly id: number
  readonly webhookId: number
  readonly eventId: string
  readonly type: string
  readonly orderNum: string
  readonly state: DeliveryState
  readonly attempts: number
  /** The last HTTP status; null where there was no answer. */
  readonly lastStatus: number | null
  readonly lastError: string | null
  readonly createdAtMs: number
  readonly nextTryAtMs: number | null
  readonly deliveredAtMs: number | null
}

/** A delivery in a sender's hands. */
export interface DueDelivery {
  readonly id: number
  readonly body: string
  /** How often it was tried, this time included. */
  readonly attempts: number
}

/** Where to, and signed by what. */
export interface Endpoint {
  readonly url: string
  /** Undefined where the key that sealed it is gone. */
  readonly secret: string | undefined
}

/** Endpoints that may be registered at once. */
export const MAX_WEBHOOKS = 50

/** How long a sender has a delivery that it claimed, s. */
const CLAIM_S = 60

/** How long deliveries that have arrived are shown, days. */
const KEPT_DAYS = 30

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { retries, sealing } = yield* WebhookConfig
  const { sql } = mysql
  const keys = Keys.make(sql)
  const sealed = SealedSecret.make(sealing)

  const audit = (row: Audit.AuditRow) => Audit.append([row]).pipe(Effect.provideService(Mysql, mysql))

  const count = (state: DeliveryState) =>
    `(SELECT COUNT(*) FROM webhook_delivery d WHERE d.webhook_id = webhook.id AND d.state = '${state}')`
  const columns = sql.literal(`id, url, events, description, ${ms("created_at")} AS createdAtMs,
    ${count("pending")} AS pending, ${count("delivered")} AS delivered, ${count("failed")} AS failed`)

  const find = (id: number) =>
    sql<WebhookRow>`SELECT ${columns} FROM webhook WHERE id = ${id} AND deleted_at IS NULL`.pipe(
      Effect.flatMap(([row]) => (row === undefined ? new NotFound() : Effect.succeed(toWebhook(row)))),
    )

  const secretOf = (id: number) =>
    sql<{ url: string; kekId: string; bytes: Buffer }>`
      SELECT url, secret_kek AS kekId, secret_sealed AS bytes FROM webhook WHERE id = ${id} AND deleted_at IS NULL`.pipe(
      Effect.map(([row]): Endpoint | undefined =>
        row === undefined ? undefined : { url: row.url, secret: sealed.open(row.url, row) },
      ),
    )

  /** Registers an endpoint; its secret is in this answer and in no other. */
  const create = Effect.fn("WebhookStore.create")(function* (registration: Registration) {
    const { key } = registration
    return yield* mysql
      .transaction(
        "webhook.create",
        Effect.gen(function* () {
          const subject = key === undefined ? undefined : yield* keys.seen(key, "FOR UPDATE")
          if (subject !== undefined) {
            const id = Number(subject)
            // The same wish, told again because its answer was lost: it is the same answer.
            return { webhook: yield* find(id), secret: (yield* secretOf(id))?.secret ?? "", replayed: true }
          }
          const [{ n } = { n: 0 }] = yield* sql<{ n: number }>`
            SELECT COUNT(*) AS n FROM webhook WHERE deleted_at IS NULL`
          if (Number(n) >= MAX_WEBHOOKS)
            return yield* InvalidInput.at("url", `at most ${MAX_WEBHOOKS} endpoints can be registered`)
          const secret = SealedSecret.generate()
          const { bytes, kekId } = sealed.seal(registration.url, secret)
          const { insertId } = yield* affected(
            sql`INSERT INTO webhook ${sql.insert({
              url: registration.url,
              events: registration.events.join(","),
              description: registration.description,
              secret_kek: kekId,
              secret_sealed: bytes,
            })}`,
          )
          const id = Number(insertId)
          if (key !== undefined) {
            yield* keys.rememberFirst(key, String(id))
            yield* keys.answered(key)
          }
          yield* audit({
            actorId: registration.actorId,
            action: "webhook.create",
            targetType: "webhook",
            targetId: id,
            after: { url: registration.url, events: registration.events },
            reason: registration.reason,
          })
          return { webhook: yield* find(id), secret, replayed: false }
        }),
      )
      .pipe(
        retryConflicts,
        // Another request with the same key was first; asked again, its endpoint is found.
        Effect.retry({
          times: 1,
          while: (error) => (error as unknown as MysqlDuplicateKey)._tag === "MysqlDuplicateKey",
        }),
      )
  })

  const get = Effect.fn("WebhookStore.get")(function* (id: number) {
    return yield* mysql.run("webhook.get", find(id))
  })

  const list = Effect.fn("WebhookStore.list")(function* (before: number | undefined, limit: number) {
    const rows = yield* mysql.run(
      "webhook.list",
      sql<WebhookRow>`SELECT ${columns} FROM webhook
        WHERE deleted_at IS NULL AND id < ${before ?? Number.MAX_SAFE_INTEGER}
        ORDER BY id DESC LIMIT ${sql.literal(String(limit))}`,
    )
    return rows.map(toWebhook)
  })

  const remove = Effect.fn("WebhookStore.remove")(function* (id: number, actorId: number, reason: string) {
    yield* mysql
      .transaction(
        "webhook.remove",
        Effect.gen(function* () {
          const webhook = yield* find(id)
          const gone =
            yield* affected(sql`UPDATE webhook SET deleted_at = UTC_TIMESTAMP(3), secret_sealed = ''
            WHERE id = ${id} AND deleted_at IS NULL`)
          if (gone.affectedRows === 0) return yield* new NotFound()
          yield* sql`UPDATE webhook_delivery SET state = 'failed', next_try_at = NULL, last_error = 'the endpoint was removed'
            WHERE webhook_id = ${id} AND state = 'pending'`
          yield* audit({
            actorId,
            action: "webhook.delete",
            targetType: "webhook",
            targetId: id,
            before: { url: webhook.url, events: webhook.events },
            reason,
          })
        }),
      )
      .pipe(retryConflicts)
  })

  /** Every endpoint that asked for it is to be told; each of them once, however often this is said. */
  const announce = Effect.fn("WebhookStore.announce")(function* (events: ReadonlyArray<WebhookEvent>) {
    if (events.length === 0) return false
    return yield* mysql
      .transaction(
        "webhook.announce",
        Effect.gen(function* () {
          const endpoints = yield* sql<{ id: number; events: string }>`
            SELECT id, events FROM webhook WHERE deleted_at IS NULL`
          const rows = endpoints.flatMap((endpoint) =>
            events
              .filter((event) => endpoint.events.split(",").includes(event.type))
              .map((event) => ({
                webhook_id: endpoint.id,
                event_id: event.event_id,
                type: event.type,
                order_num: event.order_num,
                body: JSON.stringify(event),
              })),
          )
          if (rows.length === 0) return false
          for (let i = 0; i < rows.length; i += 100)
            yield* sql`INSERT IGNORE INTO webhook_delivery ${sql.insert(rows.slice(i, i + 100))}`
          // Only what is new: what was told, or given up, stays so.
          yield* sql`UPDATE webhook_delivery SET next_try_at = UTC_TIMESTAMP(3)
            WHERE state = 'pending' AND next_try_at IS NULL
              AND ${sql.in("webhook_id", [...new Set(rows.map((row) => row.webhook_id))])}
              AND ${sql.in("event_id", [...new Set(rows.map((row) => row.event_id))])}`
          return true
        }),
      )
      .pipe(retryConflicts)
  })

  /** Endpoints for which something is due. */
  const due = Effect.fn("WebhookStore.due")(function* () {
    const rows = yield* mysql.run(
      "webhook.due",
      sql<{ id: number }>`SELECT w.id FROM webhook w WHERE w.deleted_at IS NULL AND EXISTS (
        SELECT 1 FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.next_try_at <= UTC_TIMESTAMP(3))`,
    )
    return rows.map(({ id }) => id)
  })

  /** What is due for one endpoint, in a sender's hands for a while. */
  const claim = Effect.fn("WebhookStore.claim")(function* (webhookId: number, limit: number) {
    return yield* mysql.transaction(
      "webhook.claim",
      Effect.gen(function* () {
        const endpoint = yield* secretOf(webhookId)
        if (endpoint === undefined) return undefined
        const rows = yield* sql<{ id: number; body: string; attempts: number }>`
          SELECT id, body, attempts + 1 AS attempts FROM webhook_delivery
          WHERE webhook_id = ${webhookId} AND next_try_at <= UTC_TIMESTAMP(3)
          ORDER BY next_try_at, id LIMIT ${sql.literal(String(limit))} FOR UPDATE SKIP LOCKED`
        if (rows.length > 0)
          yield* sql`UPDATE webhook_delivery SET attempts = attempts + 1,
              next_try_at = UTC_TIMESTAMP(3) + INTERVAL ${sql.literal(String(CLAIM_S))} SECOND
            WHERE ${sql.in(
              "id",
              rows.map(({ id }) => id),
            )}`
        return {
          endpoint,
          deliveries: rows.map((row): DueDelivery => ({ ...row, attempts: Number(row.attempts) })),
        }
      }),
    )
  })

  const arrived = Effect.fn("WebhookStore.arrived")(function* (id: number, status: number) {
    yield* mysql.run(
      "webhook.arrived",
      sql`UPDATE webhook_delivery SET state = 'delivered', next_try_at = NULL, last_status = ${status},
        last_error = NULL, delivered_at = UTC_TIMESTAMP(3) WHERE id = ${id} AND state = 'pending'`,
    )
  })

  /** It didn't arrive: due again later, or given up. True where it was given up. */
  const missed = Effect.fn("WebhookStore.missed")(function* (
    delivery: DueDelivery,
    why: { readonly status: number | null; readonly error: string },
  ) {
    const pause = pauseAfter(retries, delivery.attempts)
    yield* mysql.run(
      "webhook.missed",
      sql`UPDATE webhook_delivery SET state = ${pause === undefined ? "failed" : "pending"},
        last_status = ${why.status}, last_error = ${why.error.slice(0, 200)},
        next_try_at = ${pause === undefined ? null : sql.literal(`UTC_TIMESTAMP(3) + INTERVAL ${pause} SECOND`)}
        WHERE id = ${delivery.id} AND state = 'pending'`,
    )
    return pause === undefined
  })

  const deliveries = Effect.fn("WebhookStore.deliveries")(function* (
    webhookId: number,
    query: {
      readonly state: DeliveryState | undefined
      readonly before: number | undefined
      readonly limit: number
    },
  ) {
    return yield* mysql.run(
      "webhook.deliveries",
      Effect.zipRight(
        find(webhookId),
        sql<Delivery>`SELECT id, webhook_id AS webhookId, event_id AS eventId, type, order_num AS orderNum, state,
            attempts, last_status AS lastStatus, last_error AS lastError, ${sql.literal(ms("created_at"))} AS createdAtMs,
            ${sql.literal(ms("next_try_at"))} AS nextTryAtMs, ${sql.literal(ms("delivered_at"))} AS deliveredAtMs
          FROM webhook_delivery WHERE webhook_id = ${webhookId} AND id < ${query.before ?? Number.MAX_SAFE_INTEGER}
            ${query.state === undefined ? sql.literal("") : sql`AND state = ${query.state}`}
          ORDER BY id DESC LIMIT ${sql.literal(String(query.limit))}`,
      ),
    )
  })

  /** Sends one delivery again whatever became of it, or (0) all that have failed. NotFound where there is no such one. */
  const redeliver = Effect.fn("WebhookStore.redeliver")(function* (wish: {
    readonly webhookId: number
    readonly deliveryId: number
    readonly actorId: number
    readonly reason: string
    readonly requestId: string
  }) {
    return yield* mysql
      .transaction(
        "webhook.redeliver",
        Effect.gen(function* () {
          yield* find(wish.webhookId)
          const which = wish.deliveryId === 0 ? sql`state = 'failed'` : sql`id = ${wish.deliveryId}`
          const rows = yield* sql<{ id: number }>`SELECT id FROM webhook_delivery
            WHERE webhook_id = ${wish.webhookId} AND ${which} FOR UPDATE`
          if (wish.deliveryId !== 0 && rows.length === 0) return yield* new NotFound()
          const recorded = yield* Audit.isRecorded("webhook.redeliver", wish.requestId).pipe(
            Effect.provideService(Mysql, mysql),
          )
          if (recorded || rows.length === 0) return recorded ? rows.length : 0
          yield* sql`UPDATE webhook_delivery SET state = 'pending', attempts = 0, next_try_at = UTC_TIMESTAMP(3),
              delivered_at = NULL
            WHERE webhook_id = ${wish.webhookId} AND ${which}`
          yield* audit({
            actorId: wish.actorId,
            action: "webhook.redeliver",
            targetType: "webhook",
            targetId: wish.webhookId,
            after: { deliveries: rows.length, delivery_id: wish.deliveryId === 0 ? null : wish.deliveryId },
            reason: wish.reason,
            requestId: wish.requestId,
          })
          return rows.length
        }),
      )
      .pipe(retryConflicts)
  })

  /** Forgets what arrived long ago; true where there may be more of it. */
  const forget = Effect.fn("WebhookStore.forget")(function* (limit: number) {
    const gone = yield* mysql.run(
      "webhook.forget",
      affected(sql`DELETE FROM webhook_delivery WHERE state = 'delivered'
        AND created_at < UTC_TIMESTAMP(3) - INTERVAL ${sql.literal(String(KEPT_DAYS))} DAY
        LIMIT ${sql.literal(String(limit))}`),
    )
    return gone.affectedRows === limit
  })

  return {
    create,
    get,
    list,
    remove,
    announce,
    due,
    claim,
    arrived,
    missed,
    deliveries,
    redeliver,
    forget,
  } as const
})

export class WebhookStore extends Context.Tag("@floodgate/payment/store/WebhookStore")<
  WebhookStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(WebhookStore, make)
}
