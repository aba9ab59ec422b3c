/** Messages that failed by themselves, kept where an operator finds them, until they are replayed or discarded. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type DeadLetterState, type Settlement, settled } from "../domain/DeadLetterState.ts"
import * as Sql from "./Sql.ts"

export interface DeadLetter {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly key: string
  readonly payload: Uint8Array
  /** Why it can't be applied. */
  readonly reason: string
  /** How often it was tried so far. */
  readonly attempts: number
  /** The number that it names, where one can be read. */
  readonly claimedNum: string | undefined
  /** That number where it was really issued to the buyer it names. */
  readonly orderNum: string | undefined
  /** Copies with the same `orderNum` are one letter. Not for what may be a forged copy: it must not hide the real one. */
  readonly oneForNumber: boolean
}

/** A letter as it is read. Times are Unix ms by MySQL's clock. */
export interface StoredLetter {
  readonly id: number
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly key: string
  readonly order_num: string | null
  readonly claimed_num: string | null
  readonly reason: string
  readonly attempts: number
  /** As much of it as was asked for. */
  readonly payload: Buffer
  readonly payload_bytes: number
  readonly state: DeadLetterState
  readonly first_at_ms: number
  readonly last_at_ms: number
  readonly settled_at_ms: number | null
  readonly settled_by: number | null
  readonly settled_reason: string | null
}

export interface LetterListing {
  readonly state?: DeadLetterState | undefined
  readonly topic?: string | undefined
  /** The number that the letter names. */
  readonly orderNum?: string | undefined
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  /** Only ids below this one. */
  readonly beforeId?: number | undefined
  readonly limit: number
  /** How many bytes of each payload. */
  readonly payloadBytes: number
}

export interface Wish {
  readonly id: number
  readonly by: Settlement
  /** `Audit.SYSTEM` where nobody asked. */
  readonly actorId: number
  readonly reason: string
  /** The same wish again finds itself done. Empty: there is no other like it. */
  readonly requestId: string
  /** Only a letter that has been open for this long, by MySQL's clock. */
  readonly openForMs?: number | undefined
}

