/** What payment shows of the money it moves, of who tells it, and of whom it tells. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as Sampler from "@floodgate/runtime/metrics/Sampler"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type { Channel } from "./channels/Channel.ts"

const CHANNELS = ["balance", "sandbox", "stripe", "other"] as const
type ChannelLabel = (typeof CHANNELS)[number]

const callbacks = Instrument.counter(
  "floodgate_payment_callbacks_total",
  "Callbacks by what became of them; unknown: taken, and kept until somebody knows its payment; ignored: genuine, and none of our business",
  {
    channel: CHANNELS,
    result: ["accepted", "replayed", "unknown", "ignored", "bad_signature", "malformed", "mismatch"],
  },
)

/** Counts a callback. */
export const callback = (
  channel: string,
  result: Parameters<typeof callbacks.inc>[0]["result"],
): Effect.Effect<void> => Effect.sync(() => callbacks.inc({ channel: channel as ChannelLabel, result }))

const OPS = ["pay", "query", "close", "refund"] as const

const calls = Instrument.histogram(
  "floodgate_payment_channel_seconds",
  "Time of a call to a channel until its definite answer, by call",
  { channel: CHANNELS, op: OPS },
)
const failures = Instrument.counter(
  "floodgate_payment_channel_failures_total",
  "Calls to a channel without a definite answer, by call",
  { channel: CHANNELS, op: OPS },
)

/** The same channel, its calls measured. */
export const metered = (channel: Channel): Channel => {
  const label = channel.name as ChannelLabel
  const timed =
    (op: (typeof OPS)[number]) =>
    <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        const startedAt = performance.now()
        return Effect.onExit(self, (exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) {
              calls.observe({ channel: label, op }, (performance.now() - startedAt) / 1_000)
            } else failures.inc({ channel: label, op })
          }),
        )
      })
  return {
    ...channel,
    pay: (intent) => timed("pay")(channel.pay(intent)),
    query: (intent) => timed("query")(channel.query(intent)),
    close: (intent) => timed("close")(channel.close(intent)),
    refund: (refund) => timed("refund")(channel.refund(refund)),
  }
}

const refunds = Instrument.counter(
  "floodgate_refunds_total",
  "Refunds that came to an end at their channel",
  { channel: CHANNELS, result: ["succeeded", "failed"] },
)

/** A refund came to its end. */
export const refunded = (channel: string, result: "succeeded" | "failed"): void =>
  refunds.inc({ channel: channel as ChannelLabel, result })

const deliveries = Instrument.counter(
  "floodgate_webhook_deliveries_total",
  "Attempts to deliver to an endpoint: it took it, it will be tried again, or it was given up",
  { result: ["arrived", "missed", "given_up"] },
)

/** An attempt to deliver is over. */
export const delivered = (result: "arrived" | "missed" | "given_up"): void => deliveries.inc({ result })

const KINDS = {
  provider_events: { table: "provider_event", since: "received_at" },
  refunds: { table: "refund", since: "created_at" },
  intents: { table: "intent", since: "created_at" },
  webhook_deliveries: { table: "webhook_delivery", since: "created_at" },
} as const

const kinds = Object.keys(KINDS) as ReadonlyArray<keyof typeof KINDS>

const waiting = Instrument.gauge(
  "floodgate_payment_waiting_rows",
  "Rows that a worker will look at again: events without their payment, refunds and payments under way, deliveries; counted up to 10,000",
  { kind: kinds },
)
const oldest = Instrument.gauge(
  "floodgate_payment_waiting_oldest_seconds",
  "Age of the oldest of these rows",
  { kind: kinds },
)

const MAX_COUNTED = 10_000

/** Looks at what waits, while the scope is open. */
export const layer: Layer.Layer<never, never, Mysql> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const { sql } = mysql
    yield* Sampler.make(
      "what waits in payment",
      mysql.run(
        "payment.sample",
        Effect.forEach(
          kinds,
          (kind) => {
            const { since, table } = KINDS[kind]
            return Effect.map(
              sql<{ waiting: number; oldest_ms: number | null }>`
                SELECT COUNT(*) AS waiting,
                  TIMESTAMPDIFF(MICROSECOND, MIN(since), UTC_TIMESTAMP(3)) DIV 1000 AS oldest_ms
                FROM (
                  SELECT ${sql.literal(since)} AS since FROM ${sql.literal(table)}
                  WHERE next_try_at > '1970-01-01' LIMIT ${sql.literal(String(MAX_COUNTED))}
                ) AS due`,
              (rows) => {
                waiting.set({ kind }, rows[0]?.waiting ?? 0)
                oldest.set({ kind }, Math.max(0, rows[0]?.oldest_ms ?? 0) / 1_000)
              },
            )
          },
          { discard: true },
        ),
      ),
    )
  }),
)
