/**
 * Redis, single or Cluster, with answers that say how certain they are. Nothing is ever queued while there is no
 * connection, and nothing is ever sent twice.
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { Cluster, type ClusterOptions, Redis as IORedis, type RedisOptions as IORedisOptions } from "ioredis"
import * as AppConfig from "../config/AppConfig.ts"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as Instrument from "../metrics/Instrument.ts"
import * as Breakers from "../resilience/Breakers.ts"
import { defaults as deadlines, exceeded } from "../resilience/Deadlines.ts"
import { classify, isReply, type RedisError, RedisOutcomeUnknown, RedisUnavailable } from "./RedisError.ts"
import * as RedisMetrics from "./RedisMetrics.ts"
import { StallWatch } from "./StallWatch.ts"

/** An ioredis connection: to one server, or to a Cluster. */
export type RedisConnection = IORedis | Cluster

export interface RunOptions {
  /** How long to wait for the answer, in ms. Default `Deadlines`' "redis.command". */
  readonly deadlineMs?: number
  /** Neither asks the breaker nor tells it anything: for what looks whether Redis is there. */
  readonly bypassBreaker?: boolean
}

export interface RedisService {
  /**
   * Runs one command, pipeline or script. Fails with RedisUnavailable when it certainly wasn't executed (at once, while
   * the breaker is open), with RedisOutcomeUnknown when it was sent and no answer came, with RedisScriptFailed when the
   * answer is an error.
   */
  readonly run: <A>(
    op: string,
    f: (connection: RedisConnection) => Promise<A>,
    options?: RunOptions,
  ) => Effect.Effect<A, RedisError>
  /**
   * A connection of its own, for blocking reads; it has no deadline and is closed with the scope. It waits (at most
   * 3 s) until it is ready, and reconnects by itself; a command on it fails while there is no connection.
   */
  readonly duplicate: Effect.Effect<RedisConnection, never, Scope.Scope>
}

export class Redis extends Context.Tag("@floodgate/runtime/redis/Redis")<Redis, RedisService>() {}

export interface RedisOptions {
  /** `redis://[user:password@]host:port[/db]`, `rediss://…`, or `redis-cluster://[user:password@]host:port,host:port`. */
  readonly url: Config.Config<Redacted.Redacted>
  /** The name of the readiness check, and of the breaker (`redis:<name>`): "redis" unless said. */
  readonly name?: string
  /** Default of `RunOptions.deadlineMs`. */
  readonly deadlineMs?: number
  /** How many operations may wait for an answer; more are refused unsent. Default 10,000. */
  readonly maxInFlight?: number
}

interface Target {
  readonly nodes: ReadonlyArray<{ readonly host: string; readonly port: number }>
  readonly cluster: boolean
  readonly options: IORedisOptions
}

const INVALID =
  "a Redis URL must be redis://[user:password@]host:port[/db] or redis-cluster://host:port,host:port"

/** `new URL` knows no list of hosts. */
const URL_PATTERN =
  /^(redis|rediss|redis-cluster|rediss-cluster):\/\/(?:([^:@/]*):([^@/]*)@)?([^/]+?)(?:\/(\d*))?$/

