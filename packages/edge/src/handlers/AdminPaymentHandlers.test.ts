import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { assert, layer } from "@effect/vitest"
import { WrongState } from "@floodgate/contracts/errors/Errors"
import {
  DeleteWebhookResponseSchema,
  ListPaymentsResponseSchema,
  ListRefundsResponseSchema,
  ListWebhookDeliveriesResponseSchema,
  ListWebhooksResponseSchema,
  PaymentRecordSchema,
  PaymentStatus,
  RedeliverWebhookResponseSchema,
  RefundRecordSchema,
  WebhookSchema,
} from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const AT = BigInt(Date.UTC(2026, 0, 31, 8))

const refund = (init: MessageInitShape<typeof RefundRecordSchema> = {}) =>
  create(RefundRecordSchema, {
    refundId: "ref_1",
    captureId: "cap_1",
    paymentId: "pay_1",
    orderNum: Messages.orderNum,
    userId: 7n,
    channel: "balance",
    amount: 9_900n,
    currency: "CNY",
    status: "pending",
    reason: "operator",
    attempt: 1,
    actorId: 3n,
    createdAtMs: AT,
    ...(init as object),
  })

const record = create(PaymentRecordSchema, {
  payment: { ...Messages.payment(), status: PaymentStatus.SUCCEEDED, createdAtMs: AT, updatedAtMs: AT },
  state: "refunding",
  version: 4n,
  purpose: "order",
  captures: [{ captureId: "cap_1", providerTxnId: "t", amount: 9_900n, state: "applied", createdAtMs: AT }],
  refunds: [refund()],
})

const webhook = (secret = "") =>
  create(WebhookSchema, {
    id: 5n,
    url: "https://crm.example.com/hook",
    events: ["order.paid"],
    secret,
    createdAtMs: AT,
    failed: 2n,
  })

/** What reached payment, by method. */
const asked: Array<[string, any]> = []
const told =
  <A>(method: string, answer: A) =>
  (request: unknown) =>
    Effect.sync(() => {
      asked.push([method, request])
      return answer
    })

const peers = {
  payment: {
    refund: (request: any) =>
      request.reason === "twice"
        ? Effect.fail(new WrongState({ state: "refunded" }))
        : told("refund", refund({ replayed: request.idempotencyKey === "known" }))(request),
    listPayments: told(
      "listPayments",
      create(ListPaymentsResponseSchema, { payments: [record], nextPageToken: "" }),
    ),
    getPaymentRecord: told("getPaymentRecord", record),
    listRefunds: told("listRefunds", create(ListRefundsResponseSchema, { refunds: [refund()] })),
    createTopUp: told(
      "createTopUp",
      Messages.payment({ orderNum: "topup_1", channel: "sandbox", status: PaymentStatus.REQUIRES_ACTION }),
    ),
    createWebhook: told("createWebhook", webhook("whsec_x")),
    listWebhooks: told("listWebhooks", create(ListWebhooksResponseSchema, { webhooks: [webhook()] })),
    getWebhook: told("getWebhook", webhook()),
    deleteWebhook: told("deleteWebhook", create(DeleteWebhookResponseSchema, {})),
    listWebhookDeliveries: told(
      "listWebhookDeliveries",
      create(ListWebhookDeliveriesResponseSchema, {
        deliveries: [
          {
            id: 9n,
            webhookId: 5n,
            eventId: "o.3",
            type: "order.paid",
            orderNum: "o",
            state: "failed",
            createdAtMs: AT,
          },
        ],
      }),
    ),
    redeliverWebhook: told("redeliverWebhook", create(RedeliverWebhookResponseSchema, { queued: 2 })),
  },
}

const admin = TestEdge.bearer({ userId: 3, roles: ["admin"] })

const ask = (
  path: string,
  options: { method?: string; body?: object; headers?: Record<string, string> } = {},
) =>
  Effect.flatMap(TestEdge.TestEdge, (edge) => {
    asked.length = 0
    return edge.ask(path, { ...options, headers: { ...admin, ...options.headers } })
  })

