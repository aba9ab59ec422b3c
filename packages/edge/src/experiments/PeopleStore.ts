/**
 * Whom an experiment met and what became of them, in the edge's database: a row a person and bits that only add up. So
 * everybody counts once, a write that is repeated changes nothing, and rates are true shares of people.
 */
import { type Busy, NotFound } from "@floodgate/contracts/errors/Errors"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** What can become of somebody; bits of `seen`. */
export const EXPOSED = 1
export const ACCEPTED = 2
export const PAID = 4
export const LIMITED = 8

/** Rows of one statement. */
export const MAX_ROWS = 500
/** How long (days) after its end an experiment's people are kept; its numbers are kept for good. */
export const KEEP_DAYS = 90
/** People forgotten by one statement. */
const FORGET_ROWS = 5_000
/** A million people take a while to count. */
const COUNT_MS = 4_500

export interface Sighting {
  readonly experimentId: number
  readonly userId: number
  readonly variant: number
  /** The bits to add. */
  readonly seen: number
}

/** People of one variant. */
export interface Count {
  readonly variant: number
  readonly exposed: number
  readonly accepted: number
  readonly paid: number
  readonly limited: number
}

export class PeopleStore extends Context.Tag("@floodgate/edge/experiments/PeopleStore")<
  PeopleStore,
  {
    /** Adds what was seen, in statements of {@link MAX_ROWS}; the same again changes nothing. */
    readonly add: (sightings: ReadonlyArray<Sighting>) => Effect.Effect<void, MysqlError>
    /** People by variant, who were exposed; variants that met nobody are left out. */
    readonly count: (key: string) => Effect.Effect<ReadonlyArray<Count>, NotFound | Busy>
    /** Forgets people of one experiment that ended long ago, keeping its numbers; true where there may be more to do. */
    readonly forget: Effect.Effect<boolean, MysqlError>
  }
>() {}

// All edges take rows in the same order, so that they wait for one another instead of ending in a deadlock.
const inOrder = (a: Sighting, b: Sighting): number => a.experimentId - b.experimentId || a.userId - b.userId

export const make = Effect.gen(function* () {
  const mysql = yield* Mysql.Mysql
  const { sql } = mysql

  const countOf = (id: number) =>
    sql<Count>`SELECT variant, COUNT(*) AS exposed,
        CAST(SUM(seen & ${ACCEPTED | PAID} > 0) AS SIGNED) AS accepted,
        CAST(SUM(seen & ${PAID} > 0) AS SIGNED) AS paid,
        CAST(SUM(seen & ${LIMITED} > 0) AS SIGNED) AS limited
      FROM experiment_user WHERE experiment_id = ${id} AND seen & ${EXPOSED} > 0
      GROUP BY variant ORDER BY variant`

  const find = (key: string) =>
    sql<{ readonly id: number; readonly results_json: string | null }>`
      SELECT id, results_json FROM experiment WHERE experiment_key = ${key}`

  return PeopleStore.of({
    add: Effect.fn("PeopleStore.add")(function* (sightings: ReadonlyArray<Sighting>) {
      const sorted = [...sightings].sort(inOrder)
      for (let at = 0; at < sorted.length; at += MAX_ROWS) {
        const rows = sorted.slice(at, at + MAX_ROWS).map(({ experimentId, seen, userId, variant }) => ({
          experiment_id: experimentId,
          user_id: userId,
          variant,
          seen,
        }))
        yield* mysql
          .run(
            "experiments.seen",
            sql`INSERT INTO experiment_user ${sql.insert(rows)} ON DUPLICATE KEY UPDATE seen = seen | VALUES(seen)`,
          )
          .pipe(Mysql.retryConflicts)
      }
    }),

    count: Effect.fn("PeopleStore.count")(
      function* (key: string) {
        const [found] = yield* mysql.run("experiments.find", find(key))
        if (found === undefined) return yield* new NotFound({})
        if (found.results_json !== null) return JSON.parse(found.results_json) as ReadonlyArray<Count>
        return yield* mysql.run("experiments.count", countOf(found.id), { deadlineMs: COUNT_MS })
      },
      (self) => orBusy(self),
    ),

    forget: Effect.gen(function* () {
      const [old] = yield* mysql.run(
        "experiments.old",
        sql<{
          readonly id: number
          readonly results_json: string | null
        }>`SELECT e.id, e.results_json FROM experiment e
          WHERE e.status = 'stopped' AND e.stopped_at < UTC_TIMESTAMP(3) - INTERVAL ${sql.literal(String(KEEP_DAYS))} DAY
            AND EXISTS (SELECT 1 FROM experiment_user u WHERE u.experiment_id = e.id)
          ORDER BY e.id LIMIT 1`,
      )
      if (old === undefined) return false
      if (old.results_json === null) {
        const counts = yield* mysql.run("experiments.count", countOf(old.id), { deadlineMs: COUNT_MS })
        // Another edge may have been first; from then on people are missing.
        yield* mysql.run(
          "experiments.keep",
          sql`UPDATE experiment SET results_json = ${JSON.stringify(counts)} WHERE id = ${old.id} AND results_json IS NULL`,
        )
      }
      yield* mysql.run(
        "experiments.forget",
        sql`DELETE FROM experiment_user WHERE experiment_id = ${old.id} LIMIT ${sql.literal(String(FORGET_ROWS))}`,
      )
      return true
    }).pipe(Effect.withSpan("PeopleStore.forget")),
  })
})

export const layer = Layer.effect(PeopleStore, make)
