/** Endpoints of others that are told what became of orders. */
import * as Schema from "effect/Schema"
import * as AdminList from "./AdminList.ts"
import * as AdminWrite from "./AdminWrite.ts"
import * as InertText from "./InertText.ts"
import { Timestamp } from "./Instant.ts"
import * as Page from "./Page.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

export const webhookEvents = ["order.paid", "order.cancelled", "order.refunded"] as const
export const WebhookEventType = Schema.Literal(...webhookEvents)

/** `pending`, `delivered` and `failed` count deliveries. */
export const Webhook = Schema.Struct({
  id: Id,
  url: Schema.String,
  events: Schema.Array(WebhookEventType),
  description: Schema.String,
  pending: Schema.Int,
  delivered: Schema.Int,
  failed: Schema.Int,
  created_at: Timestamp,
}).annotations({ identifier: "Webhook" })
export type Webhook = typeof Webhook.Type

/** The only answer that holds the secret, by which messages are signed. */
export const NewWebhook = Schema.Struct({ ...Webhook.fields, secret: Schema.String }).annotations({
  identifier: "NewWebhook",
})
export type NewWebhook = typeof NewWebhook.Type

/** One message for one endpoint. `last_status` is the HTTP status of the last answer, null where none came. */
export const WebhookDelivery = Schema.Struct({
  id: Id,
  webhook_id: Id,
  event_id: Schema.String,
  type: Schema.String,
  order_num: Schema.String,
  state: Schema.Literal("pending", "delivered", "failed"),
  attempts: Schema.Int,
  last_status: Schema.NullOr(Schema.Int),
  last_error: Schema.NullOr(Schema.String),
  next_try_at: Schema.NullOr(Timestamp),
  delivered_at: Schema.NullOr(Timestamp),
  created_at: Timestamp,
}).annotations({ identifier: "WebhookDelivery" })
export type WebhookDelivery = typeof WebhookDelivery.Type

export const ListWebhooksQuery = strict(Schema.Struct(Page.query))

export const ListDeliveriesQuery = strict(
  Schema.Struct({
    state: Schema.optionalWith(Schema.Literal("pending", "delivered", "failed"), { exact: true }),
    limit: AdminList.query.limit,
    cursor: AdminList.query.cursor,
    format: AdminList.query.format,
  }),
)

/** `url` is public and https; where the configuration allows it, also this machine's. */
export const CreateWebhookPayload = strict(
  Schema.Struct({
    url: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(2048)),
    events: Schema.Array(WebhookEventType).pipe(
      Schema.minItems(1),
      Schema.maxItems(webhookEvents.length),
      Schema.filter((types) => new Set(types).size === types.length || "must not repeat an event"),
    ),
    description: Schema.optionalWith(InertText.line(0, 200), { exact: true }),
    ...AdminWrite.reason,
  }),
).annotations({ identifier: "CreateWebhookPayload" })

export const DeleteWebhookPayload = strict(Schema.Struct({ ...AdminWrite.reason })).annotations({
  identifier: "DeleteWebhookPayload",
})

/** Without `delivery_id`: all that have failed. */
export const RedeliverPayload = strict(
  Schema.Struct({ delivery_id: Schema.optionalWith(Id, { exact: true }), ...AdminWrite.reason }),
).annotations({ identifier: "RedeliverPayload" })

/** How many are on their way again. */
export const Redelivered = Schema.Struct({ queued: Schema.Int }).annotations({ identifier: "Redelivered" })
