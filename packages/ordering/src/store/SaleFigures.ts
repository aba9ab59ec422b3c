/**
 * How many orders came into the books, were paid and were cancelled, by steps of ten seconds: `GetSaleFigures`.
 *
 * The books are counted once: a step that is over can't change any more, so it is kept, and later calls count only what
 * came since. However many look at the board, one count runs at a time, and its answer holds for a second.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { type Busy, type Forbidden, InvalidInput } from "@floodgate/contracts/errors/Errors"
import type { GetSaleFiguresRequest } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import * as CallerAccess from "@floodgate/runtime/grpc/CallerAccess"
import type { CallContext } from "@floodgate/runtime/grpc/GrpcServer"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import * as Sql from "./Sql.ts"

export const STEP_MS = 10_000

/** How far back one may ask, ms. */
export const MAX_SPAN_MS = 61 * 60_000

/** A row's time is that of its statement; no transaction is open for so long (ms) after it. */
const SETTLED_AFTER_MS = 30_000

/** Steps that one statement counts, so that it keeps its deadline in the middle of a rush. */
const STEPS_A_COUNT = 60

/** How long (ms) a count is answered without counting again. */
const LIFE_MS = 1_000

export interface Figures {
  readonly persisted: number
  readonly paid: number
  readonly cancelled: number
}

const none: Figures = { persisted: 0, paid: 0, cancelled: 0 }

/** Figures by the number of their step since 1970. */
type Steps = Map<number, Figures>

export interface SaleFigures {
  /** From the step that this instant (Unix ms, by MySQL's clock) is in until now, oldest first; empty steps are left out. */
  readonly since: (
    fromMs: number,
  ) => Effect.Effect<ReadonlyArray<Figures & { readonly atMs: number }>, MysqlError>
}

const columns = [
  { name: "persisted", column: "created_at", index: "by_created" },
  { name: "paid", column: "paid_at", index: "by_paid" },
  { name: "cancelled", column: "cancelled_at", index: "by_cancelled" },
] as const

export const make: Effect.Effect<SaleFigures, never, Mysql> = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql
  const one = yield* Effect.makeSemaphore(1)

  /** Steps that are over: all from `low` (included) to `high` (not included) were counted. */
  const settled: Steps = new Map()
  let low = 0
  let high = 0
  let last: { readonly from: number; readonly steps: Steps; readonly readMs: number } | undefined

  const count = (from: number, to: number | undefined): Effect.Effect<Steps, SqlError> =>
    Effect.gen(function* () {
      const steps: Steps = new Map()
      for (const { column, index, name } of columns) {
        const time = sql.literal(column)
        const span = [sql`${time} >= ${Sql.at(sql, from * STEP_MS)}`]
        if (to !== undefined) span.push(sql`${time} < ${Sql.at(sql, to * STEP_MS)}`)
        // A tombstone never was an order.
        if (name === "persisted") span.push(sql`state <> 'rejected'`)
        const rows = yield* sql<{ step: number; orders: number }>`
          SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', ${time}) DIV ${STEP_MS / 1_000} AS step, COUNT(*) AS orders
          FROM \`order\` FORCE INDEX (${sql.literal(index)}) WHERE ${sql.and(span)} GROUP BY step`
        for (const { orders, step } of rows) {
          steps.set(step, { ...(steps.get(step) ?? none), [name]: orders })
        }
      }
      return steps
    })

  const nowMs = mysql.run(
    "figures.now",
    Effect.map(
      sql<{ now_ms: number }>`SELECT ${sql.literal(Sql.toMs("UTC_TIMESTAMP(3)"))} AS now_ms`,
      (rows) => rows[0]?.now_ms ?? 0,
    ),
  )

  /** Counts every step that is over by now and wasn't counted yet. What was done when it fails stays done. */
  const settle = (from: number, to: number): Effect.Effect<void, MysqlError> =>
    Effect.gen(function* () {
      if (from < low || from > high) {
        settled.clear()
        low = from
        high = from
      }
      while (high < to) {
        const next = Math.min(to, high + STEPS_A_COUNT)
        for (const [step, figures] of yield* mysql.run("figures.count", count(high, next))) {
          settled.set(step, figures)
        }
        high = next
      }
      const oldest = to - Math.ceil(MAX_SPAN_MS / STEP_MS)
      for (const step of settled.keys()) if (step < oldest) settled.delete(step)
      low = Math.max(low, oldest)
    })

  const look = (from: number): Effect.Effect<Steps, MysqlError> =>
    Effect.gen(function* () {
      const readMs = performance.now()
      if (last !== undefined && last.from <= from && readMs - last.readMs < LIFE_MS) return last.steps
      const over = Math.floor(((yield* nowMs) - SETTLED_AFTER_MS) / STEP_MS)
      yield* settle(from, Math.max(from, over))
      const steps: Steps = new Map([
        ...settled,
        ...(yield* mysql.run("figures.count", count(high, undefined))),
      ])
      last = { from, steps, readMs }
      return steps
    })

  return {
    since: (fromMs) => {
      const from = Math.floor(fromMs / STEP_MS)
      return Effect.map(one.withPermits(1)(look(from)), (steps) =>
        [...steps]
          .filter(([step]) => step >= from)
          .sort(([one], [other]) => one - other)
          .map(([step, figures]) => ({ atMs: step * STEP_MS, ...figures })),
      )
    },
  }
})

/** The handler, for holders of `report:read` and for services. */
export const handler =
  (figures: SaleFigures) =>
  (
    request: GetSaleFiguresRequest,
    context: Pick<CallContext, "caller">,
  ): Effect.Effect<
    {
      readonly figures: Array<{
        readonly atMs: bigint
        readonly persisted: number
        readonly paid: number
        readonly cancelled: number
      }>
    },
    Forbidden | InvalidInput | Busy
  > =>
    Effect.gen(function* () {
      yield* CallerAccess.requirePermission(context, "report:read")
      const fromMs = Number(request.fromMs)
      const nowMs = yield* Effect.map(Effect.clock, (clock) => clock.unsafeCurrentTimeMillis())
      if (fromMs < nowMs - MAX_SPAN_MS || fromMs > nowMs + MAX_SPAN_MS) {
        return yield* InvalidInput.at("from_ms", "at most an hour ago")
      }
      const found = yield* orBusy(figures.since(fromMs))
      return { figures: found.map(({ atMs, ...rest }) => ({ ...rest, atMs: BigInt(atMs) })) }
    }).pipe(Effect.withSpan("Ordering.getSaleFigures"))
