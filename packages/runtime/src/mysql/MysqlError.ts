/** What can go wrong with MySQL, by what the caller may do about it. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"

/**
 * MySQL can't be reached, didn't answer within the deadline, or refuses work (shutting down, read-only, too many
 * connections). `outcomeUnknown` is true where the effect may have happened all the same: a COMMIT, or a statement
 * outside a transaction, was sent and no answer came. Such an outcome is looked up by its key, never assumed. False
 * means: certainly nothing happened. `retryAfterMs` is given where the breaker is open: for how long.
 */
export class MysqlUnavailable extends Data.TaggedError("MysqlUnavailable")<{
  readonly op: string
  readonly outcomeUnknown: boolean
  readonly retryAfterMs?: number
  readonly cause?: unknown
}> {
  override get message(): string {
    return `${this.op}: MySQL is unavailable${this.outcomeUnknown ? ", outcome unknown" : ""}: ${reasonOf(this.cause)}`
  }
}

/** A unique key stands against it (1062). `key` is the index's name, without its table. */
export class MysqlDuplicateKey extends Data.TaggedError("MysqlDuplicateKey")<{
  readonly op: string
  readonly key: string
}> {
  override get message(): string {
    return `${this.op}: duplicate key ${this.key}`
  }
}

/** A deadlock (1213), a lock wait that took too long (1205) or a changed row (1020), or NOWAIT found a lock (3572): rolled back, safe to redo. */
export class MysqlConflict extends Data.TaggedError("MysqlConflict")<{
  readonly op: string
  readonly errno: number
}> {
  override get message(): string {
    return `${this.op}: conflict ${this.errno}`
  }
}

export type MysqlError = MysqlUnavailable | MysqlDuplicateKey | MysqlConflict

const reasonOf = (cause: unknown): string =>
  cause instanceof Error ? cause.message : String(cause ?? "no answer")

const CONFLICT: ReadonlySet<number> = new Set([1020, 1205, 1213, 3572])

/** Refused before anything happened: too many connections, read-only, host blocked. */
const REFUSED: ReadonlySet<number> = new Set([1040, 1129, 1203, 1226, 1290, 1792, 1836])

/**
 * The server ended the statement or the connection itself: shutdown, kill, idle time-out, statement time-out, a
 * commit that failed half way (1180), or the network.
 */
const ENDED: ReadonlySet<number> = new Set([
  1053, 1077, 1078, 1079, 1152, 1156, 1157, 1158, 1159, 1160, 1161, 1180, 1184, 1317, 1927, 1969, 2006, 2013,
  3024, 3100, 3169, 4031,
])

interface DriverError {
  readonly errno?: unknown
  readonly code?: unknown
  readonly fatal?: unknown
  readonly sqlMessage?: unknown
}

const driverError = (error: SqlError): DriverError =>
  typeof error.cause === "object" && error.cause !== null ? (error.cause as DriverError) : {}

const errnoOf = (error: SqlError): number | undefined => {
  const { errno, sqlMessage } = driverError(error)
  // The driver sets `errno` on network errors too (negative, from libuv); only an answer of the server has a message.
  return typeof errno === "number" && sqlMessage !== undefined ? errno : undefined
}

const duplicateKeyName = (error: SqlError): string => {
  const match = /for key '([^']*)'/.exec(String(driverError(error).sqlMessage ?? ""))
  // MySQL 8 says 'table.key', MariaDB 'key'.
  return match?.[1]?.split(".").pop() ?? ""
}

export type Classified =
  | { readonly kind: "duplicate"; readonly key: string }
  | { readonly kind: "conflict"; readonly errno: number }
  /** The server said no before doing anything. */
  | { readonly kind: "refused" }
  /** The connection, or the statement on it, ended without a usable answer. */
  | { readonly kind: "ended" }
  /** SQL or data that is wrong: a defect of ours. */
  | { readonly kind: "defect" }

/** Sorts a driver's error by errno and by whether the server answered at all. */
export const classify = (error: SqlError): Classified => {
  const errno = errnoOf(error)
  if (errno === undefined) {
    const { code, fatal } = driverError(error)
    return typeof code === "string" || fatal === true ? { kind: "ended" } : { kind: "defect" }
  }
  if (errno === 1062 || errno === 1586) return { kind: "duplicate", key: duplicateKeyName(error) }
  if (CONFLICT.has(errno)) return { kind: "conflict", errno }
  if (REFUSED.has(errno)) return { kind: "refused" }
  return ENDED.has(errno) ? { kind: "ended" } : { kind: "defect" }
}

/** Whether a statement failed on a unique key (of this name, when given): for an insert that may find its row there. */
export const isDuplicateKey = (error: SqlError, key?: string): boolean => {
  const classified = classify(error)
  return classified.kind === "duplicate" && (key === undefined || classified.key === key)
}
