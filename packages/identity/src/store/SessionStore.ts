/** Refresh tokens in MySQL: by hash only, in families that end together. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { NotFound } from "@floodgate/contracts/errors/Errors"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { maySignIn } from "../domain/AccountState.ts"
import { LIFETIME_DAYS, type RotationOutcome, rotationOf } from "../domain/RefreshRotation.ts"
import { revoke } from "./RevocationStore.ts"
import { type LockedUser, lock } from "./UserRows.ts"

/** How many sessions an account has at most: one more ends the oldest. */
export const MAX_SESSIONS = 20

/** How many expired rows one statement deletes: short locks. */
const SWEEP_BATCH = 1_000

interface TokenRow {
  readonly expired: number
  readonly used_ago_ms: number | null
  readonly successor_hash: Buffer | null
  readonly successor_used: number | null
}

/** What became of a login whose password was right. */
export type Begun =
  | ({ readonly outcome: "begun" } & LockedUser)
  | { readonly outcome: "banned" }
  /** The password was changed, or the account erased, while it was being verified. */
  | { readonly outcome: "outdated" }

/** What became of a refresh. */
export type Used =
  | ({ readonly outcome: "rotate" | "repeat" } & LockedUser)
  | { readonly outcome: "banned"; readonly userId: number }
  | { readonly outcome: "refuse" }
  | { readonly outcome: "revoke_family"; readonly userId: number }

/** Ends every session of a user that the transaction holds locked for a change. */
export const endSessions = (sql: SqlClient, userId: number): Effect.Effect<unknown, SqlError> => sql`
  UPDATE refresh_family SET revoked_at = UTC_TIMESTAMP(3) WHERE user_id = ${userId} AND revoked_at IS NULL`

/** Removes every trace of the sessions of a user that the transaction holds locked for a change. */
export const forgetSessions = (sql: SqlClient, userId: number): Effect.Effect<unknown, SqlError> =>
  Effect.zipRight(
    sql`DELETE t FROM refresh_token t JOIN refresh_family f ON f.id = t.family_id WHERE f.user_id = ${userId}`,
    sql`DELETE FROM refresh_family WHERE user_id = ${userId}`,
  )

