/** The first answers to idempotency keys, in the edge's own database: shared by all edges. */
import { randomUUID } from "node:crypto"
import { type Busy, IdempotencyMismatch, InFlight } from "@floodgate/contracts/errors/Errors"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"

/** An answer as it is stored and sent again. */
export interface StoredAnswer {
  readonly status: number
  readonly contentType: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type Claim =
  /** The request is ours to handle; the answer is stored, or the key let go, under this attempt. */
  | { readonly _tag: "Claimed"; readonly attempt: string }
  | { readonly _tag: "Answered"; readonly answer: StoredAnswer }

/** How long an attempt may be at work (ms): a handler's 5 s, its reads and writes here, and something for a slow clock. */
export const LEASE_MS = 30_000

interface Row {
  readonly body_hash: string
  readonly status: number | null
  readonly content_type: string | null
  readonly headers_json: string | null
  readonly body: string | null
}

export class KeyStore extends Context.Tag("@floodgate/edge/idempotency/KeyStore")<
  KeyStore,
  {
    /**
     * Takes the key, or tells what was answered to it. Fails with InFlight while another request holds it, with
     * IdempotencyMismatch where it came with another body, with Busy where the database can't be asked.
     */
    readonly claim: (
      id: string,
      bodyHash: string,
    ) => Effect.Effect<Claim, InFlight | IdempotencyMismatch | Busy>
    /** Stores the answer of an attempt that still holds the key. */
    readonly store: (id: string, attempt: string, answer: StoredAnswer) => Effect.Effect<void, Busy>
    /** Lets go of a key whose answer isn't to be kept. */
    readonly release: (id: string, attempt: string) => Effect.Effect<void, Busy>
  }
>() {}

const answerOf = (row: Row): StoredAnswer => ({
  status: row.status!,
  contentType: row.content_type ?? "",
  headers: JSON.parse(row.headers_json ?? "{}") as Record<string, string>,
  body: row.body ?? "",
})

export const make = Effect.gen(function* () {
  const mysql = yield* Mysql.Mysql
  const { sql } = mysql

  /** Inserts the row, or takes the place of one that is too old or was left in flight: 0 rows where neither. */
  const take = (id: string, bodyHash: string, attempt: string) =>
    mysql.transaction(
      "idempotency.claim",
      Effect.gen(function* () {
        yield* sql`DELETE FROM idempotency WHERE id = ${id} AND (
          created_at < UTC_TIMESTAMP(3) - INTERVAL 24 HOUR
          OR (status IS NULL AND lease_until < UTC_TIMESTAMP(3) AND body_hash = ${bodyHash}))`
        yield* sql`INSERT INTO idempotency (id, body_hash, attempt, lease_until, created_at)
          VALUES (${id}, ${bodyHash}, ${attempt},
            UTC_TIMESTAMP(3) + INTERVAL ${LEASE_MS * 1_000} MICROSECOND, UTC_TIMESTAMP(3))`
      }),
    )

  const read = (id: string) =>
    Effect.map(
      mysql.run(
        "idempotency.read",
        sql<Row>`SELECT body_hash, status, content_type, headers_json, body FROM idempotency WHERE id = ${id}`,
      ),
      (rows) => rows[0],
    )

  const claim = Effect.fn("KeyStore.claim")(
    function* (id: string, bodyHash: string) {
      const attempt = randomUUID()
      const taken = yield* Mysql.retryConflicts(take(id, bodyHash, attempt)).pipe(
        Effect.as(true),
        Effect.catchTag("MysqlDuplicateKey", () => Effect.succeed(false)),
      )
      if (taken) return { _tag: "Claimed", attempt } as const
      const row = yield* read(id)
      // Gone between the two: whoever had it let go of it this moment.
      if (row === undefined) return yield* new InFlight({})
      if (row.body_hash !== bodyHash) return yield* new IdempotencyMismatch({})
      if (row.status === null) return yield* new InFlight({})
      return { _tag: "Answered", answer: answerOf(row) } as const
    },
    (self) => orBusy(self),
  )

  const sweep = mysql
    .run(
      "idempotency.sweep",
      sql`DELETE FROM idempotency WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 24 HOUR LIMIT 1000`,
    )
    .pipe(
      Effect.catchAll((error) => Effect.logWarning("expired idempotency keys weren't deleted", error)),
      Effect.withTracerEnabled(false),
    )

  yield* Effect.forkScoped(Effect.repeat(sweep, Schedule.jittered(Schedule.spaced("1 minute"))))

  return KeyStore.of({
    claim,
    store: Effect.fn("KeyStore.store")(
      function* (id: string, attempt: string, answer: StoredAnswer) {
        yield* mysql.run(
          "idempotency.store",
          sql`UPDATE idempotency SET status = ${answer.status}, content_type = ${answer.contentType},
              headers_json = ${JSON.stringify(answer.headers)}, body = ${answer.body}
            WHERE id = ${id} AND attempt = ${attempt}`,
        )
      },
      (self) => orBusy(self),
    ),
    release: Effect.fn("KeyStore.release")(
      function* (id: string, attempt: string) {
        yield* mysql.run(
          "idempotency.release",
          sql`DELETE FROM idempotency WHERE id = ${id} AND attempt = ${attempt} AND status IS NULL`,
        )
      },
      (self) => orBusy(self),
    ),
  })
})

export const layer = Layer.scoped(KeyStore, make)
