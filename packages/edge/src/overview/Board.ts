/** The overview from what was gathered. Pure: figures in, the answer out. */
import type { GetVitalsResponse } from "@floodgate/contracts/gen/floodgate/vitals/v1/vitals_pb"
import { format } from "@floodgate/contracts/http/Instant"
import type { Overview, OverviewBreaker, OverviewPoint, Window } from "@floodgate/contracts/http/Overview"
import type { Vitals } from "@floodgate/runtime/metrics/Vitals"
import { type Counts, plus, TIMES, timeField } from "./EdgeFigures.ts"
import { STEP_MS, type Steps } from "./FigureStore.ts"

/** Of each window: its length and that of a point's step, in steps of ten seconds. */
const shapes: Readonly<Record<Window, { readonly steps: number; readonly perPoint: number }>> = {
  "5m": { steps: 30, perPoint: 1 },
  "1h": { steps: 360, perPoint: 6 },
}

/** Rates are those of the last steps, the current one among them. */
const RATE_STEPS = 3

/** The books of orders in one step. */
export interface Booked {
  readonly atMs: number
  readonly persisted: number
  readonly paid: number
  readonly cancelled: number
}

export interface Gathered {
  readonly nowMs: number
  readonly window: Window
  readonly steps: Steps
  readonly alone: boolean
  /** Undefined where ordering couldn't be asked. */
  readonly booked: ReadonlyArray<Booked> | undefined
  /** This edge's own. */
  readonly edge: Vitals
  /** Each service's; undefined where it couldn't be asked. */
  readonly services: Readonly<Record<string, GetVitalsResponse | undefined>>
}

/** The first and the last step of a window that ends now, by their numbers. Its points' steps are whole ones. */
export const span = (window: Window, nowMs: number): { readonly from: number; readonly to: number } => {
  const { perPoint, steps } = shapes[window]
  const to = Math.floor(nowMs / STEP_MS)
  const lastPoint = Math.floor(to / perPoint)
  return { from: (lastPoint + 1) * perPoint - steps, to }
}

/**
 * The time (ms) within which a share of the answers came, between the ends of the bucket that it falls into; null where
 * there were none. Beyond the last end, that end.
 */
export const quantile = (counts: Counts, share: number): number | null => {
  const times = [...TIMES, Number.POSITIVE_INFINITY].map((_, index) => counts[timeField(index)] ?? 0)
  const total = times.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  const wanted = share * total
  let below = 0
  for (const [index, count] of times.entries()) {
    if (count > 0 && below + count >= wanted) {
      const start = TIMES[index - 1] ?? 0
      const end = TIMES[index] ?? start
      return Math.round((start + ((wanted - below) / count) * (end - start)) * 1e5) / 1e2
    }
    below += count
  }
  return (TIMES[TIMES.length - 1] ?? 0) * 1_000
}

const count = (counts: Counts, field: string): number => counts[field] ?? 0

const booksOf = (booked: ReadonlyArray<Booked> | undefined) => {
  if (booked === undefined) return { persisted: null, paid: null, cancelled: null }
  let [persisted, paid, cancelled] = [0, 0, 0]
  for (const step of booked) {
    persisted += step.persisted
    paid += step.paid
    cancelled += step.cancelled
  }
  return { persisted, paid, cancelled }
}

const funnelOf = (counts: Counts, booked: ReadonlyArray<Booked> | undefined) => ({
  asked: count(counts, "asked"),
  limited: count(counts, "limited"),
  sold_out: count(counts, "sold_out"),
  accepted: count(counts, "accepted"),
  ...booksOf(booked),
})

const perSecond = (events: number, seconds: number): number => Math.round((events / seconds) * 100) / 100

const stateOf = (state: string): OverviewBreaker["state"] =>
  state === "open" || state === "half_open" ? state : "closed"

/** The sum of what is said; null where nobody says anything. */
const sum = (values: ReadonlyArray<bigint | undefined>): number | null => {
  const said = values.filter((value) => value !== undefined)
  return said.length === 0 ? null : Number(said.reduce((total, value) => total + value, 0n))
}

export const of = (gathered: Gathered): Overview => {
  const { alone, booked, edge, nowMs, services, steps, window } = gathered
  const { perPoint } = shapes[window]
  const { from, to } = span(window, nowMs)

  const within = (first: number, last: number) => {
    let counts: Counts = {}
    for (let step = first; step <= last; step++) counts = plus(counts, steps.get(step) ?? {})
    return {
      counts,
      books: booked?.filter(({ atMs }) => atMs >= first * STEP_MS && atMs < (last + 1) * STEP_MS),
    }
  }

  const all = within(from, to)
  const recent = within(to - RATE_STEPS + 1, to)
  const recentS = Math.max(1, (nowMs - (to - RATE_STEPS + 1) * STEP_MS) / 1_000)
  const recentBooks = booksOf(recent.books)
  const rate = (field: string): number => perSecond(count(recent.counts, field), recentS)
  const hits = count(all.counts, "hits")
  const checks = hits + count(all.counts, "misses")

  const series: Array<OverviewPoint> = []
  for (let first = from; first <= to; first += perPoint) {
    const { books, counts } = within(first, first + perPoint - 1)
    series.push({
      at: format(first * STEP_MS),
      ...funnelOf(counts, books),
      requests: count(counts, "requests"),
      errors: count(counts, "errors"),
      p95_ms: quantile(counts, 0.95),
    })
  }

  const asked = Object.entries(services)
  return {
    at: format(nowMs),
    window,
    step_s: (perPoint * STEP_MS) / 1_000,
    funnel: funnelOf(all.counts, all.books),
    rates: {
      requests: rate("requests"),
      errors: rate("errors"),
      asked: rate("asked"),
      accepted: rate("accepted"),
      persisted: recentBooks.persisted === null ? null : perSecond(recentBooks.persisted, recentS),
      paid: recentBooks.paid === null ? null : perSecond(recentBooks.paid, recentS),
    },
    latency_ms: {
      p50: quantile(all.counts, 0.5),
      p95: quantile(all.counts, 0.95),
      p99: quantile(all.counts, 0.99),
    },
    stock_hit_ratio: checks === 0 ? null : Math.round((hits / checks) * 1e4) / 1e4,
    lag: {
      relay: sum(asked.map(([, vitals]) => vitals?.relayOpenEntries)),
      kafka: sum(asked.flatMap(([, vitals]) => vitals?.backlogs.map(({ messages }) => messages) ?? [])),
      outbox: sum(asked.map(([, vitals]) => vitals?.outboxUnsent)),
    },
    breakers: [
      ...edge.breakers.map(({ forMs, name, state }) => ({
        service: "edge",
        name,
        state: stateOf(state),
        for_ms: forMs,
      })),
      ...asked.flatMap(([service, vitals]) =>
        (vitals?.breakers ?? []).map(({ forMs, name, state }) => ({
          service,
          name,
          state: stateOf(state),
          for_ms: Number(forMs),
        })),
      ),
    ],
    unreachable: asked.filter(([, vitals]) => vitals === undefined).map(([service]) => service),
    alone,
    series,
  }
}
