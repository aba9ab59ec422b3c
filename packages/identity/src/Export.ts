/** Everything that identity keeps about a user, as one document for that user. */
import type { NotFound } from "@floodgate/contracts/errors/Errors"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { find } from "./store/UserRows.ts"

/** The newest of each kind, so that a document stays below a message's bound (4 MiB). */
const MAX_ROWS = 5_000

const isoOf = (ms: number): string => new Date(ms).toISOString()

export class Export extends Context.Tag("@floodgate/identity/Export")<
  Export,
  {
    /**
     * A JSON document: account, sessions, wallet with its ledger, what was recorded about the account. `complete` is
     * false where a list has only its newest 5,000 entries.
     */
    readonly document: (userId: number) => Effect.Effect<string, NotFound | MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<Export, never, Mysql> = Layer.effect(
    Export,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql
  const ms = (column: string) =>
    sql.literal(`CAST(ROUND(UNIX_TIMESTAMP(${column}) * 1000) AS SIGNED) AS ${column}_ms`)

  return Export.of({
    document: Effect.fn("Export.document")((userId) =>
      mysql.run(
        "Export.document",
        Effect.gen(function* () {
          const user = yield* find(sql, userId)
          const sessions = yield* sql<{
            created_at_ms: number
            expires_at_ms: number
            revoked_at_ms: number | null
          }>`
            SELECT ${ms("created_at")}, ${ms("expires_at")}, ${ms("revoked_at")} FROM refresh_family
            WHERE user_id = ${userId} ORDER BY id DESC LIMIT ${MAX_ROWS}`
          const [wallet] = yield* sql<{ balance: number; currency: string }>`
            SELECT balance, currency FROM wallet WHERE user_id = ${userId}`
          const entries = yield* sql<{
            kind: string
            amount: number
            balance_after: number
            order_num: string | null
            created_at_ms: number
          }>`
            SELECT kind, amount, balance_after, order_num, ${ms("created_at")} FROM wallet_entry
            WHERE user_id = ${userId} ORDER BY id DESC LIMIT ${MAX_ROWS}`
          const trail = yield* sql<{ at_ms: number; action: string; reason: string }>`
            SELECT ${ms("at")}, action, reason FROM audit
            WHERE target_type = 'user' AND target_id = ${String(userId)} ORDER BY id DESC LIMIT ${MAX_ROWS}`
          return JSON.stringify({
            user: {
              id: user.id,
              username: user.username,
              roles: user.roles,
              state: user.state,
              banned_reason: user.bannedReason ?? null,
              ban_until: user.banUntilMs === undefined ? null : isoOf(user.banUntilMs),
              created_at: isoOf(user.createdAtMs),
              updated_at: isoOf(user.updatedAtMs),
            },
            sessions: sessions.map((row) => ({
              created_at: isoOf(row.created_at_ms),
              expires_at: isoOf(row.expires_at_ms),
              ended_at: row.revoked_at_ms === null ? null : isoOf(row.revoked_at_ms),
            })),
            wallet: {
              balance: wallet?.balance ?? 0,
              currency: wallet?.currency ?? "",
              entries: entries.map(({ created_at_ms, ...entry }) => ({
                ...entry,
                created_at: isoOf(created_at_ms),
              })),
            },
            audit: trail.map(({ at_ms, ...row }) => ({ ...row, at: isoOf(at_ms) })),
            complete: [sessions, entries, trail].every((rows) => rows.length < MAX_ROWS),
          })
        }),
      ),
    ),
  })
})
