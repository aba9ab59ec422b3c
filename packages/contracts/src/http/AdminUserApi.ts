/** The console: who has an account, who is banned, who may do what. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AdminList, withCsv } from "./AdminList.ts"
import { AdminUser, BanPayload, ListUsersQuery, RolesPayload, UnbanPayload } from "./AdminUser.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { PathId } from "./PathId.ts"

const path = Schema.Struct({ id: PathId })

export const AdminUserApi = HttpApiGroup.make("adminUsers")
  .add(
    HttpApiEndpoint.get("list", "/admin/users")
      .setUrlParams(ListUsersQuery)
      .addSuccess(AdminList(AdminUser))
      .middleware(permission("user:read"))
      .annotate(OpenApi.Summary, "Accounts, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/users/:id")
      .setPath(path)
      .addSuccess(Envelope(AdminUser))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("user:read"))
      .annotate(OpenApi.Summary, "One account"),
  )
  .add(
    HttpApiEndpoint.post("ban", "/admin/users/:id/ban")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(BanPayload)
      .addSuccess(Envelope(AdminUser))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("STALE_VERSION"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("user:ban"))
      .annotate(OpenApi.Summary, "Ban an account: its live tokens are refused within a second"),
  )
  .add(
    HttpApiEndpoint.post("unban", "/admin/users/:id/unban")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(UnbanPayload)
      .addSuccess(Envelope(AdminUser))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("STALE_VERSION"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("user:ban"))
      .annotate(OpenApi.Summary, "Lift a ban"),
  )
  .add(
    HttpApiEndpoint.post("roles", "/admin/users/:id/roles")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(RolesPayload)
      .addSuccess(Envelope(AdminUser))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("STALE_VERSION"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("user:roles"))
      .annotate(OpenApi.Summary, "Give an account these roles and no others"),
  )
