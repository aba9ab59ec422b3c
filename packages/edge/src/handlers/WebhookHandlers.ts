/** The console's endpoints of others: payment keeps them, and tells them. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type {
  WebhookDelivery as DeliveryMessage,
  Webhook as Message,
} from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"
import { format } from "@floodgate/contracts/http/Instant"
import type { Webhook, WebhookDelivery } from "@floodgate/contracts/http/Webhook"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as Effect from "effect/Effect"
import * as Exchange from "../http/Exchange.ts"
import * as AdminLists from "./AdminLists.ts"
import * as CanonicalBody from "./CanonicalBody.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import { callerOf, fromPeer } from "./Peer.ts"
import * as RequestId from "./RequestId.ts"

const webhookOf = (message: Message): Webhook => ({
  id: Number(message.id),
  url: message.url,
  events: message.events as unknown as Webhook["events"],
  description: message.description,
  pending: Number(message.pending),
  delivered: Number(message.delivered),
  failed: Number(message.failed),
  created_at: format(Number(message.createdAtMs)),
})

const timeOrNull = (ms: bigint): string | null => (ms === 0n ? null : format(Number(ms)))

const deliveryOf = (message: DeliveryMessage): WebhookDelivery => ({
  id: Number(message.id),
  webhook_id: Number(message.webhookId),
  event_id: message.eventId,
  type: message.type,
  order_num: message.orderNum,
  state: message.state as WebhookDelivery["state"],
  attempts: message.attempts,
  last_status: message.lastStatus === 0 ? null : message.lastStatus,
  last_error: message.lastError === "" ? null : message.lastError,
  next_try_at: timeOrNull(message.nextTryAtMs),
  delivered_at: timeOrNull(message.deliveredAtMs),
  created_at: format(Number(message.createdAtMs)),
})

const deliveryColumns: ReadonlyArray<keyof WebhookDelivery> = [
  "id",
  "webhook_id",
  "event_id",
  "type",
  "order_num",
  "state",
  "attempts",
  "last_status",
  "last_error",
  "next_try_at",
  "delivered_at",
  "created_at",
]

export const layer = HttpApiBuilder.group(RestApi, "webhooks", (handlers) =>
  Effect.gen(function* () {
    const payment = yield* PaymentClient
    return handlers
      .handle(
        "list",
        Effect.fn("WebhookHandlers.list")(function* ({ urlParams }) {
          const user = yield* CurrentUser
          const page = yield* withQueryNames(
            fromPeer(payment.listWebhooks(pageOf(urlParams), callerOf(user))),
          )
          return { items: page.webhooks.map(webhookOf), next_cursor: nextCursor(page.nextPageToken) }
        }),
      )
      .handle(
        "create",
        Effect.fn("WebhookHandlers.create")(function* ({ headers, payload, request }) {
          const user = yield* CurrentUser
          const made = yield* fromPeer(
            payment.createWebhook(
              {
                url: payload.url,
                events: [...payload.events],
                description: payload.description ?? "",
                reason: payload.reason,
                // Without a key each request is a wish of its own.
                requestId: headers[HEADER] === undefined ? "" : RequestId.of(request, user),
                bodyHash: CanonicalBody.hash(payload),
              },
              callerOf(user),
            ),
          )
          if (made.replayed) Exchange.of(request).answerHeaders["idempotent-replayed"] = "true"
          return { ...webhookOf(made), secret: made.secret }
        }),
        { uninterruptible: true },
      )
      .handle(
        "get",
        Effect.fn("WebhookHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          return webhookOf(yield* fromPeer(payment.getWebhook({ id: BigInt(path.id) }, callerOf(user))))
        }),
      )
      .handle(
        "delete",
        Effect.fn("WebhookHandlers.delete")(function* ({ path, payload }) {
          const user = yield* CurrentUser
          yield* fromPeer(
            payment.deleteWebhook({ id: BigInt(path.id), reason: payload.reason }, callerOf(user)),
          )
          return null
        }),
        { uninterruptible: true },
      )
      .handle(
        "deliveries",
        Effect.fn("WebhookHandlers.deliveries")(function* ({ path, request, urlParams }) {
          const user = yield* CurrentUser
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "webhook-deliveries",
            columns: deliveryColumns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  payment.listWebhookDeliveries(
                    { webhookId: BigInt(path.id), state: urlParams.state ?? "", ...pageOf(at) },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ deliveries, nextPageToken }) => ({
                  items: deliveries.map(deliveryOf),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
      .handle(
        "redeliver",
        Effect.fn("WebhookHandlers.redeliver")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const { queued } = yield* fromPeer(
            payment.redeliverWebhook(
              {
                webhookId: BigInt(path.id),
                deliveryId: BigInt(payload.delivery_id ?? 0),
                reason: payload.reason,
                requestId: RequestId.of(request, user),
              },
              callerOf(user),
            ),
          )
          return { queued }
        }),
        { uninterruptible: true },
      )
  }),
)
