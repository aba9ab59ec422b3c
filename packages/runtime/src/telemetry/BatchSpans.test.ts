import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as BatchSpans from "./BatchSpans.ts"

const click = (n: number) => `00-${String(n).padStart(32, "a")}-${String(n).padStart(16, "b")}-01`

/** A tracer that remembers its spans, with ids as long as W3C wants them. */
const remembering = () => {
  const spans: Array<Tracer.Span & { ended: boolean }> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const span = {
        _tag: "Span" as const,
        name,
        spanId: String(spans.length).padStart(16, "c"),
        traceId: Option.match(parent, { onNone: () => "d".repeat(32), onSome: (p) => p.traceId }),
        parent,
        context: context ?? Context.empty(),
        status: { _tag: "Started" as const, startTime },
        attributes: new Map<string, unknown>(),
        links,
        sampled: true,
        kind,
        ended: false,
        end: () => {
          span.ended = true
        },
        attribute: () => {},
        event: () => {},
        addLinks: () => {},
      }
      spans.push(span)
      return span
    },
    context: (f) => f(),
  })
  return { spans, tracer }
}

describe("spans of a batch", () => {
  it.effect(
    "each sampled item gets one under its own trace, ended with the step; what follows hangs below it",
    () =>
      Effect.gen(function* () {
        const { spans, tracer } = remembering()
        const parents = [click(1), undefined, click(2), "nonsense"]
        const got = yield* BatchSpans.around("a step", { kind: "client" }, parents, (traceparents) =>
          Effect.sync(() => {
            assert.deepStrictEqual(
              spans.map((span) => span.ended),
              [false, false],
            )
            return traceparents
          }),
        ).pipe(Effect.withTracer(tracer))
        assert.deepStrictEqual(
          spans.map((span) => span.traceId),
          [click(1), click(2)].map((traceparent) => traceparent.split("-")[1]),
        )
        assert.isTrue(spans.every((span) => span.ended))
        assert.deepStrictEqual(
          got.map((traceparent) => traceparent?.split("-")[2]),
          [spans[0]!.spanId, undefined, spans[1]!.spanId, undefined],
        )
      }),
  )

  it.effect("a step that fails ends its spans, too", () =>
    Effect.gen(function* () {
      const { spans, tracer } = remembering()
      yield* BatchSpans.around("a step", {}, [click(1)], () => Effect.fail("no")).pipe(
        Effect.withTracer(tracer),
        Effect.flip,
      )
      assert.isTrue(spans[0]!.ended)
    }),
  )

  it.effect("a batch without a sampled item has no spans", () =>
    Effect.gen(function* () {
      const { spans, tracer } = remembering()
      yield* BatchSpans.around("a step", {}, [undefined, undefined], () => Effect.void).pipe(
        Effect.withTracer(tracer),
      )
      assert.lengthOf(spans, 0)
    }),
  )
})
