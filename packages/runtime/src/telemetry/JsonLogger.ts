/**
 * The log: one JSON object a line, `{level, time, service, msg, trace_id, span_id, …annotations, error}`, written by
 * pino. Times are RFC 3339 in UTC with milliseconds, levels lower-case. On a terminal, people get Effect's pretty form
 * instead. The least level that is logged can be changed while the process runs.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as List from "effect/List"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { type Logger as Pino, pino } from "pino"
import * as LogSink from "./LogSink.ts"
import * as RotatingFile from "./RotatingFile.ts"
import * as TraceContext from "./TraceContext.ts"

/** The longest text of one field, in characters; a longer one is cut and says so. */
export const MAX_TEXT = 16_384

/**
 * Fields that an annotation can't take over; one that is called so is written as `<name>_`. But where no span is, and only
 * there, an annotation may say the trace.
 */
const RESERVED = new Set(["time", "level", "service", "msg", "trace_id", "span_id", "error"])

const levelName = (level: LogLevel.LogLevel): string =>
  level._tag === "Warning" ? "warn" : level._tag.toLowerCase()

const cut = (text: string): string =>
  text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}… (${text.length - MAX_TEXT} more)`

/** Fields whose values are never written, wherever in a record they stand: secrets that came as plain text. */
const SECRETS: ReadonlySet<string> = new Set([
  "password",
  "old_password",
  "new_password",
  "authorization",
  "cookie",
  "token",
  "access_token",
  "refresh_token",
  "ticket",
  "secret",
  "private_jwk",
])
const CENSOR = "<redacted>"

/** Deep enough for any record of ours; deeper values are named, not shown. */
const MAX_DEPTH = 6
const MAX_ITEMS = 100

/** A value as JSON can carry it: secrets stay hidden, cycles and depth are bounded, no value makes it throw. */
const plain = (value: unknown, depth = 0): unknown => {
  if (value === null || value === undefined) return value
  switch (typeof value) {
    case "string":
      return cut(value)
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
      return value
    case "bigint":
    case "symbol":
    case "function":
      return cut(String(value))
    default:
      return plainObject(value, depth)
  }
}

const plainObject = (value: object, depth: number): unknown => {
  if (depth > MAX_DEPTH) return "[deep]"
  try {
    if (Inspectable.isRedactable(value)) return plain(Inspectable.redact(value), depth + 1)
    if (value instanceof Error) return cut(`${value.name}: ${value.message}`)
    if (value instanceof Date) return value.toJSON()
    if (value instanceof Uint8Array) return `[${value.byteLength} bytes]`
    // Redacted, Option, Exit, DateTime…: each says itself what may be shown.
    const toJSON = (value as { readonly toJSON?: unknown }).toJSON
    if (typeof toJSON === "function") return plain(toJSON.call(value), depth + 1)
    if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => plain(item, depth + 1))
    if (value instanceof Map) return plain(Object.fromEntries(value), depth)
    if (value instanceof Set) return plain([...value], depth)
    const entries = Object.entries(value).slice(0, MAX_ITEMS)
    return Object.fromEntries(
      entries.map(([key, item]) => [key, SECRETS.has(key) ? CENSOR : plain(item, depth + 1)]),
    )
  } catch {
    return "[unreadable]"
  }
}

const asText = (part: unknown): string => {
  const value = plain(part)
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined")
}

/** What one log call says, but for its level. */
const record = (service: string, options: Logger.Logger.Options<unknown>): Record<string, unknown> =>
  // Values that redact themselves (`Inspectable.Redactable`) look at the fiber that logs.
  Inspectable.withRedactableContext(options.context, () => {
    const parts = Array.isArray(options.message) ? options.message : [options.message]
    const fields: Record<string, unknown> = {
      time: options.date.toISOString(),
      service,
      msg: cut(parts.map(asText).join(" ")),
    }
    const context = FiberRefs.getOrDefault(options.context, FiberRef.currentContext) as Context.Context<never>
    const ids = TraceContext.idsIn(context)
    if (ids !== undefined) {
      fields["trace_id"] = ids.traceId
      fields["span_id"] = ids.spanId
    }
    if (HashMap.size(options.annotations) > 0) {
      for (const [key, value] of options.annotations) {
        const taken = RESERVED.has(key) && !(key === "trace_id" && ids === undefined)
        fields[taken ? `${key}_` : key] = SECRETS.has(key) ? CENSOR : plain(value)
      }
    }
    if (List.isCons(options.spans)) {
      const now = options.date.getTime()
      for (const span of options.spans) fields[`${span.label}_ms`] = now - span.startTime
    }
    if (!Cause.isEmpty(options.cause)) {
      fields["error"] = cut(Cause.pretty(options.cause, { renderErrorCause: true }))
    }
    return fields
  })

/** How the log is written: pino, with our field names. */
const writer = (write: (line: string) => void): Pino =>
  pino(
    {
      base: null,
      // The record brings the time of the call.
      timestamp: false,
      level: "trace",
      formatters: { level: (level) => ({ level }) },
    },
    { write },
  )

/** A logger whose lines (with their line breaks) go to `write`. */
export const make = (service: string, write: (line: string) => void): Logger.Logger<unknown, void> => {
  const log = writer(write)
  return Logger.make((options) => {
    const fields = record(service, options)
    switch (options.logLevel._tag) {
      case "Fatal":
        return log.fatal(fields)
      case "Error":
        return log.error(fields)
      case "Warning":
        return log.warn(fields)
      case "Debug":
        return log.debug(fields)
      case "Trace":
        return log.trace(fields)
      default:
        return log.info(fields)
    }
  })
}

/** The least level that this process logs, while it runs. */
export class LogControl extends Context.Tag("@floodgate/runtime/telemetry/LogControl")<
  LogControl,
  {
    /** The name of the level, as `LOG_LEVEL` spells it. */
    readonly level: () => string
    readonly set: (level: LogLevel.LogLevel) => void
    /** Lines that no target would take, or that one lost, since the start. */
    readonly lost: () => number
  }
>() {}

/** The settings of a process's log. */
export interface JsonLoggerOptions {
  readonly service: string
  readonly minimumLevel: LogLevel.LogLevel
  /** A file that gets every line as JSON, beside standard output, and when it is turned over. */
  readonly file?: { readonly path: string } & RotatingFile.Rotation
  /** Whether standard output gets the pretty form; if it is a terminal, unless said. */
  readonly pretty?: boolean
}

const lostLine = (service: string) => (count: number) =>
  JSON.stringify({
    time: new Date().toISOString(),
    level: "error",
    service,
    msg: "log lines were lost",
    count,
  })

/** A sink that is emptied when the scope closes, and when the process exits without closing it. */
const scopedSink = (target: LogSink.Target, service: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const sink = LogSink.make(target, lostLine(service))
      process.once("exit", sink.flush)
      return sink
    }),
    (sink) =>
      Effect.sync(() => {
        process.removeListener("exit", sink.flush)
        sink.flush()
      }),
  )

/** The longest that the file's last lines may hold up the end of the process. */
const CLOSE_DEADLINE = "1 second"

/** Replaces the default logger, until the scope closes. */
export const layer = (options: JsonLoggerOptions): Layer.Layer<LogControl> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const loggers: Array<Logger.Logger<unknown, void>> = []
      const lost: Array<() => number> = []
      const jsonTo = (sink: LogSink.LogSink) => {
        lost.push(sink.lost)
        loggers.push(make(options.service, (line) => sink.write(line.slice(0, -1))))
      }
      if (options.pretty ?? process.stdout.isTTY === true) {
        loggers.push(Logger.prettyLogger())
      } else {
        jsonTo(yield* scopedSink(LogSink.stdout, options.service))
      }
      if (options.file !== undefined) {
        const { path, ...rotation } = options.file
        const file = yield* Effect.acquireRelease(
          Effect.sync(() => RotatingFile.make(path, rotation)),
          (opened) =>
            Effect.async<void>((resume) => opened.close(() => resume(Effect.void))).pipe(
              Effect.timeoutOption(CLOSE_DEADLINE),
            ),
        )
        lost.push(file.lost)
        jsonTo(yield* scopedSink(file.target, options.service))
      }
      let least = options.minimumLevel
      const gate = (logger: Logger.Logger<unknown, void>) =>
        Logger.make<unknown, void>((call) => {
          if (LogLevel.greaterThanEqual(call.logLevel, least)) logger.log(call)
        })
      return Layer.mergeAll(
        Logger.remove(Logger.defaultLogger),
        // A fiber keeps the minimum that it began with, so what changes while they run is asked at the gate.
        Logger.minimumLogLevel(LogLevel.All),
        ...loggers.map((logger) => Logger.add(gate(logger))),
        Layer.succeed(LogControl, {
          level: () => levelName(least),
          set: (level) => {
            least = level
          },
          lost: () => lost.reduce((sum, count) => sum + count(), 0),
        }),
      )
    }),
  )
