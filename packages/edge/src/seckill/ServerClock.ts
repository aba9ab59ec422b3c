/**
 * The time that decides a sale: that of the shard's Redis, as its answers tell it. Between answers it runs on with this
 * process's clock; before the first one it is MySQL's time, which is this process's clock unless that is wrong.
 */
import { ServerTime } from "@floodgate/runtime/mysql/ServerTime"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** A sample may be this old (ms) before a slower one takes its place: clocks drift. */
const SAMPLE_LIFE_MS = 10_000

export class ServerClock extends Context.Tag("@floodgate/edge/seckill/ServerClock")<
  ServerClock,
  {
    /** Unix ms. */
    readonly nowMs: () => number
    /**
     * Learns from an answer that carries the server's time. The error is at most half the round trip, so the fastest
     * recent answer is believed.
     */
    readonly learn: (serverTimeMs: number, sentMs: number, receivedMs: number) => void
  }
>() {}

/** `presumedMs`: how far the local clock is taken to be off while nobody has answered yet. */
export const make = (localMs: () => number, presumedMs = () => 0): ServerClock["Type"] => {
  let offsetMs: number | undefined
  let roundTripMs = Number.POSITIVE_INFINITY
  let learntMs = 0
  return {
    nowMs: () => Math.round(localMs() + (offsetMs ?? presumedMs())),
    learn: (serverTimeMs, sentMs, receivedMs) => {
      const roundTrip = receivedMs - sentMs
      if (serverTimeMs <= 0 || roundTrip < 0) return
      if (roundTrip > roundTripMs && receivedMs - learntMs < SAMPLE_LIFE_MS) return
      offsetMs = serverTimeMs - (sentMs + receivedMs) / 2
      roundTripMs = roundTrip
      learntMs = receivedMs
    },
  }
}

export const layer = Layer.effect(
  ServerClock,
  Effect.zipWith(Effect.clock, ServerTime, (clock, { offsetMs }) =>
    make(() => clock.unsafeCurrentTimeMillis(), offsetMs),
  ),
)