/** Fails with MysqlUnavailable or MysqlConflict. */
export class DeadLetterStore extends Context.Tag("@floodgate/ordering/store/DeadLetterStore")<
  DeadLetterStore,
  {
    /**
     * Durable when it succeeds, so the caller may let go of the message. A copy of a known letter counts as one more
     * attempt.
     */
    readonly put: (letter: DeadLetter) => Effect.Effect<void, MysqlError>
    readonly find: (id: number, payloadBytes: number) => Effect.Effect<StoredLetter | undefined, MysqlError>
    /** Newest first. */
    readonly list: (listing: LetterListing) => Effect.Effect<ReadonlyArray<StoredLetter>, MysqlError>
    /** Of these numbers, those that letters name: `open` where one of them is, else `settled`. */
    readonly named: (
      orderNums: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyMap<string, "open" | "settled">, MysqlError>
    /** Open letters of a topic, by id, whose time is over. */
    readonly overdue: (
      topic: string,
      openForMs: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<number>, MysqlError>
    /** Counts a try that failed, of a letter that is still open. */
    readonly triedAgain: (id: number, reason: string) => Effect.Effect<void, MysqlError>
    /**
     * Settles a letter in one transaction with what it comes to: compare-and-set from `open`, then `effect` (whose
     * answer goes to the audit trail), then the audit row. Two at once, or a replay beside a discard: one wins. Where
     * `effect` fails nothing has happened. Locks the letter before anything else.
     */
    readonly settle: <E, R>(
      wish: Wish,
      effect: Effect.Effect<Readonly<Record<string, unknown>>, E, R>,
    ) => Effect.Effect<"done" | "done before" | "not open", E | MysqlError, R>
  }
>() {}

const MAX_REASON = 500
const MAX_KEY = 255
const NUMBER = /^[0-9A-Za-z]{1,40}$/
const MAX_OFFSET = 40

const columns = `d.id, d.topic, d.partition_no AS \`partition\`, d.msg_offset AS \`offset\`, d.msg_key AS \`key\`,
  d.order_num, d.claimed_num, d.reason, d.attempts, LENGTH(d.payload) AS payload_bytes, d.state,
  ${Sql.toMs("d.first_at")} AS first_at_ms, ${Sql.toMs("d.last_at")} AS last_at_ms,
  ${Sql.toMs("d.settled_at")} AS settled_at_ms, d.settled_by, d.settled_reason`

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const sql: SqlClient = mysql.sql
  const letterColumns = sql.literal(columns)
  const number = (text: string | undefined): string | null =>
    text !== undefined && NUMBER.test(text) ? text : null

  return DeadLetterStore.of({
    put: (letter) => {
      const orderNum = number(letter.orderNum)
      const dedupKey =
        orderNum === null || !letter.oneForNumber
          ? `${letter.topic}:${letter.partition}:${letter.offset}`
          : `${letter.topic}:${orderNum}`
      return mysql.run(
        "dead_letter.put",
        Effect.asVoid(sql`
          INSERT INTO dead_letter (topic, partition_no, msg_offset, msg_key, dedup_key, order_num, claimed_num, reason,
            attempts, payload, state, first_at, last_at)
          VALUES (${letter.topic}, ${letter.partition}, ${letter.offset.slice(0, MAX_OFFSET)},
            ${letter.key.slice(0, MAX_KEY)}, ${dedupKey}, ${orderNum}, ${number(letter.claimedNum)},
            ${letter.reason.slice(0, MAX_REASON)}, ${letter.attempts}, ${Buffer.from(letter.payload)}, 'open',
            UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))
          ON DUPLICATE KEY UPDATE attempts = attempts + 1, last_at = UTC_TIMESTAMP(3)`),
      )
    },

    find: (id, payloadBytes) =>
      mysql.run(
        "dead_letter.find",
        Effect.map(
          sql<StoredLetter>`
            SELECT ${letterColumns}, SUBSTRING(d.payload, 1, ${payloadBytes}) AS payload
            FROM dead_letter d WHERE d.id = ${id}`,
          (rows) => rows[0],
        ),
      ),

    list: ({ beforeId, fromMs, limit, orderNum, payloadBytes, state, toMs, topic }) =>
      mysql.run(
        "dead_letter.list",
        Effect.gen(function* () {
          const span = yield* Sql.idSpan(sql, {
            table: "dead_letter",
            column: "first_at",
            index: "by_time",
            fromMs,
            toMs,
          })
          if (span === undefined) return []
          const filters = [
            ...Sql.within(sql, "d.id", span, beforeId),
            ...Sql.between(sql, "d.first_at", fromMs, toMs),
          ]
          if (state !== undefined) filters.push(sql`d.state = ${state}`)
          if (topic !== undefined) filters.push(sql`d.topic = ${topic}`)
          if (orderNum !== undefined) filters.push(sql`d.claimed_num = ${orderNum}`)
          const index = sql.literal(
            orderNum !== undefined ? "by_claimed" : state !== undefined ? "by_state" : "PRIMARY",
          )
          return yield* sql<StoredLetter>`
            SELECT ${letterColumns}, SUBSTRING(d.payload, 1, ${payloadBytes}) AS payload
            FROM dead_letter d FORCE INDEX (${index})
            WHERE ${sql.and(filters)} ORDER BY d.id DESC LIMIT ${sql.literal(String(limit))}`
        }),
      ),

    named: (orderNums) =>
      mysql.run(
        "dead_letter.named",
        Effect.map(
          sql<{ claimed_num: string; state: DeadLetterState }>`
            SELECT STRAIGHT_JOIN d.claimed_num, d.state
            FROM JSON_TABLE(${JSON.stringify(orderNums)}, '$[*]' COLUMNS (
              order_num VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PATH '$')) j
            JOIN dead_letter d FORCE INDEX (by_claimed) ON d.claimed_num = j.order_num`,
          (rows) => {
            const named = new Map<string, "open" | "settled">()
            for (const { claimed_num, state } of rows) {
              if (state === "open") named.set(claimed_num, "open")
              else if (!named.has(claimed_num)) named.set(claimed_num, "settled")
            }
            return named
          },
        ),
      ),

    overdue: (topic, openForMs, limit) =>
      mysql.run(
        "dead_letter.overdue",
        Effect.map(
          sql<{ id: number }>`
            SELECT d.id FROM dead_letter d FORCE INDEX (by_first)
            WHERE d.state = 'open' AND d.topic = ${topic}
              AND d.first_at <= UTC_TIMESTAMP(3) - INTERVAL ${openForMs * 1000} MICROSECOND
            ORDER BY d.first_at LIMIT ${sql.literal(String(limit))}`,
          (rows) => rows.map(({ id }) => id),
        ),
      ),

    triedAgain: (id, reason) =>
      mysql.run(
        "dead_letter.tried_again",
        Effect.asVoid(sql`
          UPDATE dead_letter SET attempts = attempts + 1, last_at = UTC_TIMESTAMP(3),
            reason = ${reason.slice(0, MAX_REASON)}
          WHERE id = ${id} AND state = 'open'`),
      ),

    settle: (wish, effect) =>
      mysql.transaction(
        `dead_letter.${wish.by}`,
        Effect.gen(function* () {
          const action = `dead_letter.${wish.by}`
          const overdue =
            wish.openForMs === undefined
              ? sql.literal("TRUE")
              : sql`first_at <= UTC_TIMESTAMP(3) - INTERVAL ${wish.openForMs * 1000} MICROSECOND`
          const moved = yield* affected(sql`
            UPDATE dead_letter SET state = ${settled[wish.by]}, settled_at = UTC_TIMESTAMP(3),
              settled_by = ${wish.actorId}, settled_reason = ${wish.reason.slice(0, MAX_REASON)}
            WHERE id = ${wish.id} AND state = 'open' AND ${overdue}`)
          if (moved.affectedRows !== 1) {
            const repeated = yield* Effect.provideService(
              Audit.isRecorded(action, wish.requestId),
              Mysql,
              mysql,
            )
            return repeated ? ("done before" as const) : ("not open" as const)
          }
          const after = yield* effect
          yield* Effect.provideService(
            Audit.append([
              {
                actorId: wish.actorId,
                action,
                targetType: "dead_letter",
                targetId: wish.id,
                before: { state: "open" },
                after: { state: settled[wish.by], ...after },
                reason: wish.reason,
                requestId: wish.requestId,
              },
            ]),
            Mysql,
            mysql,
          )
          return "done" as const
        }),
      ) as Effect.Effect<"done" | "done before" | "not open", never>,
  })
})

export const layer: Layer.Layer<DeadLetterStore, never, Mysql> = Layer.effect(DeadLetterStore, make)
