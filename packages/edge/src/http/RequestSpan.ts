/**
 * The one span of a recorded request, made by hand: whether a request is recorded was decided when it arrived, and one
 * that isn't has no span at all.
 */
import type { IncomingMessage } from "node:http"
import * as RootTraceId from "@floodgate/runtime/telemetry/RootTraceId"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { Exchange } from "./Exchange.ts"

export interface RequestSpan {
  /** W3C, for whatever works on this request. */
  readonly traceparent: string
  readonly span: Tracer.Span
  readonly end: (status: number) => void
}

export interface RequestSpans {
  /** Begins the span of a recorded request; undefined for the others. */
  readonly begin: (request: IncomingMessage, exchange: Exchange, route: string) => RequestSpan | undefined
}

export const make: Effect.Effect<RequestSpans> = Effect.gen(function* () {
  const tracer = yield* Effect.tracer
  const clock = yield* Effect.clock
  return {
    begin: (request, exchange, route) => {
      if (!exchange.sampled) return undefined
      const parent = TraceContext.parent(exchange.traceparent)
      const span = RootTraceId.use(exchange.traceId, () =>
        tracer.span(
          `${request.method} ${route}`,
          Option.fromNullable(parent),
          Context.empty(),
          [],
          clock.unsafeCurrentTimeNanos(),
          "server",
          { root: parent === undefined },
        ),
      )
      span.attribute("http.request.method", request.method)
      span.attribute("http.route", route)
      return {
        traceparent: TraceContext.format({ traceId: span.traceId, spanId: span.spanId, sampled: true }),
        span,
        end: (status) => {
          span.attribute("http.response.status_code", status)
          const exit = status >= 500 ? Exit.fail(`HTTP ${status}`) : Exit.void
          span.end(clock.unsafeCurrentTimeNanos(), exit)
        },
      }
    },
  }
})
