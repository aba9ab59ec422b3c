/**
 * The one span of a request, made by hand. Whether a request is recorded was decided when it arrived. One that isn't has
 * no span, unless it failed or was slow: then one is made afterwards with its real start, so that what went wrong is
 * always there to be looked at.
 */
import type { IncomingMessage } from "node:http"
import * as RootTraceId from "@floodgate/runtime/telemetry/RootTraceId"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { Exchange } from "./Exchange.ts"

/** From this on, an answer is slow (ms). */
export const SLOW_MS = 1_000

/** Spans made afterwards in one second, at most: while everything fails, the first ones tell enough. */
const MAX_LATE_A_SECOND = 50

export interface RequestSpan {
  /** W3C, for whatever works on this request; undefined where it isn't recorded. */
  readonly traceparent: string | undefined
  /** Undefined where the request isn't recorded. */
  readonly span: Tracer.Span | undefined
  readonly attribute: (key: string, value: unknown) => void
  readonly end: (status: number) => void
}

export interface RequestSpans {
  /** Begins the span of a recorded request; for the others, remembers when it began. */
  readonly begin: (request: IncomingMessage, exchange: Exchange, route: string) => RequestSpan
}

const nothing = (): void => {}

export const make: Effect.Effect<RequestSpans> = Effect.gen(function* () {
  const tracer = yield* Effect.tracer
  const clock = yield* Effect.clock
  const enabled = yield* FiberRef.get(FiberRef.currentTracerEnabled)
  let second = 0
  let late = 0

  /** Whether one more span may be made afterwards in this second. */
  const mayBeLate = (atMs: number): boolean => {
    const now = Math.floor(atMs / 1_000)
    if (now !== second) {
      second = now
      late = 0
    }
    return late++ < MAX_LATE_A_SECOND
  }

  const start = (
    request: IncomingMessage,
    exchange: Exchange,
    route: string,
    startNs: bigint,
    parent: Tracer.ExternalSpan | undefined,
  ): Tracer.Span => {
    const span = RootTraceId.use(exchange.traceId, () =>
      tracer.span(
        `${request.method} ${route}`,
        Option.fromNullable(parent),
        Context.empty(),
        [],
        startNs,
        "server",
        { root: parent === undefined },
      ),
    )
    span.attribute("http.request.method", request.method)
    span.attribute("http.route", route)
    // Without its query: that may hold a ticket.
    span.attribute("url.path", (request.url ?? "").split("?", 1)[0])
    return span
  }

  const finish = (span: Tracer.Span, status: number): void => {
    span.attribute("http.response.status_code", status)
    if (status >= 500) span.attribute("error.type", String(status))
    span.end(clock.unsafeCurrentTimeNanos(), status >= 500 ? Exit.fail(`HTTP ${status}`) : Exit.void)
  }

  return {
    begin: (request, exchange, route) => {
      if (exchange.sampled) {
        const parent = TraceContext.parent(exchange.traceparent)
        const span = start(request, exchange, route, clock.unsafeCurrentTimeNanos(), parent)
        return {
          traceparent: TraceContext.format({ traceId: span.traceId, spanId: span.spanId, sampled: true }),
          span,
          attribute: (key, value) => span.attribute(key, value),
          end: (status) => finish(span, status),
        }
      }
      const startedMs = clock.unsafeCurrentTimeMillis()
      return {
        traceparent: undefined,
        span: undefined,
        attribute: nothing,
        end: (status) => {
          const nowMs = clock.unsafeCurrentTimeMillis()
          if (!enabled || (status < 500 && nowMs - startedMs < SLOW_MS) || !mayBeLate(nowMs)) return
          // Below a parent that says "recorded", since the sampler follows it. That span is nobody's where the trace
          // begins here: its id is only what lets this one through.
          const ids = TraceContext.parse(exchange.traceparent)
          const parent = TraceContext.parent(
            TraceContext.format({
              traceId: exchange.traceId,
              spanId: ids?.spanId ?? exchange.traceId.slice(16),
              sampled: true,
            }),
          )
          const span = start(request, exchange, route, BigInt(startedMs) * 1_000_000n, parent)
          span.attribute("floodgate.recorded", status >= 500 ? "failed" : "slow")
          finish(span, status)
        },
      }
    },
  }
})
