/** Whether the edge is up, and whether it should get traffic. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { Envelope } from "./Envelope.ts"

const Health = Schema.Struct({ status: Schema.String }).annotations({ identifier: "Health" })

export const HealthApi = HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("livez", "/livez")
      .addSuccess(Envelope(Health))
      .annotate(OpenApi.Summary, "The process answers"),
  )
  .add(
    HttpApiEndpoint.get("readyz", "/readyz")
      .addSuccess(Envelope(Health))
      .annotate(OpenApi.Summary, "503 while draining or without a dependency it needs"),
  )
