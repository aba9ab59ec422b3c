/**
 * Lines of the log from where no fiber runs, and from loops over a crowd: the same loggers, levels and fields as
 * `Effect.log`, without a fiber and its annotations for each line.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as List from "effect/List"
import * as LogLevel from "effect/LogLevel"

/** Writes one line at level info. The fields are annotations: `trace_id` is the trace's, where no span is known. */
export type SyncLog = (message: string, fields: Readonly<Record<string, unknown>>) => void

/** Logs as the fiber that makes it does: its loggers, its least level, its own annotations beside the line's. */
export const make: Effect.Effect<SyncLog> = Effect.gen(function* () {
  const context = yield* Effect.getFiberRefs
  const clock = yield* Effect.clock
  const of = <A>(ref: FiberRef.FiberRef<A>): A => FiberRefs.getOrDefault(context, ref)
  const loggers = of(FiberRef.currentLoggers)
  const own = of(FiberRef.currentLogAnnotations)
  const silent = LogLevel.lessThan(LogLevel.Info, of(FiberRef.currentMinimumLogLevel))
  const log: SyncLog = (message, fields) => {
    if (silent) return
    const annotations = HashMap.mutate(own, (all) => {
      for (const name in fields) HashMap.set(all, name, fields[name])
    })
    for (const logger of loggers) {
      logger.log({
        fiberId: FiberId.none,
        logLevel: LogLevel.Info,
        message: [message],
        cause: Cause.empty,
        context,
        spans: List.nil(),
        annotations,
        date: new Date(clock.unsafeCurrentTimeMillis()),
      })
    }
  }
  return log
})
