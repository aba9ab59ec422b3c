/**
 * Every limit with what it counts, its numbers where nobody changed them, and what it answers: one table.
 *
 * A limit is a token bucket in Redis that all edges share. `blocks` says how an edge draws from it:
 *
 * - 0: every request asks Redis, so the limit is exact however many edges there are. For what is slow anyway.
 * - n: an edge takes burst / n tokens at a time, and the first block of a key it takes on credit, without asking: so the
 *   common buyer, who sends a few requests, costs no round trip, and neither does a flood. What is let through too much
 *   is at most one block an edge, once in the time that a bucket takes to fill.
 *
 * While Redis can't be asked, each edge keeps buckets of its own, with the same numbers: the limit is then at most as
 * many times as high as there are edges, and nobody waits. That holds for every row: a limit that refused everybody
 * would make an outage of the limiter one of the sale, and one that refused nobody would invite it.
 */
import type { Reason } from "@floodgate/contracts/errors/Catalogue"
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"

export interface LimitRow {
  /** What is counted, in words. */
  readonly by: string
  /** Tokens in a period. */
  readonly rate: number
  readonly periodS: number
  readonly burst: number
  readonly refusal: Extract<Reason, "RATE_LIMITED" | "FREQUENCY_LIMITED">
  readonly blocks: number
  /** Whether many edges draw from the same key at once: each then gets a fair part. */
  readonly shared: boolean
}

const row = (
  by: string,
  rate: number,
  periodS: number,
  burst: number,
  more: Partial<Pick<LimitRow, "refusal" | "blocks" | "shared">> = {},
): LimitRow => ({ by, rate, periodS, burst, refusal: "RATE_LIMITED", blocks: 0, shared: false, ...more })

export const table: Readonly<Record<LimitName, LimitRow>> = {
  // Charged by failures only; another address has a bucket of its own, so the right password gets in from there.
  "login-failures": row("account and address", 10, 60, 10),
  "sign-in": row("address", 30, 60, 20),
  "seckill-user": row("user", 5, 1, 20, { blocks: 4 }),
  "seckill-address": row("address", 100, 1, 300, { refusal: "FREQUENCY_LIMITED", blocks: 20 }),
  // Accounts, not requests: an account counts once in the period.
  "seckill-device": row("device", 10, 600, 10, { refusal: "FREQUENCY_LIMITED" }),
  "seckill-product": row("product", 1_000, 1, 2_000, { blocks: 20, shared: true }),
  pay: row("user", 2, 1, 10),
  callback: row("channel", 200, 1, 400, { blocks: 20, shared: true }),
  default: row("user, else address", 50, 1, 200, { blocks: 20 }),
}

/** Limits that a product can have one of its own of. */
export const hasProducts = (name: LimitName): boolean => name === "seckill-product"
