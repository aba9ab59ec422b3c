/** How one stands with the rules. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { signedIn } from "./Auth.ts"
import { Envelope } from "./Envelope.ts"
import { RiskStatus } from "./Risk.ts"

export const RiskApi = HttpApiGroup.make("risk").add(
  HttpApiEndpoint.get("status", "/risk/status")
    .addSuccess(Envelope(RiskStatus))
    .middleware(signedIn)
    .annotate(
      OpenApi.Summary,
      "Whether the caller is asked for challenges or refused, and what limits are left",
    ),
)
