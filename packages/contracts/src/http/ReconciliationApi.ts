/** The console: whether the stores agree. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { permission } from "./Auth.ts"
import { Envelope } from "./Envelope.ts"
import { Reconciliation } from "./Reconciliation.ts"

export const ReconciliationApi = HttpApiGroup.make("reconciliation").add(
  HttpApiEndpoint.get("get", "/admin/reconciliation")
    .addSuccess(Envelope(Reconciliation))
    .middleware(permission("report:read"))
    .annotate(OpenApi.Summary, "Where MySQL, Redis and the ledgers of money disagree, and what was repaired"),
)
