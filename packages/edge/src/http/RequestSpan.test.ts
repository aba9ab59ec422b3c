import type { IncomingMessage } from "node:http"
import { describe, it } from "@effect/vitest"
import { deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import type { Exchange } from "./Exchange.ts"
import * as RequestSpan from "./RequestSpan.ts"

interface Made {
  readonly name: string
  readonly parent: string | undefined
  readonly startNs: bigint
  endNs: bigint | undefined
  readonly attributes: Record<string, unknown>
}

/** A tracer that keeps what was made. */
const keeping = (made: Array<Made>): Tracer.Tracer =>
  Tracer.make({
    span: (name, parent, context, links, startNs, kind) => {
      const one: Made = {
        name,
        parent: Option.getOrUndefined(parent)?.spanId,
        startNs,
        endNs: undefined,
        attributes: {},
      }
      made.push(one)
      return {
        _tag: "Span",
        name,
        spanId: "b".repeat(16),
        traceId: "a".repeat(32),
        parent,
        context,
        status: { _tag: "Started", startTime: startNs },
        attributes: new Map(),
        links,
        sampled: true,
        kind,
        attribute: (key, value) => {
          one.attributes[key] = value
        },
        end: (endNs) => {
          one.endNs = endNs
        },
        event: () => {},
        addLinks: () => {},
      }
    },
    context: (f) => f(),
  })

const request = { method: "GET", url: "/products/7?ticket=secret" } as IncomingMessage
const exchange = (sampled: boolean, traceparent?: string): Exchange => ({
  traceId: "1".repeat(32),
  sampled,
  traceparent,
  language: "en" as Exchange["language"],
  device: undefined,
  address: "",
  route: "",
  body: undefined,
  answerHeaders: {},
})

const run = <A>(use: (spans: RequestSpan.RequestSpans, made: Array<Made>) => Effect.Effect<A>) =>
  Effect.suspend(() => {
    const made: Array<Made> = []
    return Effect.withTracer(
      Effect.flatMap(RequestSpan.make, (spans) => use(spans, made)),
      keeping(made),
    )
  })

describe("the span of a request", () => {
  it.effect("of one that is recorded lasts as long as it, and is what further spans hang below", () =>
    run((spans, made) =>
      Effect.gen(function* () {
        const span = spans.begin(request, exchange(true), "/products/:id")
        strictEqual(TraceContext.parse(span.traceparent)?.spanId, "b".repeat(16))
        yield* TestClock.adjust(5)
        span.end(200)
        strictEqual(made.length, 1)
        strictEqual(made[0]!.name, "GET /products/:id")
        deepStrictEqual(made[0]!.endNs, made[0]!.startNs + 5_000_000n)
        deepStrictEqual(made[0]!.attributes, {
          "http.request.method": "GET",
          "http.route": "/products/:id",
          "url.path": "/products/7",
          "http.response.status_code": 200,
        })
      }),
    ),
  )

  it.effect("of one that isn't recorded isn't there, where it went well", () =>
    run((spans, made) =>
      Effect.sync(() => {
        const span = spans.begin(request, exchange(false), "/products/:id")
        strictEqual(span.span, undefined)
        strictEqual(span.traceparent, undefined)
        for (const status of [200, 404, 429]) spans.begin(request, exchange(false), "/x").end(status)
        span.end(200)
        deepStrictEqual(made, [])
      }),
    ),
  )

  it.effect("is made afterwards, with its real start, where it failed or took over a second", () =>
    run((spans, made) =>
      Effect.gen(function* () {
        const failing = spans.begin(request, exchange(false), "/fails")
        yield* TestClock.adjust(20)
        failing.end(503)
        const slow = spans.begin(
          request,
          exchange(false, `00-${"1".repeat(32)}-${"c".repeat(16)}-00`),
          "/slow",
        )
        yield* TestClock.adjust(RequestSpan.SLOW_MS)
        slow.end(200)
        deepStrictEqual(
          made.map(({ attributes, endNs, name, parent, startNs }) => [
            name,
            Number(endNs! - startNs) / 1e6,
            attributes["floodgate.recorded"],
            parent,
          ]),
          [
            ["GET /fails", 20, "failed", "1".repeat(16)],
            ["GET /slow", RequestSpan.SLOW_MS, "slow", "c".repeat(16)],
          ],
        )
        strictEqual(made[0]!.attributes["error.type"], "503")
      }),
    ),
  )

  it.effect("isn't made afterwards for each of a flood of failures, nor where nothing is traced", () =>
    Effect.zipRight(
      run((spans, made) =>
        Effect.gen(function* () {
          for (let i = 0; i < 200; i++) spans.begin(request, exchange(false), "/fails").end(503)
          strictEqual(made.length, 50)
          yield* TestClock.adjust(1_000)
          spans.begin(request, exchange(false), "/fails").end(503)
          strictEqual(made.length, 51)
        }),
      ),
      Effect.withTracerEnabled(
        run((spans, made) =>
          Effect.sync(() => {
            spans.begin(request, exchange(false), "/fails").end(503)
            deepStrictEqual(made, [])
          }),
        ),
        false,
      ),
    ),
  )
})
