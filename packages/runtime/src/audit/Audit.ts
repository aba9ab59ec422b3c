/**
 * The audit trail: who changed what, from what to what, and why, as a row written in the transaction that made the
 * change. So a row is there if and only if its change is. Rows hold ids and never a name, so that a person can be erased
 * without touching the trail. The tables are in audit.sql; `Sealer` chains the rows, `Verify` shows tampering.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { Mysql } from "../mysql/Mysql.ts"
import * as TraceContext from "../telemetry/TraceContext.ts"

/** The largest `before` and `after`, bytes of JSON each. */
export const MAX_STATE_BYTES = 16 * 1024

/** The longest `reason`, characters. */
export const MAX_REASON = 500

/** The actor where the system acted for itself. */
export const SYSTEM = 0

/** Rows written by one statement. */
const ROWS_A_STATEMENT = 100

export interface AuditRow {
  /** The user who did it; `SYSTEM` where nobody did. */
  readonly actorId: number
  /** What was done, as `<kind of thing>.<verb>`: `user.ban`, `order.cancel`. ≤ 64 ASCII characters. */
  readonly action: string
  /** The kind of thing it was done to: `user`, `product`, `order`. ≤ 32 ASCII characters. */
  readonly targetType: string
  /** Which one. ≤ 64 ASCII characters. */
  readonly targetId: string | number
  /** What changed, before: a JSON value of ids and settings, no personal data. Left out where there was nothing. */
  readonly before?: unknown
  /** What changed, after. Left out where nothing is left. */
  readonly after?: unknown
  /** In the actor's words, ≤ 500 characters. */
  readonly reason?: string | undefined
  /** The W3C trace context of what caused the change, where that isn't the current span. */
  readonly traceparent?: string | null | undefined
  /** Where one is given, a second row of this action under this id fails on the key `audit_request`. */
  readonly requestId?: string | undefined
}

const stateOf = (action: string, state: unknown): string | null => {
  if (state === undefined) return null
  const text = JSON.stringify(state)
  const size = Buffer.byteLength(text)
  if (size > MAX_STATE_BYTES) {
    throw new RangeError(`the audit of ${action} has ${size} bytes, over ${MAX_STATE_BYTES}`)
  }
  return text
}

/**
 * Adds rows to the caller's transaction. Nothing waits for them: no row is locked that another transaction needs. A
 * `before` or `after` over 16 KiB is a defect.
 */
export const append = (rows: ReadonlyArray<AuditRow>): Effect.Effect<void, SqlError, Mysql> =>
  Effect.flatMap(Mysql, ({ sql }) =>
    Effect.flatMap(FiberRef.get(FiberRef.currentContext), (context) => {
      const current = TraceContext.idsIn(context)?.traceId ?? null
      const statements: Array<Effect.Effect<unknown, SqlError>> = []
      for (let from = 0; from < rows.length; from += ROWS_A_STATEMENT) {
        const part = rows.slice(from, from + ROWS_A_STATEMENT).map((row) => ({
          actor_id: row.actorId,
          action: row.action,
          target_type: row.targetType,
          target_id: String(row.targetId),
          before_json: stateOf(row.action, row.before),
          after_json: stateOf(row.action, row.after),
          reason: row.reason ?? "",
          trace_id: TraceContext.parse(row.traceparent ?? undefined)?.traceId ?? current,
          request_id: row.requestId === undefined || row.requestId === "" ? null : row.requestId,
        }))
        statements.push(sql`INSERT INTO audit ${sql.insert(part)}`)
      }
      return Effect.all(statements, { discard: true })
    }),
  )

/**
 * Whether this action was recorded under this request before: then a repeated request has nothing left to do. False for
 * an empty request id. Belongs into the transaction of the change, after the lock that its writers share.
 */
export const isRecorded = (action: string, requestId: string): Effect.Effect<boolean, SqlError, Mysql> =>
  requestId === ""
    ? Effect.succeed(false)
    : Effect.flatMap(Mysql, ({ sql }) =>
        Effect.map(
          sql`SELECT 1 FROM audit WHERE request_id = ${requestId} AND action = ${action}`,
          (rows) => rows.length > 0,
        ),
      )
