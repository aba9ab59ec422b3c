/** The console's first page: how the sale goes, right now. */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Instant.ts"

/** The spans that the overview is shown for. */
export const windows = ["5m", "1h"] as const
export type Window = (typeof windows)[number]

/** What only a service knows is null while that service can't be asked. */
const Told = Schema.NullOr(Schema.Int)
const ToldRate = Schema.NullOr(Schema.Number)
const Ms = Schema.NullOr(Schema.Number)

/** Wishes by how far they came: at the edges asked to accepted, in the books persisted to cancelled. */
const funnel = {
  asked: Schema.Int,
  limited: Schema.Int,
  sold_out: Schema.Int,
  accepted: Schema.Int,
  persisted: Told,
  paid: Told,
  cancelled: Told,
} as const

export const OverviewPoint = Schema.Struct({
  /** When the step began. */
  at: Timestamp,
  ...funnel,
  /** Requests answered, of any kind, and those of them that were our fault (5xx). */
  requests: Schema.Int,
  errors: Schema.Int,
  /** Of the answers to `POST /seckill`; null where there were none. */
  p95_ms: Ms,
}).annotations({ identifier: "OverviewPoint" })
export type OverviewPoint = typeof OverviewPoint.Type

export const OverviewBreaker = Schema.Struct({
  /** Whose breaker it is; of several processes, of the one that was asked. */
  service: Schema.String,
  /** Whom it guards: `mysql`, `redis:0`, `grpc:ordering`, … */
  name: Schema.String,
  state: Schema.Literal("closed", "open", "half_open"),
  for_ms: Schema.Int,
}).annotations({ identifier: "OverviewBreaker" })
export type OverviewBreaker = typeof OverviewBreaker.Type

/**
 * `funnel`, `latency_ms` and `stock_hit_ratio` are those of the window, over all edges; `rates` are a second's, over the
 * last half minute. `latency_ms` is that of answers to `POST /seckill`, null where there were none; `stock_hit_ratio` is
 * the share of wishes that came as far as the stock and found enough of it. `lag` counts what is on its way now:
 * reservations in Redis without an outcome in MySQL, messages of the bus that a service hasn't finished, rows of the
 * outboxes that the bus hasn't got. `series` has one point a step of `step_s` seconds, oldest first, the current step
 * among them.
 */
export const Overview = Schema.Struct({
  at: Timestamp,
  window: Schema.Literal(...windows),
  step_s: Schema.Int,
  funnel: Schema.Struct(funnel),
  rates: Schema.Struct({
    requests: Schema.Number,
    errors: Schema.Number,
    asked: Schema.Number,
    accepted: Schema.Number,
    persisted: ToldRate,
    paid: ToldRate,
  }),
  latency_ms: Schema.Struct({ p50: Ms, p95: Ms, p99: Ms }),
  stock_hit_ratio: Schema.NullOr(Schema.Number),
  lag: Schema.Struct({ relay: Told, kafka: Told, outbox: Told }),
  breakers: Schema.Array(OverviewBreaker),
  /** Services that couldn't be asked in time. */
  unreachable: Schema.Array(Schema.String),
  /** True where the other edges' figures couldn't be read: those of the funnel's first half are this edge's alone. */
  alone: Schema.Boolean,
  series: Schema.Array(OverviewPoint),
}).annotations({ identifier: "Overview" })
export type Overview = typeof Overview.Type
