/**
 * Tells of statements that took too long: each is counted, and of each text now and then one line is logged with the
 * engine's plan for it. A statement's parameters are never logged: they are people's.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as MysqlMetrics from "./MysqlMetrics.ts"

/** A statement that took too long. */
export interface SlowQuery {
  readonly op: string
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly tookMs: number
}

/** One row of EXPLAIN, as far as engines agree on it. */
export interface PlanRow {
  readonly table: string | null
  readonly type: string | null
  readonly key: string | null
  readonly rows: number | string | null
  readonly Extra: string | null
}

/** Statements that wait to be logged; more are only counted. */
const MAX_WAITING = 16
/** The same text is logged no more often than this (ms). */
const SAME_TEXT_MS = 60_000
/** Between two lines (ms). */
const PAUSE_MS = 500
/** Texts whose last line is remembered. */
const MAX_TEXTS = 256
/** The longest text in a line. */
const MAX_TEXT = 2_000

/** The text of a statement in one line: what it has of values are its placeholders. */
export const shapeOf = (sql: string): string => {
  const shape = sql.replace(/\s+/g, " ").trim()
  return shape.length <= MAX_TEXT ? shape : `${shape.slice(0, MAX_TEXT)}…`
}

/** Only these have a plan that every engine tells, without anything being executed. */
const EXPLAINABLE = /^\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE)\b/i

const planOf = (rows: ReadonlyArray<PlanRow>): string =>
  rows
    .map(
      ({ Extra, key, rows: count, table, type }) =>
        `${table ?? "-"}: ${type ?? "-"} by ${key ?? "no index"}, ${count ?? "?"} rows${Extra ? ` (${Extra})` : ""}`,
    )
    .join("; ")

/**
 * What a connection tells of a slow statement to; it takes no time and never fails. `explain` asks the engine for a plan,
 * and may fail.
 */
export const make = <E>(
  explain: (slow: SlowQuery) => Effect.Effect<ReadonlyArray<PlanRow>, E>,
  nowMs: () => number = () => performance.now(),
): Effect.Effect<(slow: SlowQuery) => void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const waiting = yield* Queue.dropping<SlowQuery>(MAX_WAITING)
    const told = new Map<string, number>()

    const tell = (slow: SlowQuery) =>
      Effect.gen(function* () {
        const plan = EXPLAINABLE.test(slow.sql)
          ? yield* explain(slow).pipe(
              Effect.map(planOf),
              Effect.catchAllCause(() => Effect.succeed("not to be had")),
            )
          : "none"
        yield* Effect.logWarning("a slow query").pipe(
          Effect.annotateLogs({
            op: slow.op,
            took_ms: Math.round(slow.tookMs),
            statement: shapeOf(slow.sql),
            plan,
          }),
        )
      })

    yield* Queue.take(waiting).pipe(
      Effect.flatMap(tell),
      // What makes everything slow must not be made worse by asking why.
      Effect.delay(PAUSE_MS),
      Effect.forever,
      Effect.withTracerEnabled(false),
      Effect.forkScoped,
    )

    return (slow) => {
      MysqlMetrics.slow.inc({ op: slow.op })
      const now = nowMs()
      const last = told.get(slow.sql)
      if (last !== undefined && now - last < SAME_TEXT_MS) return
      if (last === undefined && told.size >= MAX_TEXTS) told.delete(told.keys().next().value!)
      told.delete(slow.sql)
      told.set(slow.sql, now)
      Queue.unsafeOffer(waiting, slow)
    }
  })
