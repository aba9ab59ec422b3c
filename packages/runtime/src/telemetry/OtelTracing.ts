/**
 * Traces by the OpenTelemetry SDK. Loaded only in a process that exports traces: `Telemetry.ts` imports it when an
 * exporter is chosen.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto"
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  RandomIdGenerator,
  type SpanExporter,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import * as RootTraceId from "./RootTraceId.ts"
import * as TelemetryMetrics from "./TelemetryMetrics.ts"

/** How long spans in hand may hold up the end of the process (ms). */
export const FLUSH_DEADLINE_MS = 2_000

/** The longest one export may take (ms). */
const EXPORT_DEADLINE_MS = 5_000
/** Ended spans that wait for export; more are dropped. */
const MAX_WAITING_SPANS = 4_096
/** How often lost spans are reported, at most. */
const REPORT_EVERY = "60 seconds"

/** Where spans go. */
export type Exporter =
  | { readonly protocol: "otlp"; readonly endpoint: string }
  | { readonly protocol: "jaeger"; readonly endpoint: string }

/** What a process's tracing needs to know. */
export interface TracingOptions {
  readonly service: string
  readonly environment: string
  readonly exporter: Exporter
  /** The share of traces recorded, of those that begin here. */
  readonly ratio: number
}

const makeExporter = (exporter: Exporter): Effect.Effect<SpanExporter> =>
  exporter.protocol === "otlp"
    ? Effect.sync(
        () =>
          new OTLPTraceExporter({
            url: `${exporter.endpoint.replace(/\/+$/, "")}/v1/traces`,
            timeoutMillis: EXPORT_DEADLINE_MS,
            concurrencyLimit: 4,
          }),
      )
    : // Its thrift library can't be bundled, and costs whoever doesn't use it.
      Effect.map(
        Effect.promise(() => import("@opentelemetry/exporter-jaeger")),
        ({ JaegerExporter }) =>
          new JaegerExporter({ endpoint: exporter.endpoint, flushTimeout: FLUSH_DEADLINE_MS }),
      )

/**
 * An exporter that never fails: what it can't deliver is counted. The SDK would otherwise reject its flush, which as a
 * finalizer's defect turns an orderly shutdown without a collector into a failed one.
 */
const counted = (
  inner: SpanExporter,
  onLost: (spans: number, error: Error | undefined) => void,
): SpanExporter => ({
  export: (spans, done) =>
    inner.export(spans, (result) => {
      if (result.code !== 0) onLost(spans.length, result.error)
      done({ code: 0 })
    }),
  shutdown: () => inner.shutdown().catch(() => undefined),
  forceFlush: () => inner.forceFlush?.().catch(() => undefined) ?? Promise.resolve(),
})

/**
 * The tracer without its propagation into OpenTelemetry's own context, which nobody here reads. Effect asks a tracer for
 * it at every single step of every fiber, and entering an AsyncLocalStorage each time was half of what an ordinary
 * request cost.
 */
const withoutContext: Layer.Layer<never> = Layer.unwrapEffect(
  Effect.map(Effect.tracer, (tracer) =>
    Layer.setTracer(
      Tracer.make({ span: (...args) => tracer.span(...args), context: (execution) => execution() }),
    ),
  ),
)

/** Installs the tracer; spans in hand are flushed when the scope closes, for at most two seconds. */
export const layer = (options: TracingOptions): Layer.Layer<never> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const random = new RandomIdGenerator()
      let lost = 0
      let reason: string | undefined
      const exporter = counted(yield* makeExporter(options.exporter), (spans, error) => {
        lost += spans
        TelemetryMetrics.spansLost.inc({}, spans)
        reason = error?.message
      })
      yield* Effect.suspend(() => {
        if (lost === 0) return Effect.void
        const report = Effect.logWarning("spans couldn't be exported").pipe(
          Effect.annotateLogs({ spans: lost, endpoint: options.exporter.endpoint, reason }),
        )
        lost = 0
        return report
      }).pipe(Effect.schedule(Schedule.spaced(REPORT_EVERY)), Effect.interruptible, Effect.forkScoped)

      return Layer.provideMerge(
        withoutContext,
        Layer.discard(
          NodeSdk.layer(() => ({
            resource: {
              serviceName: options.service,
              attributes: { "deployment.environment.name": options.environment, "process.pid": process.pid },
            },
            spanProcessor: new BatchSpanProcessor(exporter, {
              maxQueueSize: MAX_WAITING_SPANS,
              scheduledDelayMillis: 1_000,
              exportTimeoutMillis: EXPORT_DEADLINE_MS,
            }),
            tracerConfig: {
              sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.ratio) }),
              idGenerator: {
                generateTraceId: () => RootTraceId.take() ?? random.generateTraceId(),
                generateSpanId: () => random.generateSpanId(),
              },
            },
            shutdownTimeout: FLUSH_DEADLINE_MS,
          })),
        ),
      )
    }),
  )
