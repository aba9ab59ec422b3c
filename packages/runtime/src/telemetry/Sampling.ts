/**
 * Which traces are recorded. Decided once, where a trace begins, from its id; everyone further down follows the flag
 * that travels with it (parent based).
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as AppConfig from "../config/AppConfig.ts"

/** `OTEL_TRACES_SAMPLER_ARG`: the share of traces recorded, 0 to 1; all of them in dev. */
export const ratio: Config.Config<number> = AppConfig.devDefault(
  Config.string("OTEL_TRACES_SAMPLER_ARG").pipe(
    Config.mapOrFail((text) => {
      const value = Number(text)
      return /^[\d.]+$/.test(text) && value >= 0 && value <= 1
        ? Either.right(value)
        : Either.left(ConfigError.InvalidData([], "must be a share from 0 to 1"))
    }),
  ),
  1,
)

/**
 * Whether the trace with this id (32 hex digits) is recorded at a ratio. The rule of OpenTelemetry's
 * `TraceIdRatioBasedSampler`, so that a hot path that decides before it makes any span decides as the SDK would.
 */
export const isSampled = (traceId: string, share: number): boolean => {
  if (share <= 0) return false
  if (share >= 1) return true
  let folded = 0
  for (let at = 0; at < 32; at += 8) {
    folded = (folded ^ Number.parseInt(traceId.slice(at, at + 8), 16)) >>> 0
  }
  return folded < Math.floor(share * 0xffffffff)
}
