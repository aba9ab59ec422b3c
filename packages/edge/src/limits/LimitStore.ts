/** The limits that were changed, in the edge's own database: shared by all edges, every change audited. */
import { type Busy, StaleVersion } from "@floodgate/contracts/errors/Errors"
import { type LimitName, limitNames } from "@floodgate/contracts/http/AdminLimit"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { table } from "./LimitTable.ts"

/** Products with a limit of their own, at most. */
export const MAX_SETTINGS = 10_000

export interface Setting {
  readonly name: LimitName
  /** Undefined: for all products, and for limits that know none. */
  readonly productId: number | undefined
  /** Tokens in the limit's period. */
  readonly rate: number
  readonly burst: number
  readonly version: number
  readonly updatedMs: number
}

export interface Change {
  readonly name: LimitName
  readonly productId: number | undefined
  readonly rate: number
  readonly burst: number
  /** What the editor saw; undefined: whatever it is by now. */
  readonly version: number | undefined
  readonly reason: string
  readonly actorId: number
}

export class LimitStore extends Context.Tag("@floodgate/edge/limits/LimitStore")<
  LimitStore,
  {
    /** Rises with every change. */
    readonly revision: Effect.Effect<number, Busy>
    /** Every limit that isn't at its default. */
    readonly list: Effect.Effect<ReadonlyArray<Setting>, Busy>
    /** Changes a limit, with its line in the audit trail, in one transaction. */
    readonly change: (change: Change) => Effect.Effect<Setting, StaleVersion | Busy>
  }
>() {}

interface Row {
  readonly name: string
  readonly product_id: number
  readonly rate: number
  readonly burst: number
  readonly version: number
  readonly updated_ms: number
}

const known: ReadonlySet<string> = new Set(limitNames)

const settingOf = (row: Row): Setting => ({
  name: row.name as LimitName,
  productId: row.product_id === 0 ? undefined : row.product_id,
  rate: row.rate,
  burst: row.burst,
  version: row.version,
  updatedMs: row.updated_ms,
})

export const make = Effect.gen(function* () {
  const mysql = yield* Mysql.Mysql
  const { sql } = mysql
  const columns = sql.literal(
    "name, product_id, rate, burst, version, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', updated_at) DIV 1000 AS updated_ms",
  )

  const revision = mysql
    .run(
      "limits.revision",
      sql<{ readonly revision: number }>`SELECT revision FROM setting_revision WHERE name = 'limits'`,
    )
    .pipe(
      Effect.map((rows) => rows[0]?.revision ?? 0),
      (self) => orBusy(self),
    )

  const list = mysql
    .run(
      "limits.list",
      sql<Row>`SELECT ${columns} FROM limit_setting ORDER BY name, product_id
        LIMIT ${sql.literal(String(MAX_SETTINGS))}`,
    )
    .pipe(
      // A newer edge may know limits that this one doesn't.
      Effect.map((rows) => rows.filter(({ name }) => known.has(name)).map(settingOf)),
      (self) => orBusy(self),
    )

  const change = Effect.fn("LimitStore.change")(
    function* (wish: Change) {
      const { actorId, burst, name, rate, reason } = wish
      const productId = wish.productId ?? 0
      const before = (row: Row | undefined) =>
        row === undefined
          ? { rate: table[name].rate, burst: table[name].burst }
          : { rate: row.rate, burst: row.burst }
      const read = sql<Row>`SELECT ${columns} FROM limit_setting WHERE name = ${name} AND product_id = ${productId}`
      return yield* mysql
        .transaction(
          "limits.change",
          Effect.gen(function* () {
            // The one row that every change takes first: so versions are read and written by one at a time.
            yield* sql`UPDATE setting_revision SET revision = revision + 1 WHERE name = 'limits'`
            const [found] = yield* read
            const version = found?.version ?? 1
            if (wish.version !== undefined && wish.version !== version) {
              return yield* new StaleVersion({ version })
            }
            yield* sql`INSERT INTO limit_setting (name, product_id, rate, burst, version, updated_at)
              VALUES (${name}, ${productId}, ${rate}, ${burst}, ${version + 1}, UTC_TIMESTAMP(3))
              ON DUPLICATE KEY UPDATE rate = ${rate}, burst = ${burst}, version = ${version + 1},
                updated_at = UTC_TIMESTAMP(3)`
            yield* Audit.append([
              {
                actorId,
                action: "limit.change",
                targetType: "limit",
                targetId: productId === 0 ? name : `${name}:${productId}`,
                before: before(found),
                after: { rate, burst },
                reason,
              },
            ])
            const [changed] = yield* read
            return settingOf(changed!)
          }),
        )
        .pipe(Effect.provideService(Mysql.Mysql, mysql), Mysql.retryConflicts)
    },
    (self) => orBusy(self),
  )

  return LimitStore.of({ revision, list, change })
})

export const layer = Layer.effect(LimitStore, make)
