/**
 * Trace context across processes in the W3C form (`traceparent`, https://www.w3.org/TR/trace-context/), for what gRPC
 * and HTTP headers don't carry by themselves: stream entries, outbox rows, messages.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** Where a span is: `trace_id` 32 hex digits, `span_id` 16. */
export interface TraceIds {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

/** Version, trace id, span id, flags, and what later versions may append. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** No version of the format needs more; a longer header is somebody's mistake or attack. */
const MAX_LENGTH = 512

const ZERO_TRACE = "0".repeat(32)
const ZERO_SPAN = "0".repeat(16)

/** Reads a traceparent; `undefined` for anything that isn't one. */
export const parse = (traceparent: string | undefined): TraceIds | undefined => {
  if (traceparent === undefined || traceparent.length > MAX_LENGTH) return undefined
  const match = TRACEPARENT.exec(traceparent)
  if (match === null) return undefined
  const [, version, traceId, spanId, flags, rest] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string?,
  ]
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined
  if (traceId === ZERO_TRACE || spanId === ZERO_SPAN) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** Writes a traceparent. */
export const format = (ids: TraceIds): string =>
  `00-${ids.traceId}-${ids.spanId}-${ids.sampled ? "01" : "00"}`

/**
 * The ids of a span. A span that isn't recorded because tracing is off has no ids of its own; its nearest ancestor's
 * count, so that a process without tracing still passes on, and logs under, the trace it was called in.
 */
export const idsOf = (span: Tracer.AnySpan): TraceIds | undefined => {
  let at: Tracer.AnySpan = span
  while (at.traceId.length !== 32) {
    if (at._tag !== "Span" || Option.isNone(at.parent)) return undefined
    at = at.parent.value
  }
  return { traceId: at.traceId, spanId: at.spanId, sampled: at.sampled }
}

/** The ids of the span in a fiber's context, if there is one. */
export const idsIn = (context: Context.Context<never>): TraceIds | undefined => {
  const span = Context.getOption(context as Context.Context<Tracer.ParentSpan>, Tracer.ParentSpan)
  return Option.isNone(span) ? undefined : idsOf(span.value)
}

/** The traceparent of the current span; `undefined` without one, and when it isn't sampled. */
export const current: Effect.Effect<string | undefined> = Effect.map(
  FiberRef.get(FiberRef.currentContext),
  (context) => {
    const ids = idsIn(context)
    return ids?.sampled === true ? format(ids) : undefined
  },
)

/**
 * `@effect/opentelemetry` takes the sampled flag of an external span from this tag and believes "sampled" without it.
 * Named by its key, so that a process without tracing doesn't load the library.
 */
const TraceFlags = Context.GenericTag<{ readonly _: unique symbol }, number>(
  "@effect/opentelemetry/Tracer/OtelTraceFlags",
)

const external = (ids: TraceIds): Tracer.ExternalSpan =>
  Tracer.externalSpan({ ...ids, context: Context.make(TraceFlags, ids.sampled ? 1 : 0) })

/** The span that a traceparent names, as the parent of one made by hand; `undefined` when there is none, or it is malformed. */
export const parent = (traceparent: string | undefined): Tracer.ExternalSpan | undefined => {
  const ids = parse(traceparent)
  return ids === undefined ? undefined : external(ids)
}

/** Runs an effect as a child of the span that a traceparent names; unchanged when there is none, or it is malformed. */
export const withParent = (
  traceparent: string | undefined,
): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) => {
  const ids = parse(traceparent)
  return ids === undefined
    ? (self) => self
    : <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        Effect.withParentSpan(self, external(ids))
}

/** The most links that a span gets: more would make a batch's span larger than its work. */
export const MAX_LINKS = 128

/** Links to the spans that made a batch's items: each once, malformed ones left out, at most 128. */
export const links = (traceparents: ReadonlyArray<string>): ReadonlyArray<Tracer.SpanLink> => {
  const found = new Map<string, Tracer.SpanLink>()
  for (const traceparent of traceparents) {
    if (found.size === MAX_LINKS) break
    const ids = parse(traceparent)
    if (ids === undefined) continue
    const key = `${ids.traceId}${ids.spanId}`
    if (!found.has(key)) found.set(key, { _tag: "SpanLink", span: external(ids), attributes: {} })
  }
  return [...found.values()]
}
