/**
 * A channel behind its breaker: a provider that is away isn't asked by every buyer in turn. A call that is turned away is
 * what one without an answer is, to be repeated later with the same ids; the workers that do so are the probes.
 *
 * The wallet needs none: it is asked through identity's breaker already, and one behind the other would only make the
 * second open for longer.
 */
import * as Breakers from "@floodgate/runtime/resilience/Breakers"
import { defaults } from "@floodgate/runtime/resilience/Deadlines"
import { type Channel, ChannelUnavailable } from "./Channel.ts"

const statusOf = (cause: unknown): number | undefined => {
  if (typeof cause !== "object" || cause === null) return undefined
  const { response, statusCode } = cause as {
    readonly response?: { readonly status?: unknown }
    readonly statusCode?: unknown
  }
  const status = response?.status ?? statusCode
  return typeof status === "number" ? status : undefined
}

/** What a failed call says of the provider: one that refuses what we ask works; one that is overloaded doesn't. */
export const verdictOn = ({ cause }: ChannelUnavailable, tookMs: number): Breakers.Verdict => {
  const tag = (cause as { readonly _tag?: unknown } | undefined)?._tag
  if (tag === "DeadlineExceeded") return Breakers.timedOut(tookMs, defaults["provider.call"])
  if (tag === "ParseError") return "answered"
  const status = statusOf(cause)
  return status !== undefined && status < 500 && status !== 429 ? "answered" : "failed"
}

/** The same channel, turned away at once while its provider is known not to answer. */
export const guarded = (channel: Channel, gate: Breakers.Gate): Channel => {
  const through = Breakers.through(
    gate,
    defaults["provider.call"],
    verdictOn,
    (waitMs) =>
      new ChannelUnavailable({
        channel: channel.name,
        cause: new Error(`the breaker is open for ${Math.ceil(waitMs)} ms`),
      }),
  )
  return {
    ...channel,
    pay: (intent) => through(channel.pay(intent)),
    query: (intent) => through(channel.query(intent)),
    close: (intent) => through(channel.close(intent)),
    refund: (refund) => through(channel.refund(refund)),
  }
}
