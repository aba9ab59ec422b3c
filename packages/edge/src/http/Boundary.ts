/**
 * The one middleware around the HttpApi. Whatever happens inside, what leaves is an answer of the contract: typed
 * errors by the catalogue, decode errors as code 400, defects logged and answered 500 without a word of their cause,
 * and nothing later than the handler's deadline.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import {
  Busy,
  type FloodgateError,
  Internal,
  InvalidInput,
  isFloodgateError,
  NotFound,
} from "@floodgate/contracts/errors/Errors"
import * as CallDeadline from "@floodgate/contracts/rpc/CallDeadline"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Bulkheads } from "../degrade/Bulkheads.ts"
import * as Degradation from "../degrade/Degradation.ts"
import * as Degrade from "../degrade/Degrade.ts"
import * as Idempotency from "../idempotency/Idempotency.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import * as Compression from "./Compression.ts"
import * as Exchange from "./Exchange.ts"
import * as Issues from "./Issues.ts"
import * as Reply from "./Reply.ts"
import * as RequestSpan from "./RequestSpan.ts"

/** How long a handler may take (ms). Work that must not be torn goes on behind it. */
export const HANDLER_MS = 5_000

const withBody = (
  request: HttpServerRequest.HttpServerRequest,
  body: unknown,
): HttpServerRequest.HttpServerRequest =>
  body instanceof Uint8Array
    ? Object.create(request, { arrayBuffer: { value: Effect.succeed(body) } })
    : // The gate has checked the type; HttpApi would take others that merely contain its name.
      Object.create(request, {
        json: { value: Effect.succeed(body) },
        headers: { value: { ...request.headers, "content-type": "application/json" } },
      })

const typed = (failure: unknown): FloodgateError | undefined => {
  if (isFloodgateError(failure)) return failure
  if (failure instanceof HttpApiDecodeError) {
    return new InvalidInput({ issues: Issues.ofArray(failure.issues) })
  }
  const tag = (failure as { readonly _tag?: unknown } | undefined)?._tag
  if (tag === "RouteNotFound") return new NotFound({})
  if (tag === "RequestError") return InvalidInput.at("", "can't be read")
  return undefined
}

/** The catalogue's error for whatever went wrong; undefined for a defect. */
const errorOf = (cause: Cause.Cause<unknown>): FloodgateError | undefined => {
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure)) return typed(failure.value)
  return Cause.isInterruptedOnly(cause) ? new Busy({}) : undefined
}

const responseOf = (reply: Reply.Reply): HttpServerResponse.HttpServerResponse => {
  const { "content-type": contentType, ...headers } = reply.headers
  return HttpServerResponse.text(reply.body, { status: reply.status, headers, contentType: contentType! })
}

const recover =
  (exchange: Exchange.Exchange) =>
  (cause: Cause.Cause<unknown>): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
    const error = errorOf(cause)
    if (error !== undefined) return Effect.succeed(responseOf(Reply.failure(error, exchange.language)))
    return Effect.as(
      Effect.annotateLogs(Effect.logError("A request ended in a defect", cause), {
        route: exchange.route,
        trace_id: exchange.traceId,
      }),
      responseOf(Reply.failure(new Internal({}), exchange.language)),
    )
  }

export const layer = HttpApiBuilder.middleware(
  Effect.gen(function* () {
    const spans = yield* RequestSpan.make
    const serverClock = yield* ServerClock
    const idempotency = yield* Idempotency.make
    const bulkheads = yield* Bulkheads
    const refusedMs = yield* Degrade.make

    const finish = (exchange: Exchange.Exchange, response: HttpServerResponse.HttpServerResponse) =>
      HttpServerResponse.setHeaders(response, {
        ...(response.headers["cache-control"] === undefined ? { "cache-control": "no-store" } : undefined),
        ...exchange.answerHeaders,
        "x-server-time": String(serverClock.nowMs()),
      })

    return (app: HttpApp.Default): HttpApp.Default =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const exchange = Exchange.of(request)
        const span = spans.begin(NodeHttpServerRequest.toIncomingMessage(request), exchange, exchange.route)
        const answered = app.pipe(
          Effect.provideService(HttpServerRequest.HttpServerRequest, withBody(request, exchange.body)),
          Effect.catchAllCause(recover(exchange)),
        )
        const row = Degradation.of(request.method, exchange.route)
        const waitMs = refusedMs(row)
        const admitted =
          waitMs > 0
            ? Effect.fail(Degrade.busyFor(waitMs))
            : bulkheads.within(row.class)(idempotency(request, exchange, answered))
        const handled = admitted.pipe(
          CallDeadline.within(HANDLER_MS),
          // The client's leaving ends what may be ended; the deadline holds for what may not.
          Effect.disconnect,
          Effect.interruptible,
          Effect.timeoutFail({ duration: HANDLER_MS, onTimeout: () => new Busy({}) }),
          Effect.catchAllCause(recover(exchange)),
          Effect.flatMap((response) => Compression.apply(response, request.headers["accept-encoding"])),
          Effect.map((response) => finish(exchange, response)),
          Effect.tap((response) => span.end(response.status)),
        )
        return span.span === undefined
          ? TraceContext.withParent(Exchange.unrecorded(exchange))(handled)
          : Effect.withParentSpan(handled, span.span)
      })
  }),
)
