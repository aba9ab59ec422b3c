/** The rows of an account, as every store of identity reads and locks them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import * as Effect from "effect/Effect"
import type { AccountState } from "../domain/AccountState.ts"

export interface User {
  readonly id: number
  /** Empty for an erased account. */
  readonly username: string
  /** In alphabetical order. */
  readonly roles: ReadonlyArray<string>
  /** Of the wallet, minor units. */
  readonly balance: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
  /** Now: a ban that has run out counts as active. */
  readonly state: AccountState
  /** Undefined unless banned. */
  readonly bannedReason: string | undefined
  /** Undefined where it is banned until that is lifted, or not banned. */
  readonly banUntilMs: number | undefined
  /** Counts the changes of state and roles. */
  readonly version: number
}

/** An account read under its lock. */
export interface LockedUser {
  readonly user: User
  /**
   * What an access token made now says about its time: the database's clock, but never before a revocation that has
   * happened. As long as the lock is held, no revocation comes in between.
   */
  readonly issuedAtMs: number
}

export interface UserRow {
  readonly id: number
  readonly username: string | null
  readonly roles: string | null
  readonly balance: number
  readonly created_at_ms: number
  readonly updated_at_ms: number
  readonly state: AccountState
  readonly banned_reason: string | null
  readonly ban_until_ms: number | null
  readonly version: number
  readonly issued_at_ms: number
}

/** Unix ms by the database's clock, when the statement started. */
export const NOW_MS = "CAST(ROUND(UNIX_TIMESTAMP(UTC_TIMESTAMP(3)) * 1000) AS SIGNED)"

/** The state of `u` now. */
export const STATE = `IF(u.state = 'banned' AND u.ban_until_ms <= ${NOW_MS}, 'active', u.state)`

/** What `SELECT` is followed by, for rows of `UserRow`. */
export const COLUMNS = `
  u.id, u.username, w.balance,
  (SELECT GROUP_CONCAT(r.role ORDER BY r.role) FROM role_binding r WHERE r.user_id = u.id) AS roles,
  CAST(ROUND(UNIX_TIMESTAMP(u.created_at) * 1000) AS SIGNED) AS created_at_ms,
  CAST(ROUND(UNIX_TIMESTAMP(u.updated_at) * 1000) AS SIGNED) AS updated_at_ms,
  ${STATE} AS state, u.banned_reason, u.ban_until_ms, u.version,
  GREATEST(${NOW_MS}, u.tokens_not_before_ms) AS issued_at_ms
  FROM user u JOIN wallet w ON w.user_id = u.id`

export const toUser = (row: UserRow): User => ({
  id: row.id,
  username: row.username ?? "",
  roles: row.roles === null ? [] : row.roles.split(","),
  balance: row.balance,
  createdAtMs: row.created_at_ms,
  updatedAtMs: row.updated_at_ms,
  state: row.state,
  bannedReason: row.state === "banned" ? (row.banned_reason ?? "") : undefined,
  banUntilMs: row.state === "banned" ? (row.ban_until_ms ?? undefined) : undefined,
  version: row.version,
})

/** An account as it is now. */
export const find = (sql: SqlClient, id: number): Effect.Effect<User, NotFound | SqlError> =>
  Effect.flatMap(sql<UserRow>`SELECT ${sql.literal(COLUMNS)} WHERE u.id = ${id}`, ([row]) =>
    row === undefined ? Effect.fail(new NotFound()) : Effect.succeed(toUser(row)),
  )

/**
 * Locks an account for the rest of the transaction, then reads it. `change` keeps everybody else out; `use` only those
 * who want to change it. Before any other lock of the account's rows.
 */
export const lock = (
  sql: SqlClient,
  id: number,
  mode: "change" | "use",
): Effect.Effect<LockedUser, NotFound | SqlError> =>
  Effect.gen(function* () {
    yield* sql`SELECT id FROM user WHERE id = ${id}
      ${sql.literal(mode === "change" ? "FOR UPDATE" : "LOCK IN SHARE MODE")}`
    // A statement of its own: its time is from after the wait for the lock.
    const [row] = yield* sql<UserRow>`SELECT ${sql.literal(COLUMNS)} WHERE u.id = ${id}`
    return row === undefined ? yield* new NotFound() : { user: toUser(row), issuedAtMs: row.issued_at_ms }
  })
