/** Experiments in the edge's own database: shared by all edges, every change audited. */
import {
  type Busy,
  InvalidInput,
  NotFound,
  StaleVersion,
  WrongState,
} from "@floodgate/contracts/errors/Errors"
import type { ExperimentKind, ExperimentStatus, Variant } from "@floodgate/contracts/http/Experiment"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BUCKETS } from "./Assignment.ts"
import { touches } from "./ExperimentConfig.ts"

/** Experiments that run at once, at most: each request of a user looks at every one of them. */
export const MAX_RUNNING = 20

export interface Experiment {
  readonly id: number
  readonly key: string
  readonly kind: ExperimentKind
  readonly status: ExperimentStatus
  readonly salt: string
  /** 0 to 100, two decimals. */
  readonly percentage: number
  readonly allowUsers: ReadonlyArray<number>
  readonly variants: ReadonlyArray<Variant>
  readonly version: number
  readonly createdMs: number
  readonly updatedMs: number
  readonly startedMs: number | undefined
  readonly stoppedMs: number | undefined
}

interface By {
  readonly reason: string
  readonly actorId: number
}

export interface Draft
  extends By,
    Pick<Experiment, "key" | "kind" | "salt" | "percentage" | "allowUsers" | "variants"> {
  readonly status: "draft" | "running"
}

/** What is left out stays as it is. */
export interface Change extends By {
  readonly key: string
  /** What the editor saw; undefined: whatever it is by now. */
  readonly version: number | undefined
  readonly status?: ExperimentStatus | undefined
  readonly salt?: string | undefined
  readonly percentage?: number | undefined
  readonly allowUsers?: ReadonlyArray<number> | undefined
  readonly variants?: ReadonlyArray<Variant> | undefined
}

export interface Filter {
  readonly kind?: ExperimentKind | undefined
  readonly status?: ExperimentStatus | undefined
  /** Created at or after; Unix ms. */
  readonly fromMs?: number | undefined
  /** Created before; Unix ms. */
  readonly toMs?: number | undefined
  /** Older than this one. */
  readonly beforeId?: number | undefined
  readonly limit: number
}

export class ExperimentStore extends Context.Tag("@floodgate/edge/experiments/ExperimentStore")<
  ExperimentStore,
  {
    /** Rises with every change. */
    readonly revision: Effect.Effect<number, Busy>
    /** Those in force. */
    readonly running: Effect.Effect<ReadonlyArray<Experiment>, Busy>
    /** Newest first. */
    readonly list: (filter: Filter) => Effect.Effect<ReadonlyArray<Experiment>, Busy>
    readonly get: (key: string) => Effect.Effect<Experiment, NotFound | Busy>
    /**
     * Makes one, with its line in the audit trail. StaleVersion where the key is taken; InvalidInput where it would run
     * beside another that changes the same thing, or too many run.
     */
    readonly create: (draft: Draft) => Effect.Effect<Experiment, StaleVersion | InvalidInput | Busy>
    /**
     * Changes, starts or stops one, with its line in the audit trail. WrongState for what its status doesn't allow.
     * Nothing is written where nothing would change.
     */
    readonly change: (
      change: Change,
    ) => Effect.Effect<Experiment, NotFound | StaleVersion | WrongState | InvalidInput | Busy>
  }
>() {}

interface Row {
  readonly id: number
  readonly experiment_key: string
  readonly kind: ExperimentKind
  readonly status: ExperimentStatus
  readonly salt: string
  readonly share: number
  readonly allow_users_json: string
  readonly variants_json: string
  readonly version: number
  readonly created_ms: number
  readonly updated_ms: number
  readonly started_ms: number | null
  readonly stopped_ms: number | null
}

const ofRow = (row: Row): Experiment => ({
  id: row.id,
  key: row.experiment_key,
  kind: row.kind,
  status: row.status,
  salt: row.salt,
  percentage: row.share / 100,
  allowUsers: JSON.parse(row.allow_users_json),
  variants: JSON.parse(row.variants_json),
  version: row.version,
  createdMs: row.created_ms,
  updatedMs: row.updated_ms,
  startedMs: row.started_ms ?? undefined,
  stoppedMs: row.stopped_ms ?? undefined,
})

