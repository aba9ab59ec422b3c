/** Sends what kafkajs has to say through Effect's logger, so that it has the service's form, level and sink. */
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import * as Runtime from "effect/Runtime"
import { type LogEntry, type logCreator, logLevel } from "kafkajs"

/** An unreachable broker makes kafkajs repeat itself several times a second; each text is told once in this time. */
const REPEAT_AFTER_MS = 30_000

/** Distinct texts remembered for that. */
const MAX_REMEMBERED = 256

/**
 * kafkajs calls every retried network error an ERROR and every rebalance a WARN; both are its normal course, so each
 * comes one level lower here. What really stops a consumer is logged by the adapter itself.
 */
const levelOf = (level: logLevel): LogLevel.LogLevel => {
  switch (level) {
    case logLevel.ERROR:
      return LogLevel.Warning
    case logLevel.WARN:
      return LogLevel.Info
    default:
      return LogLevel.Debug
  }
}

/** A log sink for the kafkajs clients of one bus. */
export const make = (runtime: Runtime.Runtime<never>): logCreator => {
  const toldAt = new Map<string, number>()
  const isRepeat = (text: string, now: number): boolean => {
    const before = toldAt.get(text)
    if (before !== undefined && now - before < REPEAT_AFTER_MS) return true
    if (toldAt.size >= MAX_REMEMBERED) toldAt.clear()
    toldAt.set(text, now)
    return false
  }
  return () =>
    ({ namespace, level, log }: LogEntry) => {
      const detail = typeof log["error"] === "string" ? `: ${log["error"]}` : ""
      const text = `kafka ${namespace}: ${log.message}${detail}`
      if (isRepeat(text, performance.now())) return
      const broker = log["broker"]
      const line = Effect.logWithLevel(levelOf(level), text)
      Runtime.runFork(runtime)(
        typeof broker === "string" ? Effect.annotateLogs(line, { kafka_broker: broker }) : line,
      )
    }
}
