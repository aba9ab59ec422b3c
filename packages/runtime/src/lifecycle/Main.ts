/**
 * How a service's process runs, from its first line to its exit code. Every service's `main.ts` calls `run`, and
 * nothing else runs a service.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as AppConfig from "../config/AppConfig.ts"
import * as Exposition from "../metrics/Exposition.ts"
import * as Instrument from "../metrics/Instrument.ts"
import * as ProcessMetrics from "../metrics/ProcessMetrics.ts"
import * as Breakers from "../resilience/Breakers.ts"
import * as Deadlines from "../resilience/Deadlines.ts"
import * as ResilienceMetrics from "../resilience/ResilienceMetrics.ts"
import * as Retries from "../resilience/Retries.ts"
import * as JsonLogger from "../telemetry/JsonLogger.ts"
import * as LogSink from "../telemetry/LogSink.ts"
import * as Telemetry from "../telemetry/Telemetry.ts"
import * as TelemetryMetrics from "../telemetry/TelemetryMetrics.ts"
import * as LogLevelRoute from "./LogLevelRoute.ts"
import * as OpsServer from "./OpsServer.ts"
import * as Readiness from "./Readiness.ts"
import * as ShiftedClock from "./ShiftedClock.ts"

/** The longest that stopping may take (ms). */
export const DRAIN_BOUND_MS = 10_000

/** The longest that starting may take (ms). Engines that are slow to come are what it waits for. */
export const START_BOUND_MS = 60_000

/** What a service is. */
export interface RunOptions<E> {
  /** Its name in logs and traces. */
  readonly service: string
  /** Everything it does, from its listeners to its workers. */
  readonly layer: Layer.Layer<
    never,
    E,
    Readiness.Readiness | Breakers.Breakers | Deadlines.Deadlines | Retries.Retries
  >
  /** The port of `/livez`, `/readyz` and `/metrics`. */
  readonly opsPort: Config.Config<number>
  /**
   * Everything it reads from its configuration, checked before anything starts. Layers report their own keys, but a
   * layer that fails stops those beside it: with this list, one start shows every missing key of the service.
   */
  readonly requires?: ReadonlyArray<Config.Config<unknown>>
  /** Further routes of the ops server. */
  readonly routes?: OpsServer.OpsRoutes
  /** What stops it beside signals; told as often as it likes, it stops once. */
  readonly stoppedBy?: (stop: (reason: string) => void) => void
  /** The longest that stopping may take (ms): `DRAIN_BOUND_MS` unless a test says otherwise. */
  readonly drainBoundMs?: number
  /** The longest that starting may take (ms): `START_BOUND_MS` unless a test says otherwise. */
  readonly startBoundMs?: number
}

const isConfigInvalid = (error: unknown): error is AppConfig.ConfigInvalid =>
  error instanceof AppConfig.ConfigInvalid

/** One line that says why the process ends. A configuration's problems need no stack, and are told together. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const failures = Chunk.toReadonlyArray(Cause.failures(cause))
  const invalid = failures.filter(isConfigInvalid)
  if (invalid.length > 0 && invalid.length === failures.length) {
    const merged = AppConfig.ConfigInvalid.merge(invalid)
    return Effect.logFatal(merged.message).pipe(Effect.annotateLogs({ issues: merged.issues }))
  }
  return Effect.logFatal("the service failed", cause)
}

/** Fails with everything that is wrong with the configuration at once, telemetry's part included. */
const checkConfiguration = <E>(options: RunOptions<E>): Effect.Effect<void, AppConfig.ConfigInvalid> =>
  Effect.partition(
    [
      Effect.asVoid(AppConfig.load(Config.all([...(options.requires ?? []), options.opsPort]))),
      Effect.asVoid(Telemetry.tracing),
    ],
    (check) => check,
  ).pipe(
    Effect.flatMap(([invalid]) =>
      invalid.length === 0 ? Effect.void : Effect.fail(AppConfig.ConfigInvalid.merge(invalid)),
    ),
  )