const parseNode = (text: string): { host: string; port: number } | undefined => {
  const match = /^(?:\[([0-9a-f:]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/i.exec(text)
  return match === null ? undefined : { host: (match[1] ?? match[2])!, port: Number(match[3] ?? 6379) }
}

const parseUrl = (url: Redacted.Redacted): Effect.Effect<Target, AppConfig.ConfigInvalid> =>
  Effect.suspend(() => {
    const match = URL_PATTERN.exec(Redacted.value(url))
    const nodes = match?.[4]?.split(",").map(parseNode) ?? []
    if (match === null || !nodes.every((node) => node !== undefined)) {
      return new AppConfig.ConfigInvalid({ issues: [INVALID] })
    }
    const [, scheme = "", username, password, , db] = match
    const cluster = scheme.endsWith("-cluster")
    if (!cluster && nodes.length > 1) return new AppConfig.ConfigInvalid({ issues: [INVALID] })
    return Effect.succeed({
      nodes,
      cluster,
      options: {
        ...(username ? { username: decodeURIComponent(username) } : {}),
        ...(password ? { password: decodeURIComponent(password) } : {}),
        ...(db ? { db: Number(db) } : {}),
        ...(scheme.startsWith("rediss") ? { tls: {} } : {}),
      },
    })
  })

/** From 50 ms, doubling up to 1 s: a restarted Redis is found again at once, a dead one isn't hammered. */
const backoffMs = (attempt: number): number => Math.min(1000, 50 * 2 ** Math.min(attempt - 1, 6))

/** No data for this long while answers are due means that the peer is gone without having said so. */
const STALL_MS = 5_000

const connectionOptions = (options: IORedisOptions): IORedisOptions => ({
  ...options,
  lazyConnect: true,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  enableReadyCheck: true,
  connectTimeout: deadlines["redis.connect"],
  disconnectTimeout: 500,
  keepAlive: 10_000,
  retryStrategy: backoffMs,
})

const open = (target: Target): RedisConnection => {
  const [first] = target.nodes
  if (!target.cluster) return new IORedis({ ...connectionOptions(target.options), ...first! })
  const options: ClusterOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    // Redirections are answers of a server that did nothing, so following them sends nothing twice. What a lost
    // connection leaves open is never sent again: hence no delay (that is: no retry) on failover.
    maxRedirections: 4,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 50,
    slotsRefreshTimeout: 1_000,
    slotsRefreshInterval: 5_000,
    clusterRetryStrategy: backoffMs,
    redisOptions: { ...connectionOptions(target.options), socketTimeout: STALL_MS },
  }
  return new Cluster([...target.nodes], options)
}

/**
 * What is sent in one turn of the event loop leaves in one write, which is a system call that wakes the server: dearer
 * than most commands. Call it before each command. A Cluster's connections are its own.
 */
const oneWriteATurn = (connection: RedisConnection): (() => void) => {
  if (!(connection instanceof IORedis)) return () => {}
  let held: IORedis["stream"] | undefined
  return () => {
    const { stream } = connection
    if (held === stream) return
    held = stream
    stream.cork()
    process.nextTick(() => {
      if (held === stream) held = undefined
      stream.uncork()
    })
  }
}

type Event = { readonly level: "info" | "warn"; readonly message: string; readonly reason?: string }

/**
 * Listens for what becomes of a connection until told to close it. Without an `error` listener ioredis would print
 * errors by itself.
 */
const watchEvents = (connection: RedisConnection, events: Queue.Queue<Event>): (() => void) => {
  let ready = false
  let lastError: string | undefined
  connection.on("error", (cause: Error) => {
    lastError = cause.message
  })
  connection.on("ready", () => {
    ready = true
    lastError = undefined
    Queue.unsafeOffer(events, { level: "info", message: "redis connected" })
  })
  connection.on("close", () => {
    if (!ready) return
    ready = false
    Queue.unsafeOffer(events, {
      level: "warn",
      message: "redis connection lost",
      ...(lastError === undefined ? {} : { reason: lastError }),
    })
  })
  return () => {
    ready = false
    connection.disconnect()
  }
}

const whenReady = (connection: RedisConnection, withinMs: number): Effect.Effect<boolean> =>
  Effect.async<boolean>((resume) => {
    const done = (ready: boolean) => {
      clearTimeout(timer)
      connection.removeListener("ready", onReady)
      resume(Effect.succeed(ready))
    }
    const onReady = () => done(true)
    // A plain timer: a test clock has no say in how long a connection takes.
    const timer = setTimeout(() => done(false), withinMs)
    if (connection.status === "ready") {
      done(true)
      return
    }
    connection.once("ready", onReady)
    if (connection.status === "wait") connection.connect().catch(() => {})
    return Effect.sync(() => done(false))
  })

const kindOf = (error: RedisError | undefined) => {
  if (error === undefined) return "defect"
  if (error._tag === "RedisOutcomeUnknown") return "outcome_unknown"
  return error._tag === "RedisUnavailable" ? "unavailable" : "refused"
}

/** Connects, and is done when Redis is ready; fails with RedisUnavailable after 3 s. */
export const make = (
  options: RedisOptions,
): Effect.Effect<RedisService, AppConfig.ConfigInvalid | RedisUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const target = yield* parseUrl(yield* AppConfig.load(options.url))
    const maxInFlight = options.maxInFlight ?? 10_000
    const defaultDeadlineMs = options.deadlineMs ?? deadlines["redis.command"]
    const breaker = yield* Breakers.gate("redis", options.name)

    const events = yield* Queue.sliding<Event>(16)
    yield* Queue.take(events).pipe(
      Effect.flatMap(({ level, message, reason }) => {
        const log = level === "info" ? Effect.logInfo(message) : Effect.logWarning(message)
        return Effect.annotateLogs(log, { redis: options.name ?? "redis", ...(reason && { reason }) })
      }),
      Effect.forever,
      Effect.forkScoped,
    )
    const acquire = Effect.acquireRelease(
      Effect.sync(() => {
        const connection = open(target)
        return { connection, close: watchEvents(connection, events) }
      }),
      ({ close }) => Effect.sync(close),
    ).pipe(Effect.map(({ connection }) => connection))

    const connection = yield* acquire
    const holdWrites = oneWriteATurn(connection)
    const watch = yield* Effect.acquireRelease(
      Effect.sync(() => new StallWatch(connection, STALL_MS)),
      (started) => Effect.sync(() => started.stop()),
    )
    if (!(yield* whenReady(connection, deadlines["redis.connect"]))) {
      return yield* new RedisUnavailable({ op: "connect", reason: "no connection within 3 s" })
    }

    const name = options.name ?? "redis"
    RedisMetrics.command.declare({ redis: [name] })
    RedisMetrics.errors.declare({ redis: [name] })
    RedisMetrics.inFlight.declare({ redis: [name] })
    yield* Instrument.observing(() => RedisMetrics.inFlight.set({ redis: name }, watch.inFlight))
    type ErrorKind = Parameters<typeof RedisMetrics.errors.inc>[0]["kind"]
    const countError = (kind: ErrorKind): void => RedisMetrics.errors.inc({ redis: name, kind })

    const send: RedisService["run"] = (op, f, runOptions) =>
      Effect.async((resume) => {
        const gate = runOptions?.bypassBreaker === true ? Breakers.open : breaker
        const ticket = gate.enter()
        if (ticket <= 0) {
          countError("breaker_open")
          resume(
            new RedisUnavailable({ op, reason: "the breaker is open", retryAfterMs: Math.ceil(-ticket) }),
          )
          return
        }
        const deadlineMs = runOptions?.deadlineMs ?? defaultDeadlineMs
        if (connection.status !== "ready") {
          countError("unavailable")
          gate.leave(ticket, "failed", 0, deadlineMs)
          resume(new RedisUnavailable({ op, reason: `the connection is ${connection.status}` }))
          return
        }
        // Counted until the answer is here or the connection is gone, not until the caller has left: a frozen server
        // must not make a queue without end.
        if (watch.inFlight >= maxInFlight) {
          countError("crowded")
          gate.leave(ticket, "ignored", 0, deadlineMs)
          resume(new RedisUnavailable({ op, reason: `${maxInFlight} operations wait for an answer` }))
          return
        }
        const startedAt = performance.now()
        let over = false
        const end = (verdict: Breakers.Verdict): boolean => {
          if (over) return false
          over = true
          clearTimeout(timer)
          const tookMs = performance.now() - startedAt
          RedisMetrics.command.observe({ redis: name, op }, tookMs / 1_000)
          gate.leave(ticket, verdict, tookMs, deadlineMs)
          return true
        }
        const timer = setTimeout(() => {
          // A turn later: answers that came while this process stood still are read first.
          setImmediate(() => {
            if (end(Breakers.timedOut(performance.now() - startedAt, deadlineMs))) {
              countError("outcome_unknown")
              exceeded.inc({
                op: op === "reserve" ? "redis.reserve" : "redis.command",
              })
              resume(new RedisOutcomeUnknown({ op, reason: `no answer within ${deadlineMs} ms` }))
            }
          })
        }, deadlineMs)
        watch.started()
        holdWrites()
        f(connection).then(
          (value) => {
            watch.ended(true)
            if (end("answered")) resume(Effect.succeed(value))
          },
          (cause: unknown) => {
            const answered = isReply(cause)
            watch.ended(answered)
            const error = classify(op, cause)
            // A defect of ours says nothing of Redis, and a refusal of Redis' says that it answers.
            if (end(answered ? "answered" : error === undefined ? "ignored" : "failed")) {
              countError(kindOf(error))
              resume(error === undefined ? Effect.die(cause) : Effect.fail(error))
            }
          },
        )
        return Effect.sync(() => {
          end("ignored")
        })
      })

    // A span costs more than the command's own work: only where the request is traced anyway.
    const run: RedisService["run"] = (op, f, runOptions) =>
      Effect.withFiberRuntime((fiber) => {
        const parent = Context.getOption(fiber.currentContext, Tracer.ParentSpan)
        return parent._tag === "Some" && parent.value.sampled
          ? Effect.withSpan(send(op, f, runOptions), `redis.${op}`, {
              kind: "client",
              captureStackTrace: false,
              attributes: { "db.system.name": "redis", "db.operation.name": op },
            })
          : send(op, f, runOptions)
      })

    const duplicate = Effect.tap(acquire, (blocking) => whenReady(blocking, deadlines["redis.connect"]))

    return { run, duplicate }
  })

/** `make`, with a readiness check. */
export const layer = (
  options: RedisOptions,
): Layer.Layer<Redis, AppConfig.ConfigInvalid | RedisUnavailable, Readiness> =>
  Layer.scoped(
    Redis,
    Effect.gen(function* () {
      const redis = yield* make(options)
      const readiness = yield* Readiness
      yield* readiness.register(
        options.name ?? "redis",
        redis
          .run("ready", (connection) => connection.ping(), { bypassBreaker: true })
          .pipe(
            Effect.as(true),
            Effect.catchAll(() => Effect.succeed(false)),
          ),
      )
      return redis
    }),
  )
