/** The console: endpoints of others that are told what became of orders. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AdminList, withCsv } from "./AdminList.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { Page } from "./Page.ts"
import { PathId } from "./PathId.ts"
import {
  CreateWebhookPayload,
  DeleteWebhookPayload,
  ListDeliveriesQuery,
  ListWebhooksQuery,
  NewWebhook,
  Redelivered,
  RedeliverPayload,
  Webhook,
  WebhookDelivery,
} from "./Webhook.ts"

const path = Schema.Struct({ id: PathId })

export const WebhookApi = HttpApiGroup.make("webhooks")
  .add(
    HttpApiEndpoint.get("list", "/admin/webhooks")
      .setUrlParams(ListWebhooksQuery)
      .addSuccess(Envelope(Page(Webhook)))
      .middleware(permission("webhook:read"))
      .annotate(OpenApi.Summary, "Registered endpoints, newest first"),
  )
  .add(
    HttpApiEndpoint.post("create", "/admin/webhooks")
      .setHeaders(OptionalKey)
      .setPayload(CreateWebhookPayload)
      .addSuccess(Envelope(NewWebhook), { status: 201 })
      // The key's endpoint has been removed since.
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("webhook:write"))
      .annotate(OpenApi.Summary, "Register an endpoint; its secret is shown in this answer only"),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/webhooks/:id")
      .setPath(path)
      .addSuccess(Envelope(Webhook))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("webhook:read"))
      .annotate(OpenApi.Summary, "One endpoint"),
  )
  .add(
    HttpApiEndpoint.del("delete", "/admin/webhooks/:id")
      .setPath(path)
      .setPayload(DeleteWebhookPayload)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("webhook:write"))
      .annotate(OpenApi.Summary, "Remove an endpoint: it is told nothing any more"),
  )
  .add(
    HttpApiEndpoint.get("deliveries", "/admin/webhooks/:id/deliveries")
      .setPath(path)
      .setUrlParams(ListDeliveriesQuery)
      .addSuccess(AdminList(WebhookDelivery))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("webhook:read"))
      .annotate(OpenApi.Summary, "What an endpoint was told, and what it couldn't be, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.post("redeliver", "/admin/webhooks/:id/redeliver")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(RedeliverPayload)
      .addSuccess(Envelope(Redelivered))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("webhook:write"))
      .annotate(OpenApi.Summary, "Send one message again, or all that have failed"),
  )
