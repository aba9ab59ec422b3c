/** Refresh tokens in MySQL: by hash only, in families that end together. */
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LIFETIME_DAYS, type RotationOutcome, rotationOf } from "../domain/RefreshRotation.ts"

/** How many expired rows one statement deletes: short locks. */
const SWEEP_BATCH = 1_000

interface TokenRow {
  readonly expired: number
  readonly used_ago_ms: number | null
  readonly successor_hash: Buffer | null
  readonly successor_used: number | null
}

export class SessionStore extends Context.Tag("@floodgate/identity/store/SessionStore")<
  SessionStore,
  {
    /** Starts a family with its first token. */
    readonly begin: (userId: number, tokenHash: Buffer) => Effect.Effect<void, MysqlError>
    /**
     * Uses a token whose successor is given: spends it, repeats its successor, or refuses it, as `rotationOf` says,
     * and ends the family where that says so. "refuse" also for an unknown token.
     */
    readonly use: (
      tokenHash: Buffer,
      successorHash: Buffer,
    ) => Effect.Effect<{ readonly outcome: RotationOutcome; readonly userId: number }, MysqlError>
    /** Ends the family of a token, if there is one. */
    readonly end: (tokenHash: Buffer) => Effect.Effect<void, MysqlError>
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

  const revoke = (familyId: number) => sql`
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
    begin: Effect.fn("SessionStore.begin")((userId, tokenHash) =>
      mysql.transaction(
        "SessionStore.begin",
        Effect.gen(function* () {
          const { insertId } = yield* affected(
            sql`INSERT INTO refresh_family (user_id, expires_at) VALUES (${userId}, ${expiry})`,
          )
          yield* sql`INSERT INTO refresh_token (token_hash, family_id, expires_at)
            VALUES (${tokenHash}, ${insertId}, ${expiry})`
        }),
      ),
    ),

    use: Effect.fn("SessionStore.use")((tokenHash, successorHash) =>
      mysql
        .transaction(
          "SessionStore.use",
          Effect.gen(function* () {
            const refused = { outcome: "refuse", userId: 0 } as const
            const familyId = yield* familyOf(tokenHash)
            if (familyId === undefined) return refused
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
            const outcome = rotationOf({
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
                yield* revoke(familyId)
                break
              case "refuse":
                break
            }
            return { outcome, userId: family.user_id }
          }),
        )
        .pipe(retryConflicts),
    ),

    end: Effect.fn("SessionStore.end")((tokenHash) =>
      mysql.run(
        "SessionStore.end",
        Effect.flatMap(familyOf(tokenHash), (familyId) =>
          familyId === undefined ? Effect.void : Effect.asVoid(revoke(familyId)),
        ),
      ),
    ),

    sweep: Effect.gen(function* () {
      const tokens = yield* deleteExpired("refresh_token")
      yield* deleteExpired("refresh_family")
      return tokens
    }).pipe(Effect.withSpan("SessionStore.sweep")),
  })
})
