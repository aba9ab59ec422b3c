/** What ordering shows of messages that it couldn't apply: dead letters, and payments that came before their orders. */
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as Sampler from "@floodgate/runtime/metrics/Sampler"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const TOPICS = [Topic.Reservations, Topic.PaymentEvents] as const
const topic = [...TOPICS, "other"] as const

const letters = Instrument.counter(
  "floodgate_dead_letters_total",
  "Messages that were put away as dead letters, copies included, by topic",
  { topic },
)
const open = Instrument.gauge(
  "floodgate_dead_letters_open",
  "Dead letters that nobody has settled, by topic; counted up to 10,000",
  { topic },
)
const parked = Instrument.gauge(
  "floodgate_parked_payment_events",
  "Payments' events that wait for their orders; counted up to 10,000",
  {},
)
const parkedOldest = Instrument.gauge(
  "floodgate_parked_payment_events_oldest_seconds",
  "Age of the oldest payment's event that waits for its order",
  {},
)

const MAX_COUNTED = 10_000

/** A message became a dead letter, or one more copy of one. */
export const buried = (of: string): Effect.Effect<void> =>
  Effect.sync(() => letters.inc({ topic: of as (typeof topic)[number] }))

/** Looks at both, while the scope is open. */
export const layer: Layer.Layer<never, never, Mysql> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const { sql } = mysql
    const limit = sql.literal(String(MAX_COUNTED))
    yield* Sampler.make(
      "dead letters",
      mysql.run(
        "dead_letter.sample",
        Effect.gen(function* () {
          const rows = yield* sql<{ topic: string; letters: number }>`
            SELECT topic, COUNT(*) AS letters FROM (
              SELECT d.topic FROM dead_letter d FORCE INDEX (by_state) WHERE d.state = 'open' LIMIT ${limit}
            ) AS waiting GROUP BY topic`
          const counts = new Map(rows.map((row) => [row.topic, row.letters]))
          for (const one of TOPICS) open.set({ topic: one }, counts.get(one) ?? 0)
          const [kept] = yield* sql<{ events: number; oldest_ms: number | null }>`
            SELECT COUNT(*) AS events,
              TIMESTAMPDIFF(MICROSECOND, MIN(parked_at), UTC_TIMESTAMP(3)) DIV 1000 AS oldest_ms
            FROM (
              SELECT q.parked_at FROM parked_payment q FORCE INDEX (by_next)
              WHERE q.next_at > '1970-01-02' LIMIT ${limit}
            ) AS waiting`
          parked.set({}, kept?.events ?? 0)
          parkedOldest.set({}, Math.max(0, kept?.oldest_ms ?? 0) / 1_000)
        }),
      ),
    )
  }),
)
