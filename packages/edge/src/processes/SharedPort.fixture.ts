/** A small service for `SharedPort.test.ts`, which bundles it: it answers who it is. `FIXTURE_MODE` says how it behaves. */
import * as Http from "node:http"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SharedPort from "./SharedPort.ts"

const SLOW_MS = 1_000

const server = Layer.scopedDiscard(
  Effect.gen(function* () {
    const mode = yield* AppConfig.load(Config.withDefault(Config.string("FIXTURE_MODE"), "whole"))
    if (mode === "broken") return yield* Effect.dieMessage("the fixture is broken")
    const port = yield* AppConfig.load(AppConfig.port("edge"))
    const ops = yield* AppConfig.load(AppConfig.port("edgeOps"))
    yield* Effect.acquireRelease(
      Effect.async<Http.Server>((resume) => {
        const http = Http.createServer((request, response) => {
          const answer = (): void => void response.end(JSON.stringify({ pid: process.pid, ops }))
          if (request.url !== "/slow") return answer()
          process.stdout.write("in hand\n")
          setTimeout(answer, SLOW_MS)
        })
        http.listen({ port, host: "127.0.0.1" }, () => resume(Effect.succeed(http)))
      }),
      (http) => Effect.async<void>((resume) => void http.close(() => resume(Effect.void))),
    )
  }),
)

Main.run({
  service: "fixture",
  layer: SharedPort.layer(server),
  opsPort: AppConfig.port("edgeOps"),
  requires: [SharedPort.count],
  stoppedBy: SharedPort.stoppedByHolder,
})
