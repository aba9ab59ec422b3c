/** What a consumer has taken in: an event that comes again changes nothing. The table is in outbox.sql. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { affected, Mysql } from "../mysql/Mysql.ts"

/**
 * True when `consumer` meets this event for the first time; then it is on record from the commit of the caller's
 * transaction on. Belongs into the transaction of the event's effect. Another transaction that takes in the same event
 * at that moment waits for this one's end.
 */
export const firstTime = (consumer: string, eventId: string): Effect.Effect<boolean, SqlError, Mysql> =>
  Effect.flatMap(Mysql, ({ sql }) =>
    // Strict mode has no say in INSERT IGNORE, so what could be cut off is refused here.
    consumer.length > 64 || eventId.length > 64
      ? Effect.dieMessage(`consumer and event id take 64 characters: ${consumer}, ${eventId}`)
      : Effect.map(
          affected(sql`INSERT IGNORE INTO inbox (consumer, event_id) VALUES (${consumer}, ${eventId})`),
          ({ affectedRows }) => affectedRows === 1,
        ),
  )
