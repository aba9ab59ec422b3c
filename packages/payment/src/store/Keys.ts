/**
 * Idempotency keys: a row in the transaction of the effect that it stands for, good for 24 hours. `subject` is what the
 * first request made: a payment, a refund, an endpoint.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { IdempotencyMismatch, InFlight } from "@floodgate/contracts/errors/Errors"
import * as Effect from "effect/Effect"

export interface Key {
  /** Whose, and for what: the key of another is another key. ≤ 96 characters. */
  readonly scope: string
  /** SHA-256, hex. */
  readonly keyHash: string
  /** SHA-256 of the canonical body, hex. */
  readonly bodyHash: string
}

/** How long a key counts as in flight when its request never finished (the process died). Seconds. */
const IN_FLIGHT_S = 10

export const make = (sql: SqlClient) => {
  const fresh = sql.literal("created_at > UTC_TIMESTAMP(3) - INTERVAL 1 DAY")

  /**
   * What this key stands for; undefined where it is new. Fails with IdempotencyMismatch for another body, with InFlight
   * while the first request is at work.
   */
  const seen = Effect.fnUntraced(function* (key: Key, lock: "" | "FOR UPDATE" = "") {
    const rows = yield* sql<{ body_hash: string; subject: string; in_flight: number }>`
      SELECT body_hash, payment_id AS subject,
        answered_at IS NULL AND created_at > UTC_TIMESTAMP(3) - INTERVAL ${IN_FLIGHT_S} SECOND AS in_flight
      FROM idempotency WHERE scope = ${key.scope} AND key_hash = ${key.keyHash} AND ${fresh} ${sql.literal(lock)}`
    const row = rows[0]
    if (row === undefined) return undefined
    if (row.body_hash !== key.bodyHash) return yield* new IdempotencyMismatch()
    if (row.in_flight) return yield* new InFlight({ id: row.subject })
    return row.subject
  })

  /** As `seen`, for a request that may answer what one still at work has made. */
  const seenAtWork = Effect.fnUntraced(function* (key: Key) {
    const rows = yield* sql<{ body_hash: string; subject: string }>`
      SELECT body_hash, payment_id AS subject FROM idempotency
      WHERE scope = ${key.scope} AND key_hash = ${key.keyHash} AND ${fresh}`
    const row = rows[0]
    if (row === undefined) return undefined
    return row.body_hash === key.bodyHash ? row.subject : yield* new IdempotencyMismatch()
  })

  const row = (key: Key, subject: string) =>
    sql.insert({ scope: key.scope, key_hash: key.keyHash, body_hash: key.bodyHash, payment_id: subject })

  /** Under a lock that all requests of the scope share. */
  const remember = (key: Key, subject: string) => sql`REPLACE INTO idempotency ${row(key, subject)}`

  /** Where nothing else is shared: the second of two at once fails with a duplicate key, and finds the first when redone. */
  const rememberFirst = (key: Key, subject: string) =>
    sql`DELETE FROM idempotency WHERE scope = ${key.scope} AND key_hash = ${key.keyHash} AND NOT (${fresh})`.pipe(
      Effect.zipRight(sql`INSERT INTO idempotency ${row(key, subject)}`),
    )

  /** The request with this key has been answered: from now on it is replayed. */
  const answered = (key: Key) =>
    sql`UPDATE idempotency SET answered_at = UTC_TIMESTAMP(3)
      WHERE scope = ${key.scope} AND key_hash = ${key.keyHash} AND answered_at IS NULL`

  return { seen, seenAtWork, remember, rememberFirst, answered } as const
}
