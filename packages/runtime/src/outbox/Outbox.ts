/**
 * The outbox: what a service tells others is a row written in the transaction that made it true; a relay sends the rows
 * to the bus afterwards. So an event is sent if and only if its transaction committed, at least once, and events of one
 * aggregate in the order of their commits (whoever writes rows for an aggregate locks it first). The tables are in
 * outbox.sql.
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { stableHash } from "../event-bus/StableHash.ts"
import { Mysql } from "../mysql/Mysql.ts"
import * as Relay from "./OutboxRelay.ts"

/** Buckets that relays lease; fixed, since rows carry theirs. */
export const BUCKETS = Relay.BUCKETS

/** The largest payload, bytes. */
export const MAX_PAYLOAD_BYTES = 512 * 1024

/** Rows written by one statement. */
const ROWS_A_STATEMENT = 100

export interface OutboxRow {
  /** Unique to the event; what consumers remember it by. ≤ 64 ASCII characters, as all but the payload. */
  readonly event_id: string
  readonly topic: string
  /** What the event is about; events of one aggregate stay in order. It is the message's key. */
  readonly aggregate: string
  readonly type: string
  /** JSON: the message's value. */
  readonly payload: string
  /** W3C trace context of what caused it, when sampled. */
  readonly traceparent?: string | undefined
}

export { OutboxRelay } from "./OutboxRelay.ts"

/**
 * Adds events to the caller's transaction, in the order given. Lock the aggregates' rows before. A payload over
 * 512 KiB is a defect: it could never be sent.
 */
export const append = (rows: ReadonlyArray<OutboxRow>): Effect.Effect<void, SqlError, Mysql> =>
  Effect.flatMap(Mysql, ({ sql }) =>
    Effect.suspend(() => {
      const statements: Array<Effect.Effect<unknown, SqlError>> = []
      for (let from = 0; from < rows.length; from += ROWS_A_STATEMENT) {
        const part = rows.slice(from, from + ROWS_A_STATEMENT).map((row) => {
          const size = Buffer.byteLength(row.payload)
          if (size > MAX_PAYLOAD_BYTES) {
            throw new RangeError(`the payload of ${row.type} has ${size} bytes, over ${MAX_PAYLOAD_BYTES}`)
          }
          return {
            bucket: stableHash(row.aggregate) % BUCKETS,
            event_id: row.event_id,
            topic: row.topic,
            aggregate: row.aggregate,
            type: row.type,
            payload: row.payload,
            traceparent: row.traceparent ?? null,
          }
        })
        statements.push(sql`INSERT INTO outbox ${sql.insert(part)}`)
      }
      return Effect.all(statements, { discard: true })
    }),
  )

/**
 * Wakes this process' relay, so that what was just committed leaves at once. Call it after the commit; without it the
 * relay finds the rows by itself within 200 ms.
 */
export const nudge = (): Effect.Effect<void, never, Relay.OutboxRelay> =>
  Effect.flatMap(Relay.OutboxRelay, (relay) => relay.nudge)

/** The relay of the database at hand. `name` is the service's; instances share the buckets. */
export const relayLayer: (options: {
  readonly name: string
}) => Layer.Layer<Relay.OutboxRelay, never, Context.Tag.Identifier<typeof Mysql> | Relay.Needs> = Relay.layer
