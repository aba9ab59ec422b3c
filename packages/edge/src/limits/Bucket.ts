/**
 * The arithmetic of a token bucket: the same as in lua/bucket.lua, for an edge that can't ask Redis. A test holds the
 * two equal.
 */

export interface Rate {
  /** Tokens a second. */
  readonly rate: number
  /** Tokens of a full bucket. */
  readonly burst: number
}

/** What is missing from a full bucket, and when (ms, by whatever clock the caller uses throughout). */
export interface State {
  readonly missing: number
  readonly atMs: number
}

export interface Lease {
  readonly leased: number
  /** Until there is a token to lease (ms); 0 where all that was wanted is leased. */
  readonly waitMs: number
  /** Whole tokens left. */
  readonly left: number
  /** Until the bucket is full (ms). */
  readonly fullMs: number
}

/** Rounding must not cost a token that time has paid for. */
const EPSILON = 1e-6

/** Charges what was `spent` without a lease (below 0: gives back), then leases up to `wanted` tokens. */
export const lease = (
  state: State,
  { burst, rate }: Rate,
  nowMs: number,
  spent: number,
  wanted: number,
): readonly [State, Lease] => {
  const perMs = rate / 1_000
  const regained = Math.max(0, nowMs - state.atMs) * perMs
  const owed = Math.min(2 * burst, Math.max(0, Math.max(0, state.missing - regained) + spent))
  const leased = Math.max(0, Math.min(wanted, Math.floor(burst - owed + EPSILON)))
  const missing = owed + leased
  return [
    { missing, atMs: nowMs },
    {
      leased,
      waitMs: leased < wanted ? Math.max(1, Math.ceil((missing - (burst - 1)) / perMs)) : 0,
      left: Math.max(0, Math.floor(burst - missing + EPSILON)),
      fullMs: Math.ceil(missing / perMs),
    },
  ]
}

/** A full bucket. */
export const full = (nowMs: number): State => ({ missing: 0, atMs: nowMs })
