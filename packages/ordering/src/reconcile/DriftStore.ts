/** What was found and isn't repaired, who looks, and how often a shard may be rebuilt for it. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Sql from "../store/Sql.ts"
import { type DriftKind, type Finding, keyOf, kinds } from "./domain/DriftKind.ts"

/** A difference as it is stored. Times are Unix ms. */
export interface Drift {
  readonly id: number
  readonly kind: DriftKind
  readonly subject: string
  readonly productId: number | undefined
  readonly orderNum: string | undefined
  readonly redis: number | undefined
  readonly mysql: number | undefined
  readonly ledger: number | undefined
  readonly firstSeenMs: number
  readonly lastSeenMs: number
  readonly repaired: boolean
}

export interface LastRound {
  /** Undefined before the first. */
  readonly checkedAtMs: number | undefined
  /** It could read every ledger. */
  readonly complete: boolean
}

/** The most rows of a list. */
export const MAX_LISTED = 500

/** Differences that are written down by one round; that many are one trouble, not many. */
const MAX_RECORDED = 500

/** How long a holder that died stands in the way, seconds: longer than any stage of a round takes. */
const LEASE_S = 60

/** How long what was repaired is kept, days. */
const KEEP_DAYS = 30

/** Fails with MysqlUnavailable, or MysqlConflict after its retries. */
export class DriftStore extends Context.Tag("@floodgate/ordering/reconcile/DriftStore")<
  DriftStore,
  {
    /** Takes or keeps the lease for a process; false where another has it. */
    readonly hold: (holder: string) => Effect.Effect<boolean, MysqlError>
    /** The round is over. */
    readonly finish: (holder: string, complete: boolean) => Effect.Effect<void, MysqlError>
    /** Lets another process go on at once. */
    readonly giveUp: (holder: string) => Effect.Effect<void, MysqlError>
    readonly lastRound: Effect.Effect<LastRound, MysqlError>
    /** Open ones, oldest first. */
    readonly open: Effect.Effect<ReadonlyArray<Drift>, MysqlError>
    /** Opens what isn't open yet, and answers that; of the others, when and how they were last seen. */
    readonly record: (findings: ReadonlyArray<Finding>) => Effect.Effect<ReadonlyArray<Finding>, MysqlError>
    /** They are over. */
    readonly settle: (ids: ReadonlyArray<number>) => Effect.Effect<void, MysqlError>
    /** Open ones, then those repaired within a day; newest first. */
    readonly list: Effect.Effect<ReadonlyArray<Drift>, MysqlError>
    /** How many are open, of every kind: what a gauge shows. */
    readonly openCounts: Effect.Effect<ReadonlyMap<DriftKind, number>, MysqlError>
    /**
     * Whether this shard may be rebuilt now: at most once in so many ms. With it goes the audit row that says why.
     */
    readonly claimRepair: (o: {
      readonly shard: number
      readonly productId: number
      readonly pauseMs: number
      readonly reason: string
      readonly findings: ReadonlyArray<Finding>
    }) => Effect.Effect<boolean, MysqlError>
  }
>() {}

interface Row {
  readonly id: number
  readonly kind: DriftKind
  readonly subject: string
  readonly product_id: number | null
  readonly order_num: string | null
  readonly redis: number | null
  readonly mysql: number | null
  readonly ledger: number | null
  readonly first_seen_ms: number
  readonly last_seen_ms: number
  readonly closed: number
}

const toDrift = (row: Row): Drift => ({
  id: row.id,
  kind: row.kind,
  subject: row.subject,
  productId: row.product_id ?? undefined,
  orderNum: row.order_num ?? undefined,
  redis: row.redis ?? undefined,
  mysql: row.mysql ?? undefined,
  ledger: row.ledger ?? undefined,
  firstSeenMs: row.first_seen_ms,
  lastSeenMs: row.last_seen_ms,
  repaired: row.closed !== 0,
})

/** Longer details are cut: they are for a person's first look. */
const MAX_DETAILS = 4_000

