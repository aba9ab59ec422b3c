/**
 * Revocations of access tokens: for each user, a time before which no token counts. They are numbered in the order of
 * their commits, so whoever has seen a number has seen all before it.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { affected, Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NOW_MS, STATE } from "./UserRows.ts"

export type RevocationReason = "ban" | "unban" | "password" | "roles" | "logout_all" | "erase"

export interface Revocation {
  readonly userId: number
  readonly revision: number
  /** Tokens issued before this are revoked. Unix ms. */
  readonly notBeforeMs: number
  readonly reason: RevocationReason
  /** Every token of the user is refused, whenever it was issued. */
  readonly banned: boolean
  /** When the ban ends by itself. */
  readonly banUntilMs: number | undefined
}

export interface RevocationPage {
  /** What to ask from next. */
  readonly revision: number
  readonly entries: ReadonlyArray<Revocation>
  readonly more: boolean
}

/** Entries of one page. */
const PAGE = 1_000

/** A revoked token lives 15 min at most; what is over is for clocks that disagree. */
const KEEP_MINUTES = 20

interface RevocationRow {
  readonly user_id: number
  readonly revision: number
  readonly not_before_ms: number
  readonly reason: RevocationReason
  readonly banned: number
  readonly ban_until_ms: number | null
}

/**
 * Revokes the access tokens of a user that the transaction holds locked for a change, as the user's row now says.
 * The last thing to do in it: until its end, no other revocation gets a number.
 */
export const revoke = (
  sql: SqlClient,
  userId: number,
  reason: RevocationReason,
): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const now = sql.literal(NOW_MS)
    // One more than now: a token of this very millisecond is revoked, too, and later ones are dated after it.
    yield* sql`UPDATE user SET tokens_not_before_ms = GREATEST(${now}, tokens_not_before_ms) + 1
      WHERE id = ${userId}`
    yield* sql`UPDATE counter SET value = value + 1 WHERE name = 'revocation'`
    yield* sql`REPLACE INTO revocation (user_id, revision, not_before_ms, reason, banned, ban_until_ms, at)
      SELECT u.id, c.value, u.tokens_not_before_ms, ${reason}, ${sql.literal(STATE)} = 'banned', u.ban_until_ms,
        UTC_TIMESTAMP(3)
      FROM user u JOIN counter c ON c.name = 'revocation' WHERE u.id = ${userId}`
  })

export class RevocationStore extends Context.Tag("@floodgate/identity/store/RevocationStore")<
  RevocationStore,
  {
    /** The newest revision. */
    readonly head: Effect.Effect<number, MysqlError>
    /** What came after a revision, oldest first; after one that isn't ours, everything. */
    readonly since: (revision: number) => Effect.Effect<RevocationPage, MysqlError>
    /** Deletes what can't concern a live token any more. Answers how many that were. */
    readonly sweep: Effect.Effect<number, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<RevocationStore, never, Mysql> = Layer.effect(
    RevocationStore,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const head = Effect.map(
    sql<{ value: number }>`SELECT value FROM counter WHERE name = 'revocation'`,
    ([row]) => row?.value ?? 0,
  )

  return RevocationStore.of({
    head: mysql.run("RevocationStore.head", head),

    since: Effect.fn("RevocationStore.since")((asked) =>
      mysql.run(
        "RevocationStore.since",
        Effect.gen(function* () {
          const newest = yield* head
          // A number from before the database was set back says nothing about what is here.
          const from = asked > newest ? 0 : asked
          const rows = yield* sql<RevocationRow>`
            SELECT user_id, revision, not_before_ms, reason, banned, ban_until_ms FROM revocation
            WHERE revision > ${from} ORDER BY revision LIMIT ${PAGE}`
          const last = rows.at(-1)?.revision ?? newest
          const more = rows.length === PAGE
          return {
            revision: more ? last : Math.max(last, newest),
            more,
            entries: rows.map((row) => ({
              userId: row.user_id,
              revision: row.revision,
              notBeforeMs: row.not_before_ms,
              reason: row.reason,
              banned: row.banned === 1,
              banUntilMs: row.ban_until_ms ?? undefined,
            })),
          }
        }),
      ),
    ),

    sweep: Effect.map(
      mysql.run(
        "RevocationStore.sweep",
        affected(sql`DELETE FROM revocation
          WHERE at < UTC_TIMESTAMP(3) - INTERVAL ${sql.literal(String(KEEP_MINUTES))} MINUTE LIMIT 10000`),
      ),
      ({ affectedRows }) => affectedRows,
    ).pipe(Effect.withSpan("RevocationStore.sweep")),
  })
})
