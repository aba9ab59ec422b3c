/** The console: risk rules, address lists, and what was decided by them. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AdminList, withCsv } from "./AdminList.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { PathId } from "./PathId.ts"
import {
  ChangeRulePayload,
  CreateRulePayload,
  DeleteIpPayload,
  DeleteRulePayload,
  IpListEntry,
  ListIpQuery,
  ListRecordsQuery,
  PutIpPayload,
  RiskRecord,
  RiskRule,
  RiskRules,
} from "./Risk.ts"

const path = Schema.Struct({ id: PathId })

export const RiskAdminApi = HttpApiGroup.make("adminRisk")
  .add(
    HttpApiEndpoint.get("listRules", "/admin/risk/rules")
      .addSuccess(Envelope(RiskRules))
      .middleware(permission("risk:read"))
      .annotate(OpenApi.Summary, "Every rule, newest first"),
  )
  .add(
    HttpApiEndpoint.post("createRule", "/admin/risk/rules")
      .setHeaders(OptionalKey)
      .setPayload(CreateRulePayload)
      .addSuccess(Envelope(RiskRule, { status: 201 }))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("risk:write"))
      .annotate(OpenApi.Summary, "A new rule; in force on every edge within a second"),
  )
  .add(
    HttpApiEndpoint.get("getRule", "/admin/risk/rules/:id")
      .setPath(path)
      .addSuccess(Envelope(RiskRule))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("risk:read"))
      .annotate(OpenApi.Summary, "One rule"),
  )
  .add(
    HttpApiEndpoint.put("changeRule", "/admin/risk/rules/:id")
      .setPath(path)
      .setPayload(ChangeRulePayload)
      .addSuccess(Envelope(RiskRule))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("STALE_VERSION"))
      .middleware(permission("risk:write"))
      .annotate(OpenApi.Summary, "Change a rule; in force on every edge within a second"),
  )
  .add(
    HttpApiEndpoint.del("deleteRule", "/admin/risk/rules/:id")
      .setPath(path)
      .setPayload(DeleteRulePayload)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("STALE_VERSION"))
      .middleware(permission("risk:write"))
      .annotate(OpenApi.Summary, "Take a rule away; what it decided stays on record"),
  )
  .add(
    HttpApiEndpoint.get("listIps", "/admin/risk/ip-list")
      .setUrlParams(ListIpQuery)
      .addSuccess(AdminList(IpListEntry))
      .middleware(permission("risk:read"))
      .annotate(OpenApi.Summary, "Addresses on lists, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.put("putIp", "/admin/risk/ip-list")
      .setPayload(PutIpPayload)
      .addSuccess(Envelope(IpListEntry))
      .addError(Failure("STALE_VERSION"))
      .middleware(permission("risk:write"))
      .annotate(OpenApi.Summary, "Put an address or a block of them on a list"),
  )
  .add(
    HttpApiEndpoint.del("deleteIp", "/admin/risk/ip-list")
      .setPayload(DeleteIpPayload)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("STALE_VERSION"))
      .middleware(permission("risk:write"))
      .annotate(OpenApi.Summary, "Take it off its list"),
  )
  .add(
    HttpApiEndpoint.get("listRecords", "/admin/risk/records")
      .setUrlParams(ListRecordsQuery)
      .addSuccess(AdminList(RiskRecord))
      .middleware(permission("risk:read"))
      .annotate(OpenApi.Summary, "What was decided and why, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