const shareOf = (percentage: number): number => Math.round((percentage * BUCKETS) / 100)

/** What the trail says of it, before and after. */
const stateOf = ({
  allowUsers,
  kind,
  percentage,
  salt,
  status,
  variants,
}: Pick<Experiment, "kind" | "status" | "salt" | "percentage" | "allowUsers" | "variants">) => ({
  kind,
  status,
  salt,
  percentage,
  allow_users: allowUsers,
  variants,
})

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const ms = (column: string) =>
  `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${column}) DIV 1000 AS ${column.replace("_at", "_ms")}`

/** Whether the experiment's status lets it become `next`. */
const allows = (now: Experiment, next: Experiment): boolean => {
  if (now.status === "draft") return true
  // It is over, and its numbers are those of what it was.
  if (now.status === "stopped") return same(stateOf(now), stateOf(next))
  // While it runs: who is in may change, but not what they are compared by.
  return next.status !== "draft" && next.salt === now.salt && same(next.variants, now.variants)
}

export const make = Effect.gen(function* () {
  const mysql = yield* Mysql.Mysql
  const { sql } = mysql
  const columns = sql.literal(
    `id, experiment_key, kind, status, salt, share, allow_users_json, variants_json, version, ${[
      "created_at",
      "updated_at",
      "started_at",
      "stopped_at",
    ]
      .map(ms)
      .join(", ")}`,
  )

  const revision = mysql
    .run(
      "experiments.revision",
      sql<{
        readonly revision: number
      }>`SELECT revision FROM setting_revision WHERE name = 'experiments'`,
    )
    .pipe(
      Effect.map((rows) => rows[0]?.revision ?? 0),
      (self) => orBusy(self),
    )

  const selectRunning = sql<Row>`SELECT ${columns} FROM experiment WHERE status = 'running' ORDER BY id
    LIMIT ${sql.literal(String(MAX_RUNNING))}`
  const selectOne = (key: string) => sql<Row>`SELECT ${columns} FROM experiment WHERE experiment_key = ${key}`

  const running = mysql.run("experiments.running", selectRunning).pipe(
    Effect.map((rows) => rows.map(ofRow)),
    (self) => orBusy(self),
  )

  const list = Effect.fn("ExperimentStore.list")(
    ({ beforeId, fromMs, kind, limit, status, toMs }: Filter) => {
      const epoch = (time: number) => sql`'1970-01-01' + INTERVAL ${time * 1_000} MICROSECOND`
      const where = [
        ...(beforeId === undefined ? [] : [sql`id < ${beforeId}`]),
        ...(kind === undefined ? [] : [sql`kind = ${kind}`]),
        ...(status === undefined ? [] : [sql`status = ${status}`]),
        ...(fromMs === undefined ? [] : [sql`created_at >= ${epoch(fromMs)}`]),
        ...(toMs === undefined ? [] : [sql`created_at < ${epoch(toMs)}`]),
      ]
      return mysql.run(
        "experiments.list",
        sql<Row>`SELECT ${columns} FROM experiment WHERE ${where.length === 0 ? sql.literal("1 = 1") : sql.and(where)}
          ORDER BY id DESC LIMIT ${sql.literal(String(limit))}`,
      )
    },
    Effect.map((rows) => rows.map(ofRow)),
    (self) => orBusy(self),
  )

  const get = Effect.fn("ExperimentStore.get")(
    function* (key: string) {
      const [found] = yield* mysql.run("experiments.get", selectOne(key))
      return found === undefined ? yield* new NotFound({}) : ofRow(found)
    },
    (self) => orBusy(self),
  )

  // The one row that every change takes first: so versions, and what runs, are read and written by one at a time.
  const raise = sql`UPDATE setting_revision SET revision = revision + 1 WHERE name = 'experiments'`

  /** Whether it may run beside those that do. */
  const admit = (experiment: Pick<Experiment, "key" | "kind" | "variants">) =>
    Effect.gen(function* () {
      const others = (yield* selectRunning).map(ofRow).filter(({ key }) => key !== experiment.key)
      if (others.length >= MAX_RUNNING) {
        return yield* InvalidInput.at("status", `${MAX_RUNNING} experiments run already`)
      }
      const wanted = touches(experiment.kind, experiment.variants)
      for (const other of others) {
        const common = [...touches(other.kind, other.variants)].find((what) => wanted.has(what))
        if (common !== undefined) {
          return yield* InvalidInput.at(
            "variants",
            `${common} is what ${other.key} changes, which is running`,
          )
        }
      }
    })

  const create = Effect.fn("ExperimentStore.create")(
    (draft: Draft) =>
      mysql
        .transaction(
          "experiments.create",
          Effect.gen(function* () {
            yield* raise
            const [taken] = yield* selectOne(draft.key)
            if (taken !== undefined) return yield* new StaleVersion({ version: taken.version })
            if (draft.status === "running") yield* admit(draft)
            yield* sql`INSERT INTO experiment
              (experiment_key, kind, status, salt, share, allow_users_json, variants_json, created_at, updated_at, started_at)
              VALUES (${draft.key}, ${draft.kind}, ${draft.status}, ${draft.salt}, ${shareOf(draft.percentage)},
                ${JSON.stringify(draft.allowUsers)}, ${JSON.stringify(draft.variants)}, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3),
                ${draft.status === "running" ? sql`UTC_TIMESTAMP(3)` : null})`
            yield* Audit.append([
              {
                actorId: draft.actorId,
                action: "experiment.create",
                targetType: "experiment",
                targetId: draft.key,
                after: stateOf(draft),
                reason: draft.reason,
              },
            ])
            const [created] = yield* selectOne(draft.key)
            return ofRow(created!)
          }),
        )
        .pipe(Effect.provideService(Mysql.Mysql, mysql), Mysql.retryConflicts),
    (self) => orBusy(self),
  )

  const change = Effect.fn("ExperimentStore.change")(
    (wish: Change) =>
      mysql
        .transaction(
          "experiments.change",
          Effect.gen(function* () {
            yield* raise
            const [found] = yield* selectOne(wish.key)
            if (found === undefined) return yield* new NotFound({})
            const now = ofRow(found)
            if (wish.version !== undefined && wish.version !== now.version) {
              return yield* new StaleVersion({ version: now.version })
            }
            const next: Experiment = {
              ...now,
              status: wish.status ?? now.status,
              salt: wish.salt ?? now.salt,
              percentage: wish.percentage ?? now.percentage,
              allowUsers: wish.allowUsers ?? now.allowUsers,
              variants: wish.variants ?? now.variants,
            }
            if (!allows(now, next)) return yield* new WrongState({ state: now.status })
            if (same(stateOf(now), stateOf(next))) return now
            const starts = next.status === "running" && now.status !== "running"
            const stops = next.status === "stopped" && now.status !== "stopped"
            if (starts) yield* admit(next)
            yield* sql`UPDATE experiment SET status = ${next.status}, salt = ${next.salt},
              share = ${shareOf(next.percentage)}, allow_users_json = ${JSON.stringify(next.allowUsers)},
              variants_json = ${JSON.stringify(next.variants)}, version = version + 1, updated_at = UTC_TIMESTAMP(3),
              started_at = ${starts ? sql`UTC_TIMESTAMP(3)` : sql`started_at`},
              stopped_at = ${stops ? sql`UTC_TIMESTAMP(3)` : sql`stopped_at`}
              WHERE id = ${now.id}`
            yield* Audit.append([
              {
                actorId: wish.actorId,
                action: starts ? "experiment.start" : stops ? "experiment.stop" : "experiment.change",
                targetType: "experiment",
                targetId: wish.key,
                before: stateOf(now),
                after: stateOf(next),
                reason: wish.reason,
              },
            ])
            const [changed] = yield* selectOne(wish.key)
            return ofRow(changed!)
          }),
        )
        .pipe(Effect.provideService(Mysql.Mysql, mysql), Mysql.retryConflicts),
    (self) => orBusy(self),
  )

  return ExperimentStore.of({ revision, running, list, get, create, change })
})

export const layer = Layer.effect(ExperimentStore, make)