const detailsOf = (finding: Finding): string => JSON.stringify(finding.details ?? {}).slice(0, MAX_DETAILS)

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const sql: SqlClient = mysql.sql
  const columns = sql.literal(
    `id, kind, subject, product_id, order_num, redis, mysql, ledger, closed,
     ${Sql.toMs("first_seen")} AS first_seen_ms, ${Sql.toMs("last_seen")} AS last_seen_ms`,
  )

  const record = Effect.fnUntraced(function* (findings: ReadonlyArray<Finding>) {
    if (findings.length === 0) return []
    const fresh: Array<Finding> = []
    for (const finding of findings.slice(0, MAX_RECORDED)) {
      const values = {
        product_id: finding.productId ?? null,
        order_num: finding.orderNum ?? null,
        redis: finding.redis ?? null,
        mysql: finding.mysql ?? null,
        ledger: finding.ledger ?? null,
        details: detailsOf(finding),
      }
      const { affectedRows } = yield* affected(sql`
        UPDATE drift SET ${sql.update(values)}, last_seen = UTC_TIMESTAMP(3)
        WHERE closed = 0 AND kind = ${finding.kind} AND subject = ${finding.subject}`)
      if (affectedRows > 0) continue
      yield* sql`INSERT INTO drift
        (kind, subject, product_id, order_num, redis, mysql, ledger, details, first_seen, last_seen)
        VALUES (${finding.kind}, ${finding.subject}, ${values.product_id}, ${values.order_num}, ${values.redis},
          ${values.mysql}, ${values.ledger}, ${values.details}, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))`
      fresh.push(finding)
    }
    return fresh
  })

  return DriftStore.of({
    hold: (holder) =>
      mysql.run(
        "drift.hold",
        Effect.map(
          affected(sql`
            UPDATE reconcile_lease
            SET epoch = IF(holder = ${holder}, epoch, epoch + 1), holder = ${holder},
              expires_at = UTC_TIMESTAMP(3) + INTERVAL ${LEASE_S} SECOND
            WHERE id = 1 AND (holder IN ('', ${holder}) OR expires_at < UTC_TIMESTAMP(3))`),
          ({ affectedRows }) => affectedRows === 1,
        ),
      ),

    finish: (holder, complete) =>
      mysql.run(
        "drift.finish",
        Effect.asVoid(sql`
          UPDATE reconcile_lease SET checked_at = UTC_TIMESTAMP(3), complete = ${complete ? 1 : 0}
          WHERE id = 1 AND holder = ${holder}`),
      ),

    giveUp: (holder) =>
      mysql.run(
        "drift.give_up",
        Effect.asVoid(sql`UPDATE reconcile_lease SET holder = '' WHERE id = 1 AND holder = ${holder}`),
      ),

    lastRound: mysql.run(
      "drift.last_round",
      Effect.map(
        sql<{ checked_at_ms: number | null; complete: number }>`
          SELECT ${sql.literal(Sql.toMs("checked_at"))} AS checked_at_ms, complete FROM reconcile_lease WHERE id = 1`,
        ([row]) => ({ checkedAtMs: row?.checked_at_ms ?? undefined, complete: row?.complete === 1 }),
      ),
    ),

    open: mysql.run(
      "drift.open",
      Effect.map(
        sql<Row>`SELECT ${columns} FROM drift WHERE closed = 0 ORDER BY id
          LIMIT ${sql.literal(String(MAX_LISTED))}`,
        (rows) => rows.map(toDrift),
      ),
    ),

    record: (findings) =>
      mysql
        .transaction("drift.record", record(findings), { deadlineMs: 10_000 })
        .pipe(retryConflicts) as Effect.Effect<ReadonlyArray<Finding>, MysqlError>,

    settle: (ids) =>
      mysql.run(
        "drift.settle",
        Effect.gen(function* () {
          if (ids.length > 0) {
            yield* sql`UPDATE drift SET closed = id, repaired_at = UTC_TIMESTAMP(3)
              WHERE closed = 0 AND ${sql.in("id", ids)}`
          }
          yield* sql`DELETE FROM drift WHERE repaired_at < UTC_TIMESTAMP(3) - INTERVAL ${KEEP_DAYS} DAY
            LIMIT ${sql.literal(String(MAX_LISTED))}`
        }),
      ),

    list: mysql.run(
      "drift.list",
      Effect.map(
        sql<Row>`SELECT ${columns} FROM drift
          WHERE closed = 0 OR repaired_at > UTC_TIMESTAMP(3) - INTERVAL 1 DAY
          ORDER BY closed = 0 DESC, id DESC LIMIT ${sql.literal(String(MAX_LISTED))}`,
        (rows) => rows.map(toDrift),
      ),
    ),

    openCounts: mysql.run(
      "drift.counts",
      Effect.map(
        sql<{
          kind: DriftKind
          n: number
        }>`SELECT kind, COUNT(*) AS n FROM drift WHERE closed = 0 GROUP BY kind`,
        (rows) => {
          const counts = new Map<DriftKind, number>(kinds.map((kind) => [kind, 0]))
          for (const { kind, n } of rows) counts.set(kind, n)
          return counts
        },
      ),
    ),

    claimRepair: ({ findings, pauseMs, productId, reason, shard }) =>
      mysql
        .transaction(
          "drift.claim_repair",
          Effect.gen(function* () {
            yield* sql`INSERT IGNORE INTO reconcile_repair (shard, asked_at) VALUES (${shard}, '1970-01-02 00:00:00.000')`
            const { affectedRows } = yield* affected(sql`
              UPDATE reconcile_repair SET asked_at = UTC_TIMESTAMP(3)
              WHERE shard = ${shard} AND asked_at <= UTC_TIMESTAMP(3) - INTERVAL ${pauseMs * 1000} MICROSECOND`)
            if (affectedRows === 0) return false
            yield* Audit.append([
              {
                actorId: Audit.SYSTEM,
                action: "shard.rebuild",
                targetType: "product",
                targetId: productId,
                before: findings.slice(0, 20).map((f) => ({
                  drift: keyOf(f),
                  redis: f.redis ?? null,
                  mysql: f.mysql ?? null,
                })),
                after: { shard },
                reason,
              },
            ]).pipe(Effect.provideService(Mysql, mysql))
            return true
          }),
        )
        .pipe(retryConflicts),
  })
})

export const layer: Layer.Layer<DriftStore, never, Mysql> = Layer.effect(DriftStore, make)
