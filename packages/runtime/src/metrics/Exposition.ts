/** `/metrics` of the ops port: every series of this process in Prometheus' text format. */
import * as EffectMetrics from "@effect/opentelemetry/Metrics"
import * as Resource from "@effect/opentelemetry/Resource"
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus"
import * as Effect from "effect/Effect"
import type { OpsAnswer, OpsRoutes } from "../lifecycle/OpsServer.ts"
import * as Instrument from "./Instrument.ts"

const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

/** What reads the series of this process, as text. */
export const reader = (service: string): Effect.Effect<Effect.Effect<string>> =>
  Effect.gen(function* () {
    const producer = yield* EffectMetrics.makeProducer
    const serializer = new PrometheusSerializer(undefined, false, undefined, true, true)
    return Effect.gen(function* () {
      for (const error of Instrument.readAll()) yield* Effect.logError("a metric couldn't be read", error)
      const { resourceMetrics } = yield* Effect.promise(() => producer.collect())
      return serializer.serialize(resourceMetrics)
    })
  }).pipe(Effect.provide(Resource.layer({ serviceName: service })))

/** The route, for `Main.run`'s ops server. */
export const routes = (service: string): Effect.Effect<OpsRoutes> =>
  Effect.map(reader(service), (read) => ({
    "/metrics": Effect.map(
      read,
      (body): OpsAnswer => ({ status: 200, contentType: CONTENT_TYPE, body: `${body}\n` }),
    ),
  }))
