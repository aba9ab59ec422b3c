/**
 * Spans for a step that serves many traces at once: each sampled item gets one under its own parent, all as long as the
 * step. Items without a sampled parent cost nothing.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import * as TraceContext from "./TraceContext.ts"

/**
 * Runs `use` inside spans of this name, one for each traceparent that is one. `use` gets the traceparents of these
 * spans, in the order of `parents` (undefined where there is no span), so that what follows the step hangs below it.
 */
export const around = <A, E, R>(
  name: string,
  options: Pick<Tracer.SpanOptions, "kind" | "attributes">,
  parents: ReadonlyArray<string | undefined>,
  use: (traceparents: ReadonlyArray<string | undefined>) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> =>
  parents.every((parent) => parent === undefined)
    ? use(parents)
    : Effect.gen(function* () {
        const spans: Array<Tracer.Span> = []
        const traceparents: Array<string | undefined> = []
        for (const parent of parents) {
          if (TraceContext.parse(parent) === undefined) {
            traceparents.push(undefined)
            continue
          }
          const span = yield* TraceContext.withParent(parent)(Effect.makeSpan(name, options))
          const ids = TraceContext.idsOf(span)
          spans.push(span)
          traceparents.push(ids === undefined ? undefined : TraceContext.format(ids))
        }
        return yield* Effect.onExit(use(traceparents), (exit) =>
          Effect.map(Clock.currentTimeNanos, (endTime) => {
            for (const span of spans) span.end(endTime, Exit.asVoid(exit))
          }),
        )
      })
