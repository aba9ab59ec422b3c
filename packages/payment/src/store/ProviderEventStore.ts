/** What providers told us, as it came: stored before it is answered, applied after, once per event. */
import { PaymentMismatch } from "@floodgate/contracts/errors/Errors"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { matches, type ProviderEvent } from "../domain/ProviderEvent.ts"
import { Gate, ms } from "./Gate.ts"

/** An event that waits to be applied. */
export interface DueEvent {
  readonly id: number
  readonly channel: string
  readonly body: Uint8Array
  /** How often it was claimed, this time included. */
  readonly tries: number
  /** Since it came, by MySQL's clock. */
  readonly ageMs: number
}

/**
 * `unknown`: nobody knows its payment yet, so it waits. `mismatch`: it doesn't speak of the payment that it names, and
 * changes nothing.
 */
export type Applied = "applied" | "unknown" | "mismatch"

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const gate = yield* Gate
  const { sql } = mysql

  /** Stores an event. Fails with PaymentMismatch, each time, where it doesn't fit the payment it names. */
  const receive = Effect.fn("ProviderEventStore.receive")(function* (
    channel: string,
    event: ProviderEvent,
    body: Uint8Array,
  ) {
    const stored = yield* mysql
      .transaction(
        "payment.receive",
        Effect.gen(function* () {
          const intent = yield* gate.find(event.paymentId)
          const fits = intent === undefined || (intent.channel === channel && matches(event, intent))
          const result = yield* affected(
            sql`INSERT IGNORE INTO provider_event ${sql.insert({
              channel,
              event_id: event.eventId,
              type: event.type,
              payment_id: event.paymentId,
              body: Buffer.from(body),
              outcome: fits ? "received" : "mismatch",
            })}`,
          )
          const fresh = result.affectedRows === 1
          if (fresh && fits)
            yield* sql`UPDATE provider_event SET next_try_at = UTC_TIMESTAMP(3)
              WHERE channel = ${channel} AND event_id = ${event.eventId}`
          return { fits, fresh, known: intent !== undefined }
        }),
      )
      .pipe(retryConflicts)
    if (!stored.fits) return yield* new PaymentMismatch()
    return { replayed: !stored.fresh, known: stored.known }
  })

  const claim = Effect.fn("ProviderEventStore.claim")(function* (limit: number) {
    return yield* gate.claim(
      "payment.claimEvents",
      "provider_event",
      "id",
      limit,
      undefined,
      (ids: ReadonlyArray<number>) =>
        sql<DueEvent>`
          SELECT id, channel, body, tries,
            ${sql.literal(`${ms("UTC_TIMESTAMP(3)")} - ${ms("received_at")}`)} AS ageMs
          FROM provider_event WHERE ${sql.in("id", ids)}`,
    )
  })

  const postpone = (id: number, seconds: number) => gate.postpone("provider_event", "id", id, seconds)

  /** An event that means nothing to us, or no longer: it is kept, and done with. */
  const settle = (id: number, outcome: "applied" | "mismatch") =>
    sql`UPDATE provider_event SET outcome = ${outcome}, applied_at = UTC_TIMESTAMP(3), next_try_at = NULL WHERE id = ${id}`

  const ignore = (id: number) => mysql.run("payment.ignoreEvent", settle(id, "applied"))

  /** Applies one stored event. */
  const apply = Effect.fn("ProviderEventStore.apply")(function* (
    id: number,
    channel: string,
    event: ProviderEvent,
  ) {
    const intent = yield* mysql.run("payment.find", gate.find(event.paymentId))
    if (intent === undefined) return "unknown" as Applied
    return yield* gate.holding("payment.applyEvent", intent, (current) =>
      Effect.gen(function* () {
        const fits = current.channel === channel && matches(event, current)
        if (fits) {
          switch (event.type) {
            case "payment.succeeded":
              yield* gate.capture(current, event.providerTxnId, event.amount)
              break
            case "payment.failed":
            case "payment.closed": {
              const moved = yield* gate.move(current, event.type === "payment.failed" ? "declined" : "closed")
              if (moved !== undefined) yield* gate.tell("payment.updated", moved)
              break
            }
            case "refund.succeeded":
            case "refund.failed":
              // A hint: how the refund stands, the provider is asked.
              yield* sql`UPDATE refund SET next_try_at = UTC_TIMESTAMP(3)
                WHERE payment_id = ${current.paymentId} AND state = 'pending'`
              break
          }
        }
        yield* settle(id, fits ? "applied" : "mismatch")
        return (fits ? "applied" : "mismatch") as Applied
      }),
    )
  })

  return { receive, claim, postpone, ignore, apply } as const
})

export class ProviderEventStore extends Context.Tag("@floodgate/payment/store/ProviderEventStore")<
  ProviderEventStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(ProviderEventStore, make)
}