export class SessionStore extends Context.Tag("@floodgate/identity/store/SessionStore")<
  SessionStore,
  {
    /**
     * Starts a family with its first token, for an account that may sign in and whose password's hash is still the one
     * that was verified. One family above `MAX_SESSIONS` ends the oldest.
     */
    readonly begin: (
      userId: number,
      passwordHash: string,
      tokenHash: Buffer,
    ) => Effect.Effect<Begun, MysqlError>
    /**
     * Uses a token whose successor is given: spends it, repeats its successor, or refuses it, as `rotationOf` says,
     * and ends the family where that says so. "refuse" also for an unknown token; "banned" for any token of a banned
     * account.
     */
    readonly use: (tokenHash: Buffer, successorHash: Buffer) => Effect.Effect<Used, MysqlError>
    /** Ends the family of a token, if there is one. */
    readonly end: (tokenHash: Buffer) => Effect.Effect<void, MysqlError>
    /** Ends every session of a user, and revokes the access tokens. */
    readonly endAll: (userId: number) => Effect.Effect<void, NotFound | MysqlError>
    /** Deletes what has expired. Answers how many tokens that were. */
    readonly sweep: Effect.Effect<number, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<SessionStore, never, Mysql> = Layer.effect(
    SessionStore,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql
  const expiry = sql.literal(`UTC_TIMESTAMP(3) + INTERVAL ${LIFETIME_DAYS} DAY`)

  const end = (familyId: number) => sql`
    UPDATE refresh_family SET revoked_at = UTC_TIMESTAMP(3) WHERE id = ${familyId} AND revoked_at IS NULL`

  const familyOf = (tokenHash: Buffer) =>
    Effect.map(
      sql<{ family_id: number }>`SELECT family_id FROM refresh_token WHERE token_hash = ${tokenHash}`,
      ([row]) => row?.family_id,
    )

  const deleteAll = (statement: Effect.Effect<number, MysqlError>): Effect.Effect<number, MysqlError> =>
    Effect.flatMap(statement, (deleted) =>
      deleted < SWEEP_BATCH
        ? Effect.succeed(deleted)
        : Effect.map(deleteAll(statement), (more) => deleted + more),
    )

  const deleteExpired = (table: "refresh_token" | "refresh_family") =>
    deleteAll(
      Effect.map(
        mysql.run(
          "SessionStore.sweep",
          affected(sql`DELETE FROM ${sql(table)} WHERE expires_at <= UTC_TIMESTAMP(3) LIMIT ${SWEEP_BATCH}`),
        ),
        ({ affectedRows }) => affectedRows,
      ),
    )

  return SessionStore.of({
    begin: Effect.fn("SessionStore.begin")((userId, passwordHash, tokenHash) =>
      mysql
        .transaction(
          "SessionStore.begin",
          Effect.gen(function* (): Effect.fn.Return<Begun, SqlError | NotFound> {
            const locked = yield* lock(sql, userId, "change")
            if (locked.user.state === "banned") return { outcome: "banned" }
            const same = yield* sql`SELECT 1 FROM credential
              WHERE user_id = ${userId} AND password_hash = ${passwordHash}`
            if (same.length === 0 || !maySignIn(locked.user.state)) return { outcome: "outdated" }
            const { insertId } = yield* affected(
              sql`INSERT INTO refresh_family (user_id, expires_at) VALUES (${userId}, ${expiry})`,
            )
            yield* sql`INSERT INTO refresh_token (token_hash, family_id, expires_at)
              VALUES (${tokenHash}, ${insertId}, ${expiry})`
            const [oldest] = yield* sql<{ id: number }>`SELECT id FROM refresh_family
              WHERE user_id = ${userId} AND revoked_at IS NULL AND expires_at > UTC_TIMESTAMP(3)
              ORDER BY id DESC LIMIT 1 OFFSET ${MAX_SESSIONS}`
            if (oldest !== undefined) {
              yield* sql`UPDATE refresh_family SET revoked_at = UTC_TIMESTAMP(3)
                WHERE user_id = ${userId} AND revoked_at IS NULL AND id <= ${oldest.id}`
            }
            return { outcome: "begun", ...locked }
          }),
        )
        .pipe(
          retryConflicts,
          Effect.catchTag("NotFound", () => Effect.succeed<Begun>({ outcome: "outdated" })),
        ),
    ),

    use: Effect.fn("SessionStore.use")((tokenHash, successorHash) =>
      mysql
        .transaction(
          "SessionStore.use",
          Effect.gen(function* (): Effect.fn.Return<Used, SqlError | NotFound> {
            const refused = { outcome: "refuse" } as const
            const familyId = yield* familyOf(tokenHash)
            if (familyId === undefined) return refused
            const [owner] = yield* sql<{ user_id: number }>`
              SELECT user_id FROM refresh_family WHERE id = ${familyId}`
            if (owner === undefined) return refused
            // The account before its sessions, as everywhere: whoever revokes comes before all of this, or after it.
            const locked = yield* lock(sql, owner.user_id, "use")
            if (locked.user.state === "banned") return { outcome: "banned", userId: owner.user_id }
            const [family] = yield* sql<{ user_id: number; revoked: number }>`
              SELECT user_id, revoked_at IS NOT NULL AS revoked FROM refresh_family
              WHERE id = ${familyId} FOR UPDATE`
            // Read after the lock: what a parallel refresh has done is seen here.
            const [token] = yield* sql<TokenRow>`
              SELECT t.expires_at <= UTC_TIMESTAMP(3) AS expired,
                TIMESTAMPDIFF(MICROSECOND, t.used_at, UTC_TIMESTAMP(3)) DIV 1000 AS used_ago_ms,
                t.successor_hash, s.used_at IS NOT NULL AS successor_used
              FROM refresh_token t LEFT JOIN refresh_token s ON s.token_hash = t.successor_hash
              WHERE t.token_hash = ${tokenHash}`
            if (family === undefined || token === undefined) return refused
            const outcome: RotationOutcome = rotationOf({
              revoked: family.revoked === 1,
              expired: token.expired === 1,
              usedAgoMs: token.used_ago_ms ?? undefined,
              successorUsed: token.successor_used === 1,
            })
            switch (outcome) {
              case "rotate":
                yield* sql`INSERT INTO refresh_token (token_hash, family_id, expires_at)
                  VALUES (${successorHash}, ${familyId}, ${expiry})`
                yield* sql`UPDATE refresh_token
                  SET used_at = UTC_TIMESTAMP(3), successor_hash = ${successorHash} WHERE token_hash = ${tokenHash}`
                yield* sql`UPDATE refresh_family SET expires_at = ${expiry} WHERE id = ${familyId}`
                break
              case "repeat":
                // Made under another REFRESH_TOKEN_KEY: it can't be computed again, and nobody is to blame.
                if (token.successor_hash?.equals(successorHash) !== true) return refused
                break
              case "revoke_family":
                yield* end(familyId)
                return { outcome, userId: family.user_id }
              case "refuse":
                return refused
            }
            return { outcome, ...locked }
          }),
        )
        .pipe(
          retryConflicts,
          Effect.catchTag("NotFound", () => Effect.succeed<Used>({ outcome: "refuse" })),
        ),
    ),

    end: Effect.fn("SessionStore.end")((tokenHash) =>
      mysql.run(
        "SessionStore.end",
        Effect.flatMap(familyOf(tokenHash), (familyId) =>
          familyId === undefined ? Effect.void : Effect.asVoid(end(familyId)),
        ),
      ),
    ),

    endAll: Effect.fn("SessionStore.endAll")((userId) =>
      mysql
        .transaction(
          "SessionStore.endAll",
          Effect.gen(function* () {
            yield* lock(sql, userId, "change")
            yield* endSessions(sql, userId)
            yield* revoke(sql, userId, "logout_all")
          }),
        )
        .pipe(retryConflicts),
    ),

    sweep: Effect.gen(function* () {
      const tokens = yield* deleteExpired("refresh_token")
      yield* deleteExpired("refresh_family")
      return tokens
    }).pipe(Effect.withSpan("SessionStore.sweep")),
  })
})
