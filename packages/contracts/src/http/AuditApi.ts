/** The console: the audit trail of all services. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { AdminList, withCsv } from "./AdminList.ts"
import { AuditEntry, ListAuditQuery } from "./Audit.ts"
import { permission } from "./Auth.ts"

export const AuditApi = HttpApiGroup.make("audit").add(
  HttpApiEndpoint.get("list", "/admin/audit")
    .setUrlParams(ListAuditQuery)
    .addSuccess(AdminList(AuditEntry))
    .middleware(permission("audit:read"))
    .annotate(OpenApi.Summary, "Who changed what and why, in every service, newest first")
    .annotate(OpenApi.Transform, withCsv),
)
