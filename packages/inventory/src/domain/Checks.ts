/** Whether a product is ready to be sold, point by point, from what the stores say of it. */
import type { Product } from "./Product.ts"

export interface Check {
  readonly check: string
  readonly ok: boolean
  /** For people. */
  readonly detail: string
}

/** What a shard says of the product. */
export interface Held {
  readonly shard_open: boolean
  readonly epoch: number
  readonly paused: boolean
  readonly generation: number
  readonly open: boolean
  readonly stock: number
  readonly entries: number
  readonly oldest_ms: number | undefined
  readonly relayed: boolean
  readonly server_time_ms: number
}

export interface Seen {
  readonly product: Product
  /** Undefined where Redis doesn't answer. */
  readonly held: Held | undefined
  /** The switch of all sales, by MySQL. */
  readonly paused: boolean
  /** Stock changes that are half done. */
  readonly unfinished: number
  readonly outboxLagMs: number
}

/** An entry or an event that waits longer than this is stuck, ms. */
const STUCK_MS = 10_000

const relayCheck = (held: Held): Check => {
  if (held.entries === 0) return { check: "relay", ok: true, detail: "no reservation waits for its order" }
  const waitedMs = held.oldest_ms === undefined ? 0 : Math.max(0, held.server_time_ms - held.oldest_ms)
  return {
    check: "relay",
    ok: held.relayed && waitedMs < STUCK_MS,
    detail: `${held.entries} reservations wait, the oldest for ${waitedMs} ms; ${held.relayed ? "a" : "no"} relay is at it`,
  }
}

/** Before the first reservation both have the same; from then on Redis may have less, never more. */
const stockCheck = (product: Product, held: Held): Check => {
  const upcoming = held.server_time_ms < product.startTimeMs
  return {
    check: "stock",
    ok: upcoming ? held.stock === product.stock : held.stock <= product.stock,
    detail: `${held.stock} in Redis, ${product.stock} in MySQL`,
  }
}

const windowCheck = ({ endTimeMs, startTimeMs }: Product, nowMs: number): Check => {
  const ended = endTimeMs !== null && nowMs >= endTimeMs
  const detail = ended
    ? "the sale is over"
    : nowMs < startTimeMs
      ? `starts in ${Math.ceil((startTimeMs - nowMs) / 1_000)} s`
      : "the sale is on"
  return { check: "window", ok: !ended, detail }
}

/** All checks, always the same and in the same order; what can't be known isn't ok. */
export const checksOf = ({ held, outboxLagMs, paused, product, unfinished }: Seen): ReadonlyArray<Check> => {
  const unknown = (check: string): Check => ({ check, ok: false, detail: "Redis doesn't answer" })
  return [
    { check: "published", ok: product.state === "published", detail: `the product is ${product.state}` },
    held === undefined
      ? unknown("fence")
      : {
          check: "fence",
          ok: held.shard_open,
          detail: held.shard_open
            ? `proved equal to MySQL by recovery ${held.epoch}`
            : "the shard is closed until it is proved equal to MySQL",
        },
    held === undefined
      ? unknown("warm")
      : {
          check: "warm",
          ok: held.generation === product.generation && held.generation > 0,
          detail: `generation ${held.generation} in Redis, ${product.generation} in MySQL`,
        },
    held === undefined
      ? unknown("open")
      : {
          check: "open",
          ok: held.open,
          detail: held.open ? "open to reservations" : "closed to reservations",
        },
    held === undefined ? unknown("stock") : stockCheck(product, held),
    held === undefined ? unknown("window") : windowCheck(product, held.server_time_ms),
    held === undefined ? unknown("relay") : relayCheck(held),
    {
      check: "outbox",
      ok: outboxLagMs < STUCK_MS,
      detail: `the oldest unsent event has waited for ${outboxLagMs} ms`,
    },
    {
      check: "stock_changes",
      ok: unfinished === 0,
      detail: unfinished === 0 ? "none is half done" : `${unfinished} are half done`,
    },
    {
      check: "sale",
      ok: !paused && held?.paused !== true,
      detail: paused
        ? "all sales are paused"
        : held?.paused === true
          ? "the shard hasn't heard that sales go on"
          : "not paused",
    },
  ]
}
