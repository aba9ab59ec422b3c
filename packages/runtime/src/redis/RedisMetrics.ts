/** What a process shows of the Redis servers it speaks to. */
import * as Instrument from "../metrics/Instrument.ts"

/** Connections of a process have few names, operations are the code's own. */
const MAX_NAMES = 8
const MAX_OPS = 64

export const command = Instrument.histogram(
  "floodgate_redis_command_seconds",
  "Time of a command, pipeline or script until its answer, by connection and operation",
  { redis: Instrument.met(MAX_NAMES), op: Instrument.met(MAX_OPS) },
  [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1],
)

export const errors = Instrument.counter(
  "floodgate_redis_errors_total",
  "Commands that failed, by what is known afterwards",
  {
    redis: Instrument.met(MAX_NAMES),
    kind: ["unavailable", "outcome_unknown", "refused", "crowded", "breaker_open", "defect"],
  },
)

export const inFlight = Instrument.gauge("floodgate_redis_in_flight", "Commands that wait for an answer", {
  redis: Instrument.told,
})
