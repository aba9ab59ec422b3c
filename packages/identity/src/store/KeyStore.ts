/** Signing keys in MySQL: private keys sealed, times by the database's clock. */
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type RingKey, signer, waiting } from "../domain/KeyRing.ts"
import type { Sealed } from "../SealedKeys.ts"
import { NOW_MS } from "./UserRows.ts"

/** A key as it is stored. */
export interface StoredKey extends RingKey {
  readonly createdAtMs: number
  /** RFC 7517, public members only. */
  readonly publicJwk: string
  readonly sealed: Sealed
}

/** A key that isn't stored yet. */
export interface NewKey {
  readonly kid: string
  readonly publicJwk: string
  readonly sealed: Sealed
}

export interface KeyRotation {
  readonly actorId: number
  readonly reason: string
  /** Makes one change, however often it is asked for; none where it is empty. */
  readonly requestId: string
}

interface KeyRow {
  readonly kid: string
  readonly created_at_ms: number
  readonly signs_from_ms: number
  readonly public_jwk: string
  readonly kek_id: string
  readonly sealed_private_jwk: Buffer
}

const toKey = (row: KeyRow): StoredKey => ({
  kid: row.kid,
  createdAtMs: row.created_at_ms,
  signsFromMs: row.signs_from_ms,
  publicJwk: row.public_jwk,
  sealed: { kekId: row.kek_id, bytes: row.sealed_private_jwk },
})

export class KeyStore extends Context.Tag("@floodgate/identity/store/KeyStore")<
  KeyStore,
  {
    /** All keys, and the database's time. */
    readonly load: Effect.Effect<
      { readonly keys: ReadonlyArray<StoredKey>; readonly nowMs: number },
      MysqlError
    >
    /** Stores these where there are no keys at all. They sign from the times given. */
    readonly begin: (
      keys: ReadonlyArray<NewKey & { readonly createdAtMs: number; readonly signsFromMs: number }>,
    ) => Effect.Effect<void, MysqlError>
    /**
     * Stores a new key that signs `aheadMs` from now, and answers it. While one waits to sign, or where this request
     * was served before, nothing is stored, and the newest is answered.
     */
    readonly rotate: (
      key: NewKey,
      aheadMs: number,
      rotation: KeyRotation,
    ) => Effect.Effect<StoredKey, MysqlError>
    readonly remove: (kids: ReadonlyArray<string>) => Effect.Effect<number, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<KeyStore, never, Mysql> = Layer.effect(
    KeyStore,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const now = Effect.map(
    sql<{ now_ms: number }>`SELECT ${sql.literal(NOW_MS)} AS now_ms`,
    ([row]) => row!.now_ms,
  )

  const all = Effect.map(
    sql<KeyRow>`
      SELECT kid, CAST(ROUND(UNIX_TIMESTAMP(created_at) * 1000) AS SIGNED) AS created_at_ms,
        CAST(ROUND(UNIX_TIMESTAMP(signs_from) * 1000) AS SIGNED) AS signs_from_ms,
        public_jwk, kek_id, sealed_private_jwk
      FROM signing_key ORDER BY signs_from`,
    (rows) => rows.map(toKey),
  )

  const insert = (key: NewKey, createdAtMs: number, signsFromMs: number) =>
    sql`INSERT INTO signing_key (kid, created_at, signs_from, public_jwk, kek_id, sealed_private_jwk)
      VALUES (${key.kid}, FROM_UNIXTIME(${createdAtMs} / 1000), FROM_UNIXTIME(${signsFromMs} / 1000),
        ${key.publicJwk}, ${key.sealed.kekId}, ${key.sealed.bytes})`

  /** One instance at a time adds keys. */
  const alone = sql`SELECT value FROM counter WHERE name = 'signing_key' FOR UPDATE`

  return KeyStore.of({
    load: mysql.run(
      "KeyStore.load",
      Effect.map(Effect.zip(all, now), ([keys, nowMs]) => ({ keys, nowMs })),
    ),

    begin: Effect.fn("KeyStore.begin")((keys) =>
      mysql
        .transaction(
          "KeyStore.begin",
          Effect.gen(function* () {
            yield* alone
            if ((yield* all).length > 0) return
            for (const key of keys) yield* insert(key, key.createdAtMs, key.signsFromMs)
          }),
        )
        .pipe(retryConflicts),
    ),

    rotate: Effect.fn("KeyStore.rotate")((key, aheadMs, { actorId, reason, requestId }) =>
      mysql
        .transaction(
          "KeyStore.rotate",
          Effect.gen(function* () {
            yield* alone
            const nowMs = yield* now
            const keys = yield* all
            const there = waiting(keys, nowMs)
            if (there !== undefined) return there
            if (yield* Audit.isRecorded("key.rotate", requestId)) return keys.at(-1)!
            yield* insert(key, nowMs, nowMs + aheadMs)
            yield* sql`UPDATE counter SET value = value + 1 WHERE name = 'signing_key'`
            yield* Audit.append([
              {
                actorId,
                action: "key.rotate",
                targetType: "key",
                targetId: key.kid,
                before: { kid: signer(keys, nowMs)?.kid ?? null },
                after: { kid: key.kid, signs_from_ms: nowMs + aheadMs },
                reason,
                requestId,
              },
            ])
            return { ...key, createdAtMs: nowMs, signsFromMs: nowMs + aheadMs }
          }).pipe(Effect.provideService(Mysql, mysql)),
        )
        .pipe(retryConflicts),
    ),

    remove: Effect.fn("KeyStore.remove")((kids) =>
      kids.length === 0
        ? Effect.succeed(0)
        : Effect.map(
            mysql.run("KeyStore.remove", affected(sql`DELETE FROM signing_key WHERE ${sql.in("kid", kids)}`)),
            ({ affectedRows }) => affectedRows,
          ),
    ),
  })
})
