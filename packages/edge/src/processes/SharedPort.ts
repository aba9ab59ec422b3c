/**
 * Several processes of the edge on one port, so that one address uses several cores. The first process takes the
 * connections and hands them out in turn (`node:cluster`); each of the others is a whole edge, as two edges on two machines
 * are: they share what Redis holds and nothing else. One that dies takes its own connections with it, and is started again.
 */
import cluster from "node:cluster"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

export const MOST_PROCESSES = 16

/** Before a process that has just ended is started again, the first time in a row and at most (ms). */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000
/** What has listened for so long (ms) begins a new row. */
const SETTLED_MS = 30_000

/** What the first process says to the others, whatever signals they get themselves. */
const STOP = "stop"

/** `EDGE_PROCESSES`: how many processes share the edge's port; 1, which is no sharing, unless said. */
export const count: Config.Config<number> = Config.string("EDGE_PROCESSES").pipe(
  Config.withDefault("1"),
  Config.mapOrFail((text) => {
    const value = Number(text)
    return /^\d+$/.test(text) && value >= 1 && value <= MOST_PROCESSES
      ? Either.right(value)
      : Either.left(
          ConfigError.InvalidData(["EDGE_PROCESSES"], `must be a whole number from 1 to ${MOST_PROCESSES}`),
        )
  }),
)

/** The ops port of the first of those that share; the next one's is one higher. The port's holder has `EDGE_OPS_PORT`. */
export const firstOpsPort = AppConfig.port("edgeWorkerOps")

/** One that shares the port ended before it had ever listened: what it said itself is in the log. */
export class SharerFailed extends Data.TaggedError("SharerFailed")<{
  readonly number: number
  readonly how: string
}> {
  override get message(): string {
    return `process ${this.number} of the edge ended (${this.how}) before it listened`
  }
}

const restarts = Instrument.counter(
  "floodgate_edge_process_restarts_total",
  "Processes sharing the edge's port that ended by themselves and were started again",
  {},
)
const listeningNow = Instrument.gauge(
  "floodgate_edge_processes_listening",
  "Processes that listen on the edge's port; 0 where it isn't shared",
  {},
)

/** Whether this is one of those that share. */
const isSharer: boolean = cluster.isWorker

/** How the port's holder stops one that shares: for `Main.run`. */
export const stoppedByHolder = (stop: (reason: string) => void): void => {
  if (!isSharer) return
  process.on("message", (message) => {
    if (message === STOP) stop("the holder of the port stops")
  })
}

interface Sharer {
  readonly listens: Deferred.Deferred<void>
  /** By which signal or code. */
  readonly ended: Deferred.Deferred<string>
}

/** Starts one until the scope closes: then it is told to stop, and waited for. */
const start = (opsPort: number): Effect.Effect<Sharer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const worker = cluster.fork({ EDGE_OPS_PORT: String(opsPort) })
      const listens = Deferred.unsafeMake<void>(FiberId.none)
      const ended = Deferred.unsafeMake<string>(FiberId.none)
      worker.once("listening", () => Deferred.unsafeDone(listens, Effect.void))
      worker.once("exit", (code, signal) =>
        Deferred.unsafeDone(ended, Effect.succeed(signal ?? `code ${code}`)),
      )
      // A message to one that has just died; its end is told by "exit".
      worker.on("error", () => undefined)
      return { worker, listens, ended }
    }),
    ({ ended, worker }) =>
      Effect.zipRight(
        Effect.sync(() => {
          if (worker.isConnected()) worker.send(STOP)
        }),
        Deferred.await(ended),
      ),
  )

/** Holds the port for so many; built once each of them listens. */
const holder = (processes: number): Layer.Layer<never, SharerFailed | AppConfig.ConfigInvalid, Readiness> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const opsPort = yield* AppConfig.load(firstOpsPort)
      const readiness = yield* Readiness
      const listening = new Set<number>()
      yield* readiness.register(
        "processes",
        Effect.sync(() => listening.size > 0),
      )
      yield* Instrument.observing(() => listeningNow.set({}, listening.size))
      cluster.schedulingPolicy = cluster.SCHED_RR

      /** One life of a process: how it ended, and for how long it had listened (ms); undefined where it never did. */
      const live = (number: number, onListens: Effect.Effect<unknown>) =>
        Effect.scoped(
          Effect.gen(function* () {
            const sharer = yield* start(opsPort + number - 1)
            const listens = yield* Effect.raceFirst(
              Effect.as(Deferred.await(sharer.listens), true),
              Effect.as(Deferred.await(sharer.ended), false),
            )
            if (!listens) return { how: yield* Deferred.await(sharer.ended), listenedMs: undefined }
            const sinceMs = performance.now()
            listening.add(number)
            yield* onListens
            const how = yield* Effect.ensuring(
              Deferred.await(sharer.ended),
              Effect.sync(() => listening.delete(number)),
            )
            return { how, listenedMs: performance.now() - sinceMs }
          }),
        )

      const keep = (number: number, begun: Deferred.Deferred<void, SharerFailed>) =>
        Effect.gen(function* () {
          let pauseMs = FIRST_PAUSE_MS
          for (;;) {
            const { how, listenedMs } = yield* live(number, Deferred.succeed(begun, undefined))
            if (
              listenedMs === undefined &&
              (yield* Deferred.fail(begun, new SharerFailed({ number, how })))
            ) {
              return
            }
            if ((listenedMs ?? 0) >= SETTLED_MS) pauseMs = FIRST_PAUSE_MS
            yield* Effect.annotateLogs(
              Effect.logError("a process of the edge has ended; it is started again"),
              {
                process: number,
                how,
                pause_ms: pauseMs,
              },
            )
            restarts.inc({})
            yield* Effect.sleep(pauseMs)
            pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
          }
        })

      const begun = yield* Effect.replicateEffect(Deferred.make<void, SharerFailed>(), processes)
      // All in one fiber: on a stop they leave together.
      yield* Effect.forkScoped(
        Effect.forEach(begun, (one, i) => keep(i + 1, one), { concurrency: "unbounded", discard: true }),
      )
      yield* Effect.forEach(begun, Deferred.await, { concurrency: "unbounded", discard: true })
      yield* Effect.logInfo(`${processes} processes share the edge's port`)
    }),
  )

/** The edge as it is configured: alone in this process, in several of which this holds the port, or as one of those. */
export const layer = <E, R>(
  edge: Layer.Layer<never, E, R>,
): Layer.Layer<never, E | SharerFailed | AppConfig.ConfigInvalid, R | Readiness> =>
  isSharer
    ? edge
    : Layer.unwrapEffect(
        Effect.map(
          AppConfig.load(count),
          (processes): Layer.Layer<never, E | SharerFailed | AppConfig.ConfigInvalid, R | Readiness> =>
            processes === 1 ? edge : holder(processes),
        ),
      )
