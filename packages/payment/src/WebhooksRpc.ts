/** The console's calls about endpoints of others. */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import type { PaymentRpc } from "@floodgate/contracts/rpc/Services"
import type { CallContext, Handlers } from "@floodgate/runtime/grpc/GrpcServer"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import * as Asked from "./Asked.ts"
import { eventTypes, isEventType } from "./domain/Webhook.ts"
import * as Messages from "./Messages.ts"
import { type DeliveryState, WebhookStore } from "./store/WebhookStore.ts"
import { refusalOf } from "./webhooks/PublicAddress.ts"
import { WebhookConfig } from "./webhooks/WebhookConfig.ts"
import { WebhookSender } from "./workers/WebhookSender.ts"

type Method =
  | "createWebhook"
  | "listWebhooks"
  | "getWebhook"
  | "deleteWebhook"
  | "listWebhookDeliveries"
  | "redeliverWebhook"

const MAX_DESCRIPTION = 200

const deliveryStates: ReadonlyArray<string> = [
  "pending",
  "delivered",
  "failed",
] satisfies Array<DeliveryState>

/** These lists are in the order of their ids, which stand for the place. */
const place = (row: { readonly id: number; readonly createdAtMs: number }) => ({
  atMs: row.createdAtMs,
  id: String(row.id),
})

const listed = (request: { readonly pageSize: number; readonly pageToken: string }) =>
  Effect.map(Asked.span({ ...request, fromMs: 0n, toMs: 0n }), ({ after, limit }) => ({
    before: after === undefined ? undefined : Number(after.id) || 0,
    limit,
  }))

export const handlers = {
  createWebhook: Effect.fnUntraced(function* (request, context: CallContext) {
    const actorId = yield* Asked.operator(context, "webhook:write")
    const reason = yield* Asked.reason(request.reason)
    const { allowLoopback } = yield* WebhookConfig
    const refusal = refusalOf(request.url, allowLoopback)
    if (refusal !== undefined) return yield* InvalidInput.at("url", refusal)
    const events = [...new Set(request.events)]
    if (events.length === 0 || !events.every(isEventType))
      return yield* InvalidInput.at("events", `must be some of ${eventTypes.join(", ")}`)
    if (request.description.length > MAX_DESCRIPTION)
      return yield* InvalidInput.at("description", `at most ${MAX_DESCRIPTION} characters`)
    const made = yield* orBusy(
      (yield* WebhookStore).create({
        url: request.url,
        events,
        description: request.description,
        actorId,
        reason,
        key:
          request.requestId === ""
            ? undefined
            : {
                scope: `webhook:${actorId}`,
                keyHash: Asked.keyHash(request.requestId),
                bodyHash: request.bodyHash,
              },
      }),
    )
    return Messages.webhook(made.webhook, made.secret, made.replayed)
  }),

  listWebhooks: Effect.fnUntraced(function* (request, context: CallContext) {
    yield* Asked.operator(context, "webhook:read")
    const { before, limit } = yield* listed(request)
    const found = yield* orBusy((yield* WebhookStore).list(before, limit))
    const { items, nextPageToken } = Asked.page(found, limit, place)
    return { webhooks: items.map((one) => Messages.webhook(one)), nextPageToken }
  }),

  getWebhook: Effect.fnUntraced(function* (request, context: CallContext) {
    yield* Asked.operator(context, "webhook:read")
    return Messages.webhook(yield* orBusy((yield* WebhookStore).get(Asked.id(request.id))))
  }),

  deleteWebhook: Effect.fnUntraced(function* (request, context: CallContext) {
    const actorId = yield* Asked.operator(context, "webhook:write")
    const reason = yield* Asked.reason(request.reason)
    yield* orBusy((yield* WebhookStore).remove(Asked.id(request.id), actorId, reason))
    return {}
  }),

  listWebhookDeliveries: Effect.fnUntraced(function* (request, context: CallContext) {
    yield* Asked.operator(context, "webhook:read")
    if (request.state !== "" && !deliveryStates.includes(request.state))
      return yield* InvalidInput.at("state", `must be one of ${deliveryStates.join(", ")}`)
    const { before, limit } = yield* listed(request)
    const found = yield* orBusy(
      (yield* WebhookStore).deliveries(Asked.id(request.webhookId), {
        state: request.state === "" ? undefined : (request.state as DeliveryState),
        before,
        limit,
      }),
    )
    const { items, nextPageToken } = Asked.page(found, limit, place)
    return { deliveries: items.map(Messages.delivery), nextPageToken }
  }),

  redeliverWebhook: Effect.fnUntraced(function* (request, context: CallContext) {
    const actorId = yield* Asked.operator(context, "webhook:write")
    const reason = yield* Asked.reason(request.reason)
    const queued = yield* orBusy(
      (yield* WebhookStore).redeliver({
        webhookId: Asked.id(request.webhookId),
        deliveryId: Asked.id(request.deliveryId),
        actorId,
        reason,
        requestId: request.requestId,
      }),
    )
    yield* (yield* WebhookSender).nudge
    return { queued }
  }),
} satisfies Pick<Handlers<typeof PaymentRpc, WebhookStore | WebhookConfig | WebhookSender>, Method>
