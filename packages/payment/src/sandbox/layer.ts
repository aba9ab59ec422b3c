/** Composes the sandbox provider: a third party of its own, with its own books and its own process. */
import { createServer } from "node:http"
import { join } from "node:path"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { sandboxUrl, secretsConfig } from "../channels/Sandbox.ts"
import { Callbacks } from "./Callbacks.ts"
import { Journal } from "./Journal.ts"
import { app } from "./Server.ts"

export const config = Config.all({
  port: AppConfig.port("sandbox"),
  publicUrl: sandboxUrl,
  secrets: secretsConfig,
  /** Where the provider keeps its books. */
  data: Config.string("SANDBOX_DATA").pipe(Config.withDefault(join(".floodgate", "sandbox"))),
  host: AppConfig.bindHost,
})

export const layer = Layer.unwrapEffect(
  Effect.gen(function* () {
    const { port, publicUrl, secrets, data, host } = yield* AppConfig.load(config)
    const plain = secrets.map((s) => Redacted.value(s))
    return HttpServer.serve(app({ secrets: plain, publicUrl })).pipe(
      Layer.provide(
        NodeHttpServer.layer(() => createServer({ headersTimeout: 5000, requestTimeout: 10_000 }), {
          port,
          host,
        }),
      ),
      Layer.provide(Layer.mergeAll(Journal.layer(join(data, "ledger.jsonl")), Callbacks.layer(plain[0]!))),
      Layer.provide(NodeHttpClient.layer),
    )
  }),
)
