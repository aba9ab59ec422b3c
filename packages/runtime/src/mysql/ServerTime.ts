/**
 * The time that this system's processes agree on: MySQL's. What one process signs for seconds and another verifies (the
 * credential of a service, a caller, an access token) goes by it, so that a machine whose clock is off neither refuses
 * everybody nor is refused by everybody.
 *
 * A process that hasn't asked MySQL yet believes its own clock, and one whose MySQL is away goes on with what it learnt.
 * Offsets that such signatures forgive anyway are taken for none: nothing depends on how quickly a database answered.
 */
import * as Context from "effect/Context"

/** A clock that is no further off than this (ms) is right. */
export const TOLERATED_MS = 5_000

/** An answer that took longer (ms) says too little. */
const MAX_ROUND_TRIP_MS = 2_000

export interface ServerTimeShape {
  /** What is to be added to this process's clock, ms: 0 where that is right. */
  readonly offsetMs: () => number
  /** Unix ms. */
  readonly nowMs: () => number
  /** Learns from an answer that tells MySQL's time; the other two are by this process's clock. All are Unix ms. */
  readonly learn: (serverMs: number, sentMs: number, receivedMs: number) => void
}

export const make = (localMs: () => number = Date.now): ServerTimeShape => {
  let offset = 0
  return {
    offsetMs: () => offset,
    nowMs: () => localMs() + offset,
    learn: (serverMs, sentMs, receivedMs) => {
      const roundTripMs = receivedMs - sentMs
      // Less than nothing: the clock was set meanwhile.
      if (roundTripMs < 0 || roundTripMs > MAX_ROUND_TRIP_MS) return
      const found = Math.round(serverMs - (sentMs + receivedMs) / 2)
      offset = Math.abs(found) <= TOLERATED_MS ? 0 : found
    },
  }
}

/** One a process, as its clock is; nobody has to provide it. */
export class ServerTime extends Context.Reference<ServerTime>()("@floodgate/runtime/mysql/ServerTime", {
  defaultValue: (): ServerTimeShape => make(() => Date.now()),
}) {}
