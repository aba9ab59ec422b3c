/**
 * The public HTTP server: one Node listener that sends the rush to its own path and everything else to the HttpApi, and
 * that answers by itself what neither should see.
 */
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import {
  type FloodgateError,
  InvalidInput,
  MethodNotAllowed,
  NotFound,
} from "@floodgate/contracts/errors/Errors"
import * as Media from "@floodgate/contracts/http/MediaApi"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EdgeConfig } from "./EdgeConfig.ts"
import * as BodyGate from "./http/BodyGate.ts"
import * as ClientAddress from "./http/ClientAddress.ts"
import * as Cors from "./http/Cors.ts"
import * as Exchange from "./http/Exchange.ts"
import * as HttpMetrics from "./http/HttpMetrics.ts"
import * as LargeBodies from "./http/LargeBodies.ts"
import * as RawAnswer from "./http/RawAnswer.ts"
import * as Reply from "./http/Reply.ts"
import * as RouteTable from "./http/RouteTable.ts"
import * as SecurityHeaders from "./http/SecurityHeaders.ts"
import { type BaseHeaders, send } from "./http/Send.ts"
import * as Limiter from "./limits/Limiter.ts"
import * as RouteLimits from "./limits/RouteLimits.ts"
import * as Pictures from "./media/Pictures.ts"
import * as Pages from "./pages/Pages.ts"
import * as Site from "./pages/Site.ts"
import * as HotProduct from "./products/HotProduct.ts"
import * as EventsListener from "./push/EventsListener.ts"
import { Push } from "./push/Push.ts"
import * as RiskGate from "./risk/RiskGate.ts"
import * as HotSeckill from "./seckill/HotSeckill.ts"
import { ServerClock } from "./seckill/ServerClock.ts"

/** The port can't be had. Happens at start only. */
export class EdgeBindFailed extends Data.TaggedError("EdgeBindFailed")<{
  readonly host: string
  readonly port: number
  readonly reason: string
}> {
  override get message(): string {
    return `${this.host}:${this.port} can't be listened on: ${this.reason}`
  }
}

/** Where it listens: the port that was got, where 0 was asked for. */
export class EdgeServer extends Context.Tag("@floodgate/edge/EdgeServer")<
  EdgeServer,
  { readonly port: number }
>() {}

/** How long requests in hand get to finish when the server closes (ms). */
export const CLOSE_GRACE_MS = 5_000

const serverOptions: Http.ServerOptions = {
  headersTimeout: 5_000,
  // With the interval at which it is looked at, a request is in, or over, within 10 s.
  requestTimeout: 9_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 30_000,
  maxHeaderSize: 16 * 1024,
  noDelay: true,
  // Node's own answer to a request without a Host has no envelope; nothing here depends on the name.
  requireHostHeader: false,
}

const MAX_CONNECTIONS = 50_000

const notFound = new NotFound({})
const malformedPath = InvalidInput.at("", "has a path that is not well formed")
/** In place of a body that wasn't read. */
const NO_BYTES = new Uint8Array(0)
const HAS_BODY = new Set(["POST", "PUT", "PATCH", "DELETE"])

/** The target's path and query, also of the absolute form that proxies send. */
const originForm = (url: string): string => {
  if (url.startsWith("/") || url === "*" || !URL.canParse(url)) return url
  const { pathname, search } = new URL(url)
  return pathname + search
}

/** The largest body that may be asked for before anybody has looked at the rest of a request. */
const limitOf = (request: Http.IncomingMessage): number =>
  originForm(request.url ?? "/").split("?", 1)[0] === Media.PATH ? Media.MAX_BYTES : BodyGate.MAX_BODY_BYTES

type Handler = (request: Http.IncomingMessage, response: Http.ServerResponse) => void

