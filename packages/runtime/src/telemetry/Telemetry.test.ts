import * as Http from "node:http"
import type * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Provider from "../config/Provider.ts"
import * as Telemetry from "./Telemetry.ts"
import * as TraceContext from "./TraceContext.ts"

interface Got {
  readonly path: string
  readonly type: string
  readonly bytes: number
  readonly hasName: boolean
}

/** A collector that keeps what it is sent; with `hang`, it never answers. */
const collector = (options?: { readonly hang: boolean }) =>
  Effect.gen(function* () {
    const got: Array<Got> = []
    const first = yield* Deferred.make<void>()
    const server = yield* Effect.acquireRelease(
      Effect.async<Http.Server>((resume) => {
        const http = Http.createServer((request, response) => {
          const chunks: Array<Buffer> = []
          request.on("data", (chunk: Buffer) => chunks.push(chunk))
          request.on("end", () => {
            const body = Buffer.concat(chunks)
            got.push({
              path: request.url ?? "",
              type: request.headers["content-type"] ?? "",
              bytes: body.length,
              hasName: body.includes("the work") && body.includes("test-service"),
            })
            Deferred.unsafeDone(first, Effect.void)
            if (options?.hang !== true) response.writeHead(200).end()
          })
        })
        http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
      }),
      (http) =>
        Effect.async<void>((resume) => {
          http.close(() => resume(Effect.void))
          http.closeAllConnections()
        }),
    )
    return { got, url: `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}` }
  })

const env = (variables: Provider.Environment) =>
  Provider.layerTest({ FLOODGATE_ROOT: "/nonexistent", LOG_LEVEL: "none", ...variables })

const traced = <A, E>(self: Effect.Effect<A, E>, variables: Provider.Environment) =>
  self.pipe(Effect.provide(Telemetry.layer("test-service")), Effect.provide(env(variables)))

describe("Telemetry", () => {
  it.scopedLive("exports spans by OTLP, those in hand at the end too", () =>
    Effect.gen(function* () {
      const { got, url } = yield* collector()
      const seen = yield* traced(Effect.withSpan(TraceContext.current, "the work"), {
        OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`,
      })
      assert.isDefined(TraceContext.parse(seen))
      assert.lengthOf(got, 1)
      assert.include(got[0], { path: "/v1/traces", type: "application/x-protobuf", hasName: true })
    }),
  )

  it.scopedLive("exports spans by Jaeger's thrift", () =>
    Effect.gen(function* () {
      const { got, url } = yield* collector()
      yield* traced(Effect.withSpan(Effect.void, "the work"), {
        OTEL_TRACES_EXPORTER: "jaeger",
        OTEL_EXPORTER_JAEGER_ENDPOINT: `${url}/api/traces`,
      })
      assert.lengthOf(got, 1)
      assert.include(got[0]?.path, "/api/traces")
      assert.include(got[0], { type: "application/x-thrift", hasName: true })
    }),
  )

  it.scopedLive("records nothing of a trace that its caller didn't sample", () =>
    Effect.gen(function* () {
      const { got, url } = yield* collector()
      const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
      const seen = yield* traced(
        TraceContext.current.pipe(Effect.withSpan("the work"), TraceContext.withParent(parent)),
        { OTEL_EXPORTER_OTLP_ENDPOINT: url },
      )
      assert.isUndefined(seen)
      assert.lengthOf(got, 0)
    }),
  )

  it.scopedLive("a collector that hangs, or isn't there, holds up the end for 2 s at most", () =>
    Effect.gen(function* () {
      const { url } = yield* collector({ hang: true })
      for (const endpoint of [url, "http://127.0.0.1:9"]) {
        const startedAt = Date.now()
        yield* traced(Effect.withSpan(Effect.void, "the work"), { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
        assert.isBelow(Date.now() - startedAt, 3_500)
      }
    }),
  )

  it.effect("makes no spans when traces are off", () =>
    Effect.gen(function* () {
      const traceId = yield* traced(
        Effect.withSpan(
          Effect.map(Effect.orDie(Effect.currentSpan), (span) => span.traceId),
          "the work",
        ),
        { OTEL_TRACES_EXPORTER: "none" },
      )
      assert.strictEqual(traceId, "noop")
    }),
  )

  it.effect("refuses settings it doesn't know", () =>
    Effect.gen(function* () {
      const of = (variables: Provider.Environment) =>
        Effect.map(Effect.flip(traced(Effect.void, variables)), (error) => error.issues)
      assert.deepStrictEqual(yield* of({ OTEL_TRACES_EXPORTER: "zipkin" }), [
        "OTEL_TRACES_EXPORTER: must be one of otlp, jaeger, none",
      ])
      assert.deepStrictEqual(yield* of({ APP_ENV: "prod", OTEL_TRACES_SAMPLER_ARG: "2" }), [
        "OTEL_TRACES_SAMPLER_ARG: must be a share from 0 to 1",
        "OTEL_EXPORTER_OTLP_ENDPOINT: is missing",
      ])
      assert.include((yield* of({ LOG_LEVEL: "loud" }))[0], "LOG_LEVEL: must be one of")
    }),
  )
})