/** The life of a service after its telemetry is up, until `stop`. Fails as its layer, or one of its finalizers, fails. */
const live = <E>(options: RunOptions<E>, stop: Deferred.Deferred<string>, onStarted: () => void) =>
  Effect.scoped(
    Effect.gen(function* () {
      const readiness = yield* Readiness.Readiness
      const logs = yield* JsonLogger.LogControl
      yield* ResilienceMetrics.watch
      yield* Instrument.observing(() => TelemetryMetrics.logLinesLost.reach({}, logs.lost()))
      let started = false
      yield* readiness.register(
        "started",
        Effect.sync(() => started),
      )
      // In the outer scope: it answers probes while the service starts and while it drains.
      yield* OpsServer.make({
        service: options.service,
        port: options.opsPort,
        routes: {
          ...(yield* Exposition.routes(options.service)),
          ...LogLevelRoute.routes(logs),
          ...options.routes,
        },
      })

      const app = yield* Effect.fork(
        Effect.scoped(
          Effect.gen(function* () {
            yield* Layer.build(options.layer)
            started = true
            onStarted()
            yield* Effect.logInfo("ready")
            return yield* Effect.never
          }),
        ),
      )
      const signal = yield* Effect.raceFirst(Fiber.join(app), Deferred.await(stop))

      yield* readiness.drain
      yield* Effect.logInfo("draining").pipe(Effect.annotateLogs({ signal }))
      // Interruption closes the service's scope, in reverse order of its layers.
      const ended = yield* Fiber.interrupt(app)
      if (Exit.isFailure(ended) && !Cause.isInterruptedOnly(ended.cause)) {
        return yield* Effect.failCause(ended.cause)
      }
      yield* Effect.logInfo("stopped")
    }),
  )

/**
 * Runs a service until SIGTERM or SIGINT, and exits the process.
 *
 * Start: configuration, telemetry, ops server, the service's layer; ready once all of it is built. A layer that fails
 * is logged (a `ConfigInvalid` with all its keys) and exits 1; so does a start that takes longer than a minute. Stop:
 * not ready, the layer's scope closed in reverse order so that work in hand finishes, ops server, spans flushed, exit
 * 0. Stopping that takes longer than 10 s exits 1; so does a second signal, at once.
 */
export const run = <E>(options: RunOptions<E>): void => {
  const boundMs = options.drainBoundMs ?? DRAIN_BOUND_MS
  const startBoundMs = options.startBoundMs ?? START_BOUND_MS
  const stop = Deferred.unsafeMake<string>(FiberId.none)
  let stopping = false

  /** For what can't wait for a fiber: one line, past the log's buffer. */
  const say = (level: string, msg: string, error?: string): void => {
    const record = { time: new Date().toISOString(), level, service: options.service, msg, error }
    LogSink.stdout(`${JSON.stringify(record)}\n`)
  }
  const exitNow = (msg: string, error?: string): void => {
    say("fatal", msg, error)
    process.exit(1)
  }

  // Ends a start that hangs, and one that failed but can't close what it had built: Effect tells of the failure only
  // once that is closed.
  const starting = setTimeout(() => exitNow(`starting took longer than ${startBoundMs} ms`), startBoundMs)

  /** From here on, the process ends within the bound. The timer keeps the loop alive: an empty one would exit 0. */
  const beginStopping = (reason: string): void => {
    if (stopping) return
    stopping = true
    clearTimeout(starting)
    setTimeout(() => exitNow(`stopping took longer than ${boundMs} ms`), boundMs)
    Deferred.unsafeDone(stop, Effect.succeed(reason))
  }

  let signalled = false
  const onSignal = (signal: NodeJS.Signals): void => {
    // The first may come after what else stops it: a terminal signals a process and those that it looks after.
    if (signalled) exitNow(`${signal} while stopping`)
    signalled = true
    beginStopping(signal)
  }
  process.on("SIGTERM", onSignal)
  process.on("SIGINT", onSignal)
  options.stoppedBy?.(beginStopping)
  process.on("uncaughtException", (error) => exitNow("uncaught exception", error?.stack ?? String(error)))
  // A log whose reader is gone must not end the service; LogSink counts what it can't write.
  process.stdout.on("error", () => undefined)

  const services = Layer.mergeAll(
    Readiness.layer,
    Breakers.layer,
    Deadlines.layer,
    Retries.layer,
    ProcessMetrics.layer(options.service),
  )
  const plainLog = JsonLogger.layer({ service: options.service, minimumLevel: LogLevel.Info })

  const program = live(options, stop, () => clearTimeout(starting)).pipe(
    Effect.as(0),
    Effect.catchAllCause((cause) => Effect.as(report(cause), 1)),
    Effect.provide(services),
    Effect.provide(Telemetry.layer(options.service)),
    (service) => Effect.zipRight(checkConfiguration(options), service),
    (service) =>
      globalThis.__FLOODGATE_FAULTS__ ? Effect.zipRight(ShiftedClock.install(), service) : service,
    // Only configuration and telemetry can fail here, so there is no log yet to say it in.
    Effect.catchAllCause((cause) => Effect.as(Effect.provide(report(cause), plainLog), 1)),
    Effect.provide(AppConfig.providerLayer),
  )

  const keepAlive = setInterval(() => undefined, 2 ** 31 - 1)
  Effect.runFork(program).addObserver((exit) => {
    clearInterval(keepAlive)
    process.exit(Exit.isSuccess(exit) ? exit.value : 1)
  })
}