const makeListener = Effect.gen(function* () {
  const { corsOrigins, hsts, mediaDir, sampleShare, trustedProxies, webDir } = yield* EdgeConfig
  const readiness = yield* Readiness
  const serverClock = yield* ServerClock
  const table = RouteTable.make()
  const { metrics, observe } = HttpMetrics.make(table.routes, new Set([EventsListener.PATH]))
  yield* observe
  const hot = yield* HotSeckill.make(metrics)
  const hotProduct = yield* HotProduct.make
  const events = yield* EventsListener.make
  const limits = yield* RouteLimits.make
  const risk = yield* RiskGate.make
  const mayBeLarge = yield* LargeBodies.make
  const pictures = yield* Pictures.make(mediaDir)
  // Spans are the boundary's to make: the platform's would be one for every request.
  const rest: Handler = yield* HttpMiddleware.withTracerDisabledWhenEffect(
    Effect.flatMap(HttpApiBuilder.httpApp, (app) => NodeHttpServer.makeHandler(app)),
    () => true,
  )
  const cors = Cors.make(corsOrigins)
  const security = SecurityHeaders.make(hsts)
  const pages = Pages.make(yield* Site.load(webDir))

  return (request: Http.IncomingMessage, response: Http.ServerResponse): void => {
    const exchange = Exchange.begin(request, sampleShare, trustedProxies)
    const base: BaseHeaders = {
      "x-trace-id": exchange.traceId,
      ...security,
      ...cors.answer(request),
      // So that clients with open connections find another edge.
      ...(readiness.isDraining() ? { connection: "close" } : undefined),
    }
    const answer = (reply: Reply.Reply): void => send(request, response, base, serverClock.nowMs(), reply)
    const refuse = (error: FloodgateError): void => answer(Reply.failure(error, exchange.language))

    const url = originForm(request.url ?? "/")
    const query = url.indexOf("?")
    const path = query < 0 ? url : url.slice(0, query)
    const page = pages.at(path)

    /** Behind the body, because a ticket may be in it. */
    const judged = (route: RouteTable.Route): void =>
      risk.judge(route, path, request, exchange, (refusal) => {
        if (refusal !== undefined) answer(refusal)
        else if (!hotProduct(path, request, response, exchange)) rest(request, response)
      })

    const withBody = (route: RouteTable.Route): void =>
      BodyGate.read(
        request,
        route.rawBody,
        (gated) => {
          if (gated._tag === "Refused") refuse(gated.error)
          else if (gated._tag === "Body") {
            exchange.body = gated.value
            judged(route)
          }
        },
        route.bodyBytes,
      )

    const toRest = (route: RouteTable.Route): void => {
      request.url = url
      for (const name in base) response.setHeader(name, base[name]!)
      const cookie = risk.cookie(route, exchange)
      if (cookie !== undefined) response.setHeader("set-cookie", cookie)
      if (!HAS_BODY.has(route.method)) judged(route)
      else if (route.bodyBytes <= BodyGate.MAX_BODY_BYTES) withBody(route)
      else {
        mayBeLarge(route, request, response, (verdict) => {
          if (verdict._tag === "Read") withBody(route)
          else if (verdict._tag === "Refused") refuse(verdict.error)
          else {
            exchange.body = NO_BYTES
            judged(route)
          }
        })
      }
    }

    if (request.method === "POST" && path === HotSeckill.PATH) {
      hot(request, response, exchange, base)
      return
    }
    const counted = metrics.watch(response)
    if (request.method === "OPTIONS") {
      response.writeHead(204, { ...base, ...cors.preflight(request), "x-server-time": serverClock.nowMs() })
      response.end()
    } else if (page !== undefined) {
      if (Pages.METHODS.includes(request.method ?? "")) {
        pages.send(request, response, base, serverClock.nowMs(), page)
      } else refuse(new MethodNotAllowed({ allow: Pages.METHODS }))
    } else if (path.startsWith(Pictures.PREFIX)) {
      if (Pages.METHODS.includes(request.method ?? "")) {
        pictures.send(path, request, response, base, serverClock.nowMs(), refuse)
      } else refuse(new MethodNotAllowed({ allow: Pages.METHODS }))
    } else {
      const match = table.match(request.method ?? "GET", path)
      if (match._tag === "Found") {
        const { route } = match
        exchange.route = route.path
        counted(route)
        const refusal = risk.refusal(route, request, exchange)
        if (refusal !== undefined) answer(refusal)
        else {
          limits(route, path, request, exchange, (name, waitMs) => {
            if (waitMs > 0) answer(Limiter.reply(name, waitMs, exchange.language))
            else if (path !== EventsListener.PATH) toRest(route)
            else {
              const search = query < 0 ? "" : url.slice(query + 1)
              events(request, response, search, ClientAddress.limitKey(exchange.address), exchange, base)
            }
          })
        }
      } else if (match._tag === "WrongMethod") refuse(new MethodNotAllowed({ allow: match.allow }))
      else refuse(match._tag === "Malformed" ? malformedPath : notFound)
    }
  }
})

