/** The console: how the sale goes. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { permission } from "./Auth.ts"
import { Envelope } from "./Envelope.ts"
import { Overview, windows } from "./Overview.ts"

export const OverviewApi = HttpApiGroup.make("overview").add(
  HttpApiEndpoint.get("get", "/admin/overview")
    .setUrlParams(
      Schema.Struct({
        window: Schema.optionalWith(Schema.Literal(...windows), {
          exact: true,
          default: () => "5m" as const,
        }),
      }),
    )
    .addSuccess(Envelope(Overview))
    .middleware(permission("report:read"))
    .annotate(OpenApi.Summary, "How the sale goes: its funnel, rates, latency and what is on its way"),
)
