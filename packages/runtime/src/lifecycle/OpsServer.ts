/**
 * The private HTTP port of every process: `/livez` (the event loop turns) and `/readyz` (it should get traffic; and its breakers), as
 * small JSON. Further routes, such as metrics, are given as effects. Never reachable from the public port.
 */
import * as Http from "node:http"
import type * as Net from "node:net"
import * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as AppConfig from "../config/AppConfig.ts"
import * as Bounded from "../resilience/Bounded.ts"
import * as Breakers from "../resilience/Breakers.ts"
import { Readiness } from "./Readiness.ts"

/** The ops port can't be had; mostly because another process holds it. Happens at start only. */
export class OpsBindFailed extends Data.TaggedError("OpsBindFailed")<{
  readonly host: string
  readonly port: number
  readonly reason: string
}> {
  override get message(): string {
    return `The ops server can't listen on ${this.host}:${this.port} (${this.reason})`
  }
}

/** What a route answers. */
export interface OpsAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

/** What answers a route, given the query of its address. */
export type OpsRoute = Effect.Effect<OpsAnswer> | ((query: URLSearchParams) => Effect.Effect<OpsAnswer>)

/** Routes by exact path, for GET and HEAD; another method stands before the path: `PUT /log-level`. */
export type OpsRoutes = Readonly<Record<string, OpsRoute>>

/** The server's settings. */
export interface OpsOptions {
  readonly service: string
  readonly port: Config.Config<number>
  /** `BIND_HOST` unless said. */
  readonly host?: Config.Config<string>
  /** Beside `/livez` and `/readyz`. */
  readonly routes?: OpsRoutes
}

/** The longest a route may take (ms); the readiness checks' own deadline is shorter. */
const ROUTE_DEADLINE_MS = 2_000
/** Requests in hand and waiting; probes and one scraper need a handful. */
const WORKERS = 4
const MAX_WAITING = 64

/** An answer of JSON. */
export const json = (status: number, body: unknown): OpsAnswer => ({
  status,
  contentType: "application/json; charset=utf-8",
  body: JSON.stringify(body),
})

interface Asked {
  readonly request: Http.IncomingMessage
  readonly response: Http.ServerResponse
}

const answer = ({ request, response }: Asked, reply: OpsAnswer): void => {
  if (response.writableEnded || response.destroyed) return
  response.writeHead(reply.status, {
    "content-type": reply.contentType,
    "content-length": Buffer.byteLength(reply.body),
    "cache-control": "no-store",
  })
  response.end(request.method === "HEAD" ? undefined : reply.body)
}

/** Starts the server until the scope closes; yields the port that it got. */
export const make = (
  options: OpsOptions,
): Effect.Effect<
  { readonly port: number },
  AppConfig.ConfigInvalid | OpsBindFailed,
  Readiness | Scope.Scope
> =>
  Effect.gen(function* () {
    const readiness = yield* Readiness
    const port = yield* AppConfig.load(options.port)
    const host = yield* AppConfig.load(options.host ?? AppConfig.bindHost)
    const startedAt = Date.now()
    const known = yield* Effect.serviceOption(Breakers.Breakers)
    const breakers = () => (Option.isSome(known) ? { breakers: known.value.states() } : {})

    const routes = new Map<string, OpsRoute>([
      ...Object.entries(options.routes ?? {}),
      [
        "/livez",
        Effect.sync(() =>
          json(200, {
            live: true,
            service: options.service,
            pid: process.pid,
            uptime_ms: Date.now() - startedAt,
          }),
        ),
      ],
      [
        "/readyz",
        Effect.map(readiness.status, (status) =>
          // Breakers are shown, and have no say: an edge without identity still sells.
          json(status.ready ? 200 : 503, { ...status, ...breakers() }),
        ),
      ],
    ])

    const routeOf = ({ method, url }: Http.IncomingMessage): OpsRoute | undefined => {
      const [path = "/"] = (url ?? "/").split("?", 1)
      return routes.get(method === "GET" || method === "HEAD" ? path : `${method} ${path}`)
    }

    // The listener hands over by a bounded queue, so that no effect is run from a callback.
    const asked = yield* Effect.acquireRelease(Queue.bounded<Asked>(MAX_WAITING), Queue.shutdown)

    const listener = (request: Http.IncomingMessage, response: Http.ServerResponse): void => {
      const one = { request, response }
      if (routeOf(request) === undefined && request.method !== "GET" && request.method !== "HEAD") {
        answer(one, json(405, { error: "method not allowed" }))
      } else if (!asked.unsafeOffer(one)) {
        answer(one, json(503, { error: "too many requests" }))
      }
    }

    const handle = (one: Asked): Effect.Effect<void> => {
      const route = routeOf(one.request)
      if (route === undefined) return Effect.sync(() => answer(one, json(404, { error: "not found" })))
      const query = new URLSearchParams((one.request.url ?? "").split("?")[1] ?? "")
      return (Effect.isEffect(route) ? route : Effect.suspend(() => route(query))).pipe(
        Bounded.failAfter(ROUTE_DEADLINE_MS, () => json(503, { error: "timed out" })),
        Effect.merge,
        Effect.catchAllCause((cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.interrupt
            : Effect.as(Effect.logError("ops route failed", cause), json(500, { error: "internal" })),
        ),
        Effect.flatMap((reply) => Effect.sync(() => answer(one, reply))),
      )
    }

    yield* Queue.take(asked).pipe(
      Effect.flatMap(handle),
      Effect.forever,
      Effect.replicateEffect(WORKERS, { concurrency: "unbounded", discard: true }),
      Effect.forkScoped,
    )

    const server = yield* Effect.acquireRelease(
      Effect.async<Http.Server, OpsBindFailed>((resume) => {
        const http = Http.createServer(
          { requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 5_000, maxHeaderSize: 8_192 },
          listener,
        )
        http.maxConnections = 2 * MAX_WAITING
        http.once("error", (cause: NodeJS.ErrnoException) =>
          resume(
            Exit.fail(
              new OpsBindFailed({
                host,
                port,
                reason: cause.code === "EADDRINUSE" ? "the port is taken" : (cause.code ?? cause.message),
              }),
            ),
          ),
        )
        // Also where processes share their public port: each has figures of its own.
        http.listen({ host, port, exclusive: true }, () => resume(Exit.succeed(http)))
      }),
      (http) =>
        Effect.async<void>((resume) => {
          http.close(() => resume(Exit.void))
          http.closeAllConnections()
        }),
    )
    return { port: (server.address() as Net.AddressInfo).port }
  })

/** `make` as a layer. */
export const layer = (
  options: OpsOptions,
): Layer.Layer<never, AppConfig.ConfigInvalid | OpsBindFailed, Readiness> =>
  Layer.scopedDiscard(make(options))
