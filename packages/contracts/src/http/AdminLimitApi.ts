/** The console: how often anybody may do anything. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { Limit, LimitNameParam, LimitPayload, LimitQuery, Limits } from "./AdminLimit.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"

const path = Schema.Struct({ name: LimitNameParam })

export const AdminLimitApi = HttpApiGroup.make("adminLimits")
  .add(
    HttpApiEndpoint.get("list", "/admin/limits")
      .addSuccess(Envelope(Limits))
      .middleware(permission("risk:read"))
      .annotate(OpenApi.Summary, "Every limit, and the products that have one of their own"),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/limits/:name")
      .setPath(path)
      .setUrlParams(LimitQuery)
      .addSuccess(Envelope(Limit))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("risk:read"))
      .annotate(OpenApi.Summary, "One limit, or one product's own"),
  )
  .add(
    HttpApiEndpoint.put("change", "/admin/limits/:name")
      .setPath(path)
      .setPayload(LimitPayload)
      .addSuccess(Envelope(Limit))
      .addError(Failure("STALE_VERSION"))
      .middleware(permission("risk:write"))
      .annotate(OpenApi.Summary, "Change a limit; in force on every edge within a second"),
  )
