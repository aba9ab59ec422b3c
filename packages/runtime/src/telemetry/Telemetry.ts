/**
 * The log and the tracer of a process, by its configuration: `LOG_LEVEL`, `LOG_FILE` and its rotation, `OTEL_TRACES_EXPORTER`
 * (`otlp`, `jaeger` or `none`), `OTEL_TRACES_SAMPLER_ARG`, and the chosen exporter's endpoint.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as AppConfig from "../config/AppConfig.ts"
import * as JsonLogger from "./JsonLogger.ts"
import * as Sampling from "./Sampling.ts"

/** Levels as `LOG_LEVEL` spells them. */
export const levels: Readonly<Record<string, LogLevel.LogLevel>> = {
  all: LogLevel.All,
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warn: LogLevel.Warning,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  fatal: LogLevel.Fatal,
  none: LogLevel.None,
}

/** `LOG_LEVEL`: the least level that is logged; `info` unless said. */
export const logLevel: Config.Config<LogLevel.LogLevel> = Config.string("LOG_LEVEL").pipe(
  Config.mapOrFail((text) => {
    const level = levels[text.toLowerCase()]
    return level === undefined
      ? Either.left(ConfigError.InvalidData([], `must be one of ${Object.keys(levels).join(", ")}`))
      : Either.right(level)
  }),
  Config.orElseIf({ if: ConfigError.isMissingDataOnly, orElse: () => Config.succeed(LogLevel.Info) }),
)

const exporters = ["otlp", "jaeger", "none"] as const

/** `OTEL_TRACES_EXPORTER`: how traces leave; `otlp` unless said. */
export const tracesExporter: Config.Config<(typeof exporters)[number]> = Config.string(
  "OTEL_TRACES_EXPORTER",
).pipe(
  Config.mapOrFail((text) => {
    const exporter = exporters.find((one) => one === text)
    return exporter === undefined
      ? Either.left(ConfigError.InvalidData([], `must be one of ${exporters.join(", ")}`))
      : Either.right(exporter)
  }),
  Config.orElseIf({ if: ConfigError.isMissingDataOnly, orElse: () => Config.succeed("otlp" as const) }),
)

const endpoint = (
  key: string,
  port: "jaegerOtlpHttp" | "jaegerThriftHttp",
  path: string,
): Config.Config<string> =>
  Config.string(key).pipe(
    Config.mapOrFail((text) =>
      /^https?:\/\/\S+$/.test(text)
        ? Either.right(text)
        : Either.left(ConfigError.InvalidData([], "must be a http URL")),
    ),
    Config.orElseIf({
      if: ConfigError.isMissingDataOnly,
      orElse: () =>
        Config.mapOrFail(Config.all([AppConfig.appEnv, Config.option(AppConfig.port(port))]), ([env, own]) =>
          env === "dev" && Option.isSome(own)
            ? Either.right(`http://127.0.0.1:${own.value}${path}`)
            : AppConfig.noDefault,
        ),
    }),
  )

/** `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector's base URL (OTLP over HTTP); in dev, the stack's Jaeger. */
export const otlpEndpoint: Config.Config<string> = endpoint(
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  "jaegerOtlpHttp",
  "",
)

/** `OTEL_EXPORTER_JAEGER_ENDPOINT`: the collector's thrift URL; in dev, the stack's Jaeger. */
export const jaegerEndpoint: Config.Config<string> = endpoint(
  "OTEL_EXPORTER_JAEGER_ENDPOINT",
  "jaegerThriftHttp",
  "/api/traces",
)

const filled = (key: string, pattern: RegExp, problem: string, ordinary: string): Config.Config<string> =>
  Config.string(key).pipe(
    Config.mapOrFail((text) =>
      pattern.test(text) ? Either.right(text) : Either.left(ConfigError.InvalidData([], problem)),
    ),
    Config.orElseIf({ if: ConfigError.isMissingDataOnly, orElse: () => Config.succeed(ordinary) }),
  )

/**
 * `LOG_FILE`, and when it is turned over: at `LOG_MAX_SIZE` (64M), at the age of `LOG_MAX_AGE` (1d); `LOG_MAX_FILES`
 * (8) old ones are kept.
 */
export const logFile = Config.all({
  path: Config.nonEmptyString("LOG_FILE"),
  maxSize: filled("LOG_MAX_SIZE", /^[1-9]\d{0,5}[BKMG]$/, "must be a size such as 64M", "64M"),
  maxAge: filled(
    "LOG_MAX_AGE",
    /^([1-9]\d?d|(1|2|3|4|6|8|12|24)h)$/,
    "must be an age such as 1d or 6h",
    "1d",
  ),
  maxFiles: Config.map(filled("LOG_MAX_FILES", /^[1-9]\d{0,2}$/, "must be a count of files", "8"), Number),
})

const logger = (service: string): Layer.Layer<JsonLogger.LogControl, AppConfig.ConfigInvalid> =>
  Layer.unwrapEffect(
    Effect.map(
      AppConfig.load(Config.all({ minimumLevel: logLevel, file: Config.option(logFile) })),
      ({ file, minimumLevel }) =>
        JsonLogger.layer({
          service,
          minimumLevel,
          ...(Option.isSome(file) ? { file: file.value } : undefined),
        }),
    ),
  )

/** What is traced, how much of it and to where; undefined where nothing is. Invalid when a key above is. */
export const tracing = Effect.gen(function* () {
  const protocol = yield* AppConfig.load(tracesExporter)
  if (protocol === "none") return undefined
  const { environment, ratio, endpoint } = yield* AppConfig.load(
    Config.all({
      environment: AppConfig.appEnv,
      ratio: Sampling.ratio,
      endpoint: protocol === "otlp" ? otlpEndpoint : jaegerEndpoint,
    }),
  )
  return { environment, ratio, exporter: { protocol, endpoint } }
})

const tracer = (service: string): Layer.Layer<never, AppConfig.ConfigInvalid> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const settings = yield* tracing
      // Off means off: no span objects, no SDK in memory.
      if (settings === undefined) return Layer.setTracerEnabled(false)
      const { layer } = yield* Effect.promise(() => import("./OtelTracing.ts"))
      return layer({ service, ...settings })
    }),
  )

/**
 * The logger and the tracer of `service`. Invalid when a key above is; the tracer is closed before the log, so that
 * what it has to say is still logged.
 */
export const layer = (service: string): Layer.Layer<JsonLogger.LogControl, AppConfig.ConfigInvalid> =>
  Layer.provideMerge(tracer(service), logger(service))
