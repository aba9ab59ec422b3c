import { randomBytes } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Provider from "../config/Provider.ts"
import * as RootTraceId from "./RootTraceId.ts"
import { isSampled } from "./Sampling.ts"
import * as Telemetry from "./Telemetry.ts"

describe("RootTraceId", () => {
  it.scopedLive("a root span gets the chosen id, and is recorded as the id alone decides", () =>
    Effect.gen(function* () {
      const tracer = yield* Effect.tracer
      const root = (name: string) =>
        tracer.span(name, Option.none(), Context.empty(), [], 0n, "server", { root: true })
      for (let i = 0; i < 200; i++) {
        const traceId = randomBytes(16).toString("hex")
        const span = RootTraceId.use(traceId, () => root("chosen"))
        assert.strictEqual(span.traceId, traceId)
        assert.strictEqual(span.sampled, isSampled(traceId, 0.5))
        assert.notStrictEqual(root("another").traceId, traceId)
      }
      assert.isUndefined(RootTraceId.take())
    }).pipe(
      Effect.provide(Telemetry.layer("test-service")),
      Effect.provide(
        Provider.layerTest({
          FLOODGATE_ROOT: "/nonexistent",
          LOG_LEVEL: "none",
          OTEL_TRACES_SAMPLER_ARG: "0.5",
          OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
        }),
      ),
    ),
  )
})
