/**
 * The log: one JSON object a line, `{time, level, service, msg, trace_id, span_id, …annotations, error}`. Times are
 * RFC 3339 in UTC with milliseconds, levels lower-case. On a terminal, people get Effect's pretty form instead.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as List from "effect/List"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as LogSink from "./LogSink.ts"
import * as TraceContext from "./TraceContext.ts"

/** The longest text of one field, in characters; a longer one is cut and says so. */
export const MAX_TEXT = 16_384

/** Fields that an annotation can't take over; one that is called so is written as `<name>_`. */
const RESERVED = new Set(["time", "level", "service", "msg", "trace_id", "span_id", "error"])

const levelName = (level: LogLevel.LogLevel): string =>
  level._tag === "Warning" ? "warn" : level._tag.toLowerCase()

const cut = (text: string): string =>
  text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}… (${text.length - MAX_TEXT} more)`

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
    return Object.fromEntries(entries.map(([key, item]) => [key, plain(item, depth + 1)]))
  } catch {
    return "[unreadable]"
  }
}

const asText = (part: unknown): string => {
  const value = plain(part)
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined")
}

/** The line of one log call, without its line break. */
export const line = (service: string, options: Logger.Logger.Options<unknown>): string => {
  // Values that redact themselves (`Inspectable.Redactable`) look at the fiber that logs.
  return Inspectable.withRedactableContext(options.context, () => {
    const parts = Array.isArray(options.message) ? options.message : [options.message]
    const record: Record<string, unknown> = {
      time: options.date.toISOString(),
      level: levelName(options.logLevel),
      service,
      msg: cut(parts.map(asText).join(" ")),
    }
    const context = FiberRefs.getOrDefault(options.context, FiberRef.currentContext) as Context.Context<never>
    const ids = TraceContext.idsIn(context)
    if (ids !== undefined) {
      record["trace_id"] = ids.traceId
      record["span_id"] = ids.spanId
    }
    if (HashMap.size(options.annotations) > 0) {
      for (const [key, value] of options.annotations) {
        record[RESERVED.has(key) ? `${key}_` : key] = plain(value)
      }
    }
    if (List.isCons(options.spans)) {
      const now = options.date.getTime()
      for (const span of options.spans) record[`${span.label}_ms`] = now - span.startTime
    }
    if (!Cause.isEmpty(options.cause)) {
      record["error"] = cut(Cause.pretty(options.cause, { renderErrorCause: true }))
    }
    return JSON.stringify(record)
  })
}

/** The settings of a process's log. */
export interface JsonLoggerOptions {
  readonly service: string
  readonly minimumLevel: LogLevel.LogLevel
  /** A file that gets every line as JSON, beside standard output. */
  readonly file?: string
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

const jsonTo = (sink: LogSink.LogSink, service: string): Logger.Logger<unknown, void> =>
  Logger.make((options) => sink.write(line(service, options)))

/** Replaces the default logger, until the scope closes. */
export const layer = (options: JsonLoggerOptions): Layer.Layer<never> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const loggers: Array<Logger.Logger<unknown, void>> = []
      if (options.pretty ?? process.stdout.isTTY === true) {
        loggers.push(Logger.prettyLogger())
      } else {
        loggers.push(jsonTo(yield* scopedSink(LogSink.stdout, options.service), options.service))
      }
      if (options.file !== undefined) {
        const path = options.file
        const file = yield* Effect.acquireRelease(
          Effect.sync(() => LogSink.file(path)),
          (opened) => Effect.sync(opened.close),
        )
        loggers.push(jsonTo(yield* scopedSink(file.target, options.service), options.service))
      }
      return Layer.mergeAll(
        Logger.remove(Logger.defaultLogger),
        Logger.minimumLogLevel(options.minimumLevel),
        ...loggers.map((logger) => Logger.add(logger)),
      )
    }),
  )
