/** Whether the edge is up, and whether it should get traffic. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Busy } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Effect from "effect/Effect"

export const layer = HttpApiBuilder.group(RestApi, "health", (handlers) =>
  Effect.gen(function* () {
    const readiness = yield* Readiness
    return handlers
      .handle("livez", () => Effect.succeed({ status: "ok" }))
      .handle(
        "readyz",
        Effect.fnUntraced(function* () {
          const { draining, ready } = yield* readiness.status
          if (!ready) return yield* new Busy({ status: draining ? "draining" : "not_ready" })
          return { status: "ready" }
        }),
      )
  }),
)
