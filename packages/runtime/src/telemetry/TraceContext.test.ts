import * as OtelTracer from "@effect/opentelemetry/Tracer"
import { assert, describe, it } from "@effect/vitest"
import { ROOT_CONTEXT } from "@opentelemetry/api"
import { ParentBasedSampler, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace-base"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sampling from "./Sampling.ts"
import * as TraceContext from "./TraceContext.ts"

const TRACE = "0af7651916cd43dd8448eb211c80319c"
const SPAN = "b7ad6b7169203331"
const SAMPLED = `00-${TRACE}-${SPAN}-01`

describe("traceparent", () => {
  it("is read and written", () => {
    assert.deepStrictEqual(TraceContext.parse(SAMPLED), { traceId: TRACE, spanId: SPAN, sampled: true })
    assert.strictEqual(TraceContext.format({ traceId: TRACE, spanId: SPAN, sampled: true }), SAMPLED)
    assert.isFalse(TraceContext.parse(`00-${TRACE}-${SPAN}-02`)?.sampled)
    assert.isTrue(TraceContext.parse(`cc-${TRACE}-${SPAN}-01-of-a-later-version`)?.sampled)
  })

  it("is ignored when it isn't one", () => {
    const wrong = [
      undefined,
      "",
      `ff-${TRACE}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-01-more`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}`,
      `01-${TRACE}-${SPAN}-01-${"x".repeat(600)}`,
    ]
    for (const one of wrong) assert.isUndefined(TraceContext.parse(one), one)
  })
})

describe("withParent and current", () => {
  it.effect("carry a sampled trace across, and leave out one that isn't", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* TraceContext.current)
      assert.strictEqual(yield* TraceContext.withParent(SAMPLED)(TraceContext.current), SAMPLED)
      const unsampled = `00-${TRACE}-${SPAN}-00`
      assert.isUndefined(yield* TraceContext.withParent(unsampled)(TraceContext.current))
      assert.isUndefined(yield* TraceContext.withParent("nonsense")(TraceContext.current))
    }),
  )

  it.effect("a child span is of the same trace", () =>
    Effect.gen(function* () {
      const child = yield* TraceContext.current.pipe(
        Effect.withSpan("child"),
        TraceContext.withParent(SAMPLED),
      )
      const ids = TraceContext.parse(child)
      assert.strictEqual(ids?.traceId, TRACE)
      assert.notStrictEqual(ids?.spanId, SPAN)
    }),
  )

  it.effect("a process without tracing passes on the trace it was called in", () =>
    Effect.gen(function* () {
      const seen = yield* TraceContext.current.pipe(
        Effect.withSpan("inner"),
        Effect.withSpan("outer"),
        TraceContext.withParent(SAMPLED),
        Effect.withTracerEnabled(false),
      )
      assert.strictEqual(seen, SAMPLED)
    }),
  )

  it.effect("tell the SDK whether the parent is sampled, by the tag it looks at", () =>
    Effect.gen(function* () {
      for (const flags of [0, 1]) {
        const parent = yield* Effect.currentParentSpan.pipe(
          TraceContext.withParent(`00-${TRACE}-${SPAN}-0${flags}`),
        )
        assert.deepStrictEqual(
          Context.getOption(parent.context, OtelTracer.OtelTraceFlags),
          Option.some(flags),
        )
      }
    }),
  )
})

describe("links", () => {
  it("have each trace once, and a bound", () => {
    assert.lengthOf(TraceContext.links([SAMPLED, "nonsense", SAMPLED]), 1)
    const many = Array.from(
      { length: 500 },
      (_, n) => `00-${TRACE}-${(n + 1).toString(16).padStart(16, "0")}-01`,
    )
    assert.lengthOf(TraceContext.links(many), TraceContext.MAX_LINKS)
  })
})

describe("Sampling", () => {
  it("decides as the SDK's sampler does", () => {
    let seed = 1
    const hex = (digits: number) => {
      let text = ""
      while (text.length < digits) {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
        text += (seed >>> 16).toString(16).padStart(4, "0").slice(-4)
      }
      return text
    }
    for (const share of [0, 0.01, 0.3, 1]) {
      const sdk = new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) })
      let sampled = 0
      for (let n = 0; n < 2_000; n++) {
        const traceId = hex(32)
        const { decision } = sdk.shouldSample(ROOT_CONTEXT, traceId, "x", 0, {}, [])
        assert.strictEqual(Sampling.isSampled(traceId, share), decision === 2)
        if (decision === 2) sampled++
      }
      assert.closeTo(sampled / 2_000, share, 0.05)
    }
  })
})