const onClientError =
  (nowMs: () => number, security: SecurityHeaders.SecurityHeaders) =>
  (error: NodeJS.ErrnoException, socket: Duplex): void => {
    // An answer has begun, or there is nobody to hear one.
    const begun = (socket as Socket & { _httpMessage?: Http.ServerResponse })._httpMessage?.headersSent
    if (error.code === "ECONNRESET" || !socket.writable || begun === true) {
      socket.destroy()
      return
    }
    socket.end(RawAnswer.toClientError(error.code, Exchange.newTraceId(), nowMs(), security))
  }

const listen = (server: Http.Server, host: string, port: number): Effect.Effect<number, EdgeBindFailed> =>
  Effect.async((resume) => {
    const onError = (error: Error) =>
      resume(Effect.fail(new EdgeBindFailed({ host, port, reason: error.message })))
    server.once("error", onError)
    server.listen({ host, port, backlog: 4_096 }, () => {
      server.off("error", onError)
      resume(Effect.succeed((server.address() as AddressInfo).port))
    })
  })

/**
 * While the notice lasts, everybody is still served: the process says already that it isn't ready, and asks those it
 * answers to come back elsewhere. Then no new connections; idle ones end at once, those at work after their answer, all
 * of them after the grace.
 */
const close = (server: Http.Server, noticeMs: number): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const idle = setInterval(() => server.closeIdleConnections(), 50)
    const last = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
    server.close(() => {
      clearInterval(idle)
      clearTimeout(last)
      resume(Effect.void)
    })
  }).pipe(Effect.delay(noticeMs))

export const make = Effect.gen(function* () {
  const { drainNoticeMs, host, hsts, port } = yield* EdgeConfig
  const security = SecurityHeaders.make(hsts)
  const serverClock = yield* ServerClock
  const { hub } = yield* Push
  const listener = yield* makeListener
  const server = Http.createServer(serverOptions, listener)
  server.maxConnections = MAX_CONNECTIONS
  server.on("clientError", onClientError(serverClock.nowMs, security))
  server.on("connect", (_request, socket) => {
    socket.end(RawAnswer.toConnect(Exchange.newTraceId(), serverClock.nowMs(), security))
  })
  // An expectation other than 100-continue may be ignored; Node's own 417 has no envelope.
  server.on("checkExpectation", listener)
  server.on("checkContinue", (request: Http.IncomingMessage, response: Http.ServerResponse) => {
    const declared = Number(request.headers["content-length"] ?? 0)
    if (declared <= limitOf(request)) response.writeContinue()
    listener(request, response)
  })
  const got = yield* Effect.acquireRelease(listen(server, host, port), () =>
    // One open stream would keep the server from closing.
    Effect.zipRight(
      Effect.sync(() => hub.endAll()),
      close(server, drainNoticeMs),
    ),
  )
  yield* Effect.logInfo(`listening on ${host}:${got}`)
  return EdgeServer.of({ port: got })
})

export const layer = Layer.scoped(EdgeServer, make).pipe(
  Layer.provide([HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer]),
)