layer(TestEdge.layer(peers), { excludeTestServices: true })(
  "payments, refunds and webhooks of the console",
  (it) => {
    const path = `/admin/orders/${Messages.orderNum}/refund`

    it.effect("a refund demands a key and a reason, and tells a replay as one", () =>
      Effect.gen(function* () {
        const body = { reason: "broken" }
        assert.strictEqual((yield* ask(path, { body })).json.code, 400)
        const headers = { "idempotency-key": "k" }
        assert.strictEqual((yield* ask(path, { body: {}, headers })).json.code, 400)
        const made = yield* ask(path, { body, headers })
        assert.deepStrictEqual([made.status, made.json.code], [200, 0])
        assert.deepInclude(made.json.data, {
          refund_id: "ref_1",
          status: "pending",
          actor_id: 3,
          succeeded_at: null,
        })
        assert.deepInclude(asked[0]![1], {
          orderNum: Messages.orderNum,
          reason: "broken",
          idempotencyKey: "k",
        })
        const again = yield* ask(path, { body, headers: { "idempotency-key": "known" } })
        assert.strictEqual(again.headers["idempotent-replayed"], "true")
        const twice = yield* ask(path, { body: { reason: "twice" }, headers })
        assert.deepStrictEqual(
          [twice.status, twice.json.code, twice.json.data],
          [409, 520, { state: "refunded" }],
        )
        assert.strictEqual((yield* ask("/admin/orders/nonsense/refund", { body, headers })).status, 404)
      }),
    )

    it.effect("payments are listed with what came and what went back, as JSON and as CSV", () =>
      Effect.gen(function* () {
        const list = yield* ask("/admin/payments?status=succeeded&order_num=o&from=2026-01-01T00:00:00Z")
        assert.deepInclude(asked[0]![1], { orderNum: "o", status: PaymentStatus.SUCCEEDED })
        const [item] = list.json.data.items
        assert.deepInclude(item, { payment_id: "pay_1", state: "refunding", purpose: "order", version: 4 })
        assert.deepInclude(item.captures[0], { capture_id: "cap_1", state: "applied" })
        assert.deepInclude(item.refunds[0], { refund_id: "ref_1", reason: "operator" })
        assert.notProperty(item, "pay_url")
        const csv = yield* ask("/admin/payments?format=csv")
        assert.match(csv.headers["content-type"] ?? "", /text\/csv/)
        assert.match(csv.text, /^payment_id,purpose,order_num/)
        assert.strictEqual((yield* ask("/admin/payments?status=nonsense")).json.code, 400)
        assert.strictEqual((yield* ask("/admin/payments/pay_1")).json.data.payment_id, "pay_1")
        assert.strictEqual(
          (yield* ask("/admin/refunds?status=pending")).json.data.items[0].refund_id,
          "ref_1",
        )
      }),
    )

    it.effect("a wallet is topped up under a key, by a whole number of minor units", () =>
      Effect.gen(function* () {
        const headers = { "idempotency-key": "k" }
        const body = { amount: 5_000, channel: "sandbox" }
        assert.strictEqual((yield* ask("/wallet/topups", { body })).json.code, 400)
        for (const amount of [0, -1, 1.5, 10_000_000_001, "5"])
          assert.strictEqual(
            (yield* ask("/wallet/topups", { body: { ...body, amount }, headers })).json.code,
            400,
          )
        const made = yield* ask("/wallet/topups", { body, headers })
        assert.deepInclude(made.json.data, { order_num: "topup_1", status: "requires_action" })
        assert.deepInclude(asked[0]![1], { userId: 3n, amount: 5_000n, channel: "sandbox" })
      }),
    )

    it.effect("an endpoint's secret is in the answer that made it, and in no other", () =>
      Effect.gen(function* () {
        const body = { url: "https://crm.example.com/hook", events: ["order.paid"], reason: "crm" }
        const made = yield* ask("/admin/webhooks", { body })
        assert.deepStrictEqual([made.status, made.json.data.secret], [201, "whsec_x"])
        for (const get of ["/admin/webhooks", "/admin/webhooks/5"])
          assert.notInclude((yield* ask(get)).text, "secret")
        assert.strictEqual((yield* ask("/admin/webhooks", { body: { ...body, events: [] } })).json.code, 400)
        assert.strictEqual(
          (yield* ask("/admin/webhooks", { body: { ...body, events: ["order.created"] } })).json.code,
          400,
        )
      }),
    )

    it.effect("deliveries are listed and sent again, an endpoint is removed for a reason", () =>
      Effect.gen(function* () {
        const list = yield* ask("/admin/webhooks/5/deliveries?state=failed")
        assert.deepInclude(list.json.data.items[0], { id: 9, state: "failed", last_status: null })
        const again = yield* ask("/admin/webhooks/5/redeliver", { body: { reason: "they are back" } })
        assert.deepStrictEqual(again.json.data, { queued: 2 })
        assert.deepInclude(asked[0]![1], { webhookId: 5n, deliveryId: 0n })
        yield* ask("/admin/webhooks/5/redeliver", { body: { reason: "one", delivery_id: 9 } })
        assert.strictEqual(asked[0]![1].deliveryId, 9n)
        assert.strictEqual((yield* ask("/admin/webhooks/5", { method: "DELETE", body: {} })).json.code, 400)
        const gone = yield* ask("/admin/webhooks/5", { method: "DELETE", body: { reason: "over" } })
        assert.deepStrictEqual([gone.status, gone.json.data], [200, null])
      }),
    )
  },
)
