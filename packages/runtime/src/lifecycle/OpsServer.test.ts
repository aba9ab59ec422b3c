import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Breakers from "../resilience/Breakers.ts"
import * as OpsServer from "./OpsServer.ts"
import { Readiness } from "./Readiness.ts"

const start = (routes: OpsServer.OpsRoutes = {}) =>
  Effect.map(
    OpsServer.make({ service: "test", port: Config.succeed(0), host: Config.succeed("127.0.0.1"), routes }),
    ({ port }) => ({
      port,
      get: (path: string, init?: RequestInit) =>
        Effect.promise(async () => {
          const response = await fetch(`http://127.0.0.1:${port}${path}`, init)
          return { status: response.status, body: await response.text() }
        }),
    }),
  )

describe("OpsServer", () => {
  it.scopedLive("says ready while it is, and 503 while a check fails or it drains", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      const { get } = yield* start()
      let up = true
      yield* readiness.register(
        "engine",
        Effect.sync(() => up),
      )
      assert.deepStrictEqual(yield* get("/readyz"), {
        status: 200,
        body: '{"ready":true,"draining":false,"checks":{"engine":true}}',
      })
      up = false
      assert.strictEqual((yield* get("/readyz")).status, 503)
      up = true
      yield* readiness.drain
      assert.deepStrictEqual(yield* get("/readyz"), {
        status: 503,
        body: '{"ready":false,"draining":true,"checks":{}}',
      })
      const live = yield* get("/livez")
      assert.strictEqual(live.status, 200)
      assert.include(JSON.parse(live.body), { live: true, service: "test" })
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("shows the breakers, which have no say", () =>
    Effect.gen(function* () {
      const { get } = yield* start()
      const breaker = yield* Breakers.gate("grpc", "identity")
      while (breaker.waitMs() === 0) breaker.leave(breaker.enter(), "failed", 1, 1_000)
      const { body, status } = yield* get("/readyz")
      assert.strictEqual(status, 200)
      assert.include(JSON.parse(body).breakers["grpc:identity"], { state: "open", opened: 1 })
    }).pipe(Effect.provide(Layer.merge(Readiness.layer, Breakers.layer))),
  )

  it.scopedLive("serves further routes, and keeps their defects to itself", () =>
    Effect.gen(function* () {
      const { get } = yield* start({
        "/metrics": Effect.succeed({ status: 200, contentType: "text/plain", body: "up 1\n" }),
        "/broken": Effect.die("secret"),
        "PUT /level": (query) =>
          Effect.succeed({ status: 200, contentType: "text/plain", body: query.get("is") ?? "" }),
      })
      assert.deepStrictEqual(yield* get("/metrics?x=1"), { status: 200, body: "up 1\n" })
      assert.deepStrictEqual(yield* get("/broken"), { status: 500, body: '{"error":"internal"}' })
      assert.strictEqual((yield* get("/none")).status, 404)
      assert.strictEqual((yield* get("/livez", { method: "POST" })).status, 405)
      assert.deepStrictEqual(yield* get("/level?is=high", { method: "PUT" }), { status: 200, body: "high" })
      assert.strictEqual((yield* get("/level")).status, 404)
      assert.deepStrictEqual(yield* get("/livez", { method: "HEAD" }), { status: 200, body: "" })
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a taken port is an error that names it", () =>
    Effect.gen(function* () {
      const { port } = yield* start()
      const error = yield* Effect.flip(
        OpsServer.make({ service: "second", port: Config.succeed(port), host: Config.succeed("127.0.0.1") }),
      )
      assert.strictEqual(
        error.message,
        `The ops server can't listen on 127.0.0.1:${port} (the port is taken)`,
      )
    }).pipe(Effect.provide(Readiness.layer)),
  )
})
