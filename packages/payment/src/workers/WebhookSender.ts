/**
 * Delivers what endpoints are to be told. Each endpoint has a fiber of its own while something is due for it, so one
 * that hangs delays nobody but itself; what it is told at once is bounded.
 */
import * as Signature from "@floodgate/contracts/payment/CallbackSignature"
import * as RuntimeSweep from "@floodgate/runtime/lifecycle/Sweep"
import { Deadlines } from "@floodgate/runtime/resilience/Deadlines"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as PaymentMetrics from "../PaymentMetrics.ts"
import { type DueDelivery, type Endpoint, WebhookStore } from "../store/WebhookStore.ts"
import * as Post from "../webhooks/Post.ts"
import { WebhookConfig } from "../webhooks/WebhookConfig.ts"

export const SIGNATURE_HEADER = "x-floodgate-signature"

const EVERY_MS = 1_000
/** Deliveries in one endpoint's hands, and on their way to it at once. */
const BATCH = 20
const AT_ONCE = 4
/** Rows of one clean-up. */
const FORGET = 500
const FORGET_EVERY_MS = 3_600_000

/** One delivery, one attempt. */
export const deliver = Effect.fn("WebhookSender.deliver")(function* (
  endpoint: Endpoint,
  delivery: DueDelivery,
) {
  const store = yield* WebhookStore
  const deadlines = yield* Deadlines
  const { allowLoopback } = yield* WebhookConfig
  const missed = (status: number | null, error: string) =>
    Effect.flatMap(store.missed(delivery, { status, error }), (over) => {
      PaymentMetrics.delivered(over ? "given_up" : "missed")
      return over
        ? Effect.logError(`a webhook's delivery was given up: ${error}`).pipe(
            Effect.annotateLogs({ delivery_id: delivery.id, attempts: delivery.attempts }),
          )
        : Effect.void
    })
  if (endpoint.secret === undefined) return yield* missed(null, "the key that sealed its secret is gone")
  const body = new TextEncoder().encode(delivery.body)
  const now = yield* Clock.currentTimeMillis
  const status = yield* Post.post({
    url: endpoint.url,
    headers: {
      "content-type": "application/json",
      "user-agent": "floodgate-webhooks/1",
      [SIGNATURE_HEADER]: Signature.sign([endpoint.secret], now, body),
    },
    body,
    allowLoopback,
  }).pipe(
    deadlines.within("provider.call"),
    Effect.catchTags({
      NotReached: ({ reason }) => Effect.as(missed(null, reason), undefined),
      DeadlineExceeded: ({ deadline_ms }) =>
        Effect.as(missed(null, `no answer within ${deadline_ms} ms`), undefined),
    }),
  )
  if (status === undefined) return
  return yield* status >= 200 && status < 300
    ? Effect.tap(store.arrived(delivery.id, status), () =>
        Effect.sync(() => PaymentMetrics.delivered("arrived")),
      )
    : missed(status, `answered ${status}`)
})

/** Everything that is due for one endpoint, a batch at a time. */
const serve = (webhookId: number) =>
  Effect.gen(function* () {
    const store = yield* WebhookStore
    for (;;) {
      const claimed = yield* store.claim(webhookId, BATCH)
      if (claimed === undefined || claimed.deliveries.length === 0) return
      yield* Effect.forEach(claimed.deliveries, (delivery) => deliver(claimed.endpoint, delivery), {
        concurrency: AT_ONCE,
        discard: true,
      })
    }
  }).pipe(
    Effect.catchAllCause((cause) =>
      Effect.logWarning("deliveries of an endpoint are left for later", cause).pipe(
        Effect.annotateLogs({ webhook_id: webhookId }),
      ),
    ),
  )

export class WebhookSender extends Context.Tag("@floodgate/payment/workers/WebhookSender")<
  WebhookSender,
  { readonly nudge: Effect.Effect<void> }
>() {
  static readonly layer = Layer.scoped(
    WebhookSender,
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const busy = yield* FiberMap.make<number>()
      yield* RuntimeSweep.make({
        name: "old webhook deliveries",
        everyMs: FORGET_EVERY_MS,
        maxPages: 20,
        page: store.forget(FORGET),
      })
      return yield* RuntimeSweep.make({
        name: "webhook deliveries",
        everyMs: EVERY_MS,
        maxPages: 1,
        page: Effect.flatMap(store.due(), (ids) =>
          Effect.forEach(ids, (id) => FiberMap.run(busy, id, serve(id), { onlyIfMissing: true }), {
            discard: true,
          }),
        ).pipe(Effect.as(false)),
      })
    }),
  )
}
