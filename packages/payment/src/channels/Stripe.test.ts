import { randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import * as Deadlines from "@floodgate/runtime/resilience/Deadlines"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Intent } from "../domain/Intent.ts"
import { Payments } from "../Payments.ts"
import { IntentStore } from "../store/IntentStore.ts"
import { ProviderEventStore } from "../store/ProviderEventStore.ts"
import { RefundStore } from "../store/RefundStore.ts"
import * as Fixture from "../testing/Fixture.ts"
import * as StripeServer from "../testing/StripeServer.ts"
import * as EventApplier from "../workers/EventApplier.ts"
import * as Refunds from "../workers/Refunds.ts"
import { Channels } from "./Channel.ts"
import * as Stripe from "./Stripe.ts"

const KEY = "sk_test_0123456789abcdef"
const SECRET = "whsec_new"
const OLD_SECRET = "whsec_old"

class Server extends Context.Tag("Server")<Server, StripeServer.StripeServer>() {}

const channels = Layer.effect(
  Channels,
  Effect.gen(function* () {
    const server = yield* Server
    const stripe = yield* Stripe.make({
      key: Redacted.make(KEY),
      secrets: [Redacted.make(SECRET), Redacted.make(OLD_SECRET)],
      url: new URL(server.url),
    })
    return new Map([["stripe", stripe]])
  }),
)

const live = Payments.layer.pipe(
  Layer.provideMerge(channels),
  Layer.provideMerge(Layer.scoped(Server, StripeServer.make({ key: KEY, secret: SECRET }))),
  Layer.provideMerge(Deadlines.layer),
  Layer.provideMerge(Fixture.stores),
  Layer.provideMerge(Fixture.ordering),
)

const stripe = Effect.map(Channels, (all) => all.get("stripe")!)

const pay = Effect.gen(function* () {
  const orderNum = Fixture.order()
  const { intent } = yield* (yield* Payments).pay(Fixture.request(orderNum, "stripe"))
  return intent
})

/** A callback as it comes: verified, stored, applied. */
const tell = Effect.fnUntraced(function* (signed: StripeServer.SignedEvent) {
  const event = yield* (yield* stripe).callback(signed)
  if (event === undefined) return "nothing" as const
  const store = yield* ProviderEventStore
  const { replayed } = yield* store.receive("stripe", event, signed.body)
  const waiting = yield* store.claim(50)
  yield* Effect.forEach(waiting, EventApplier.handle)
  return replayed ? ("known" as const) : ("new" as const)
})

const work = Effect.fnUntraced(function* (intent: Intent) {
  const store = yield* IntentStore
  yield* Fixture.due("intent", "payment_id", intent.paymentId)
  const found = (yield* store.claimDue("stripe", 50)).find((d) => d.intent.paymentId === intent.paymentId)
  return yield* (yield* Payments).goOn(found!)
})

const capturesOf = (intent: Intent) =>
  Fixture.rows<{ capture_id: string; provider_txn_id: string; amount: number }>(
    "SELECT capture_id, provider_txn_id, amount FROM capture WHERE payment_id = ?",
    intent.paymentId,
  )

layer(live, { timeout: "120 seconds", excludeTestServices: true })("Stripe", (it) => {
  describe("paying", () => {
    it.effect("makes one PaymentIntent with our ids, and gives the buyer its client secret", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const intent = yield* pay
        const made = server.byPaymentId(intent.paymentId)
        assert.deepInclude(made, { amount: Fixture.AMOUNT, currency: "cny" })
        assert.deepStrictEqual(made.metadata, { payment_id: intent.paymentId, order_num: intent.orderNum })
        assert.deepStrictEqual(intent.clientParams, { client_secret: made.client_secret })
        assert.strictEqual(intent.providerRef, made.id)
        // Asked again under the same key it is the same one.
        yield* (yield* stripe).pay(intent)
        const same = [...server.payments.values()].filter(
          (p) => p.metadata["payment_id"] === intent.paymentId,
        )
        assert.lengthOf(same, 1)
      }),
    )

    it.effect("an answer that was lost leaves it processing; the worker finds the same PaymentIntent", () =>
      Effect.gen(function* () {
        const server = yield* Server
        server.mode = "lost"
        const intent = yield* pay
        server.mode = "answers"
        assert.deepStrictEqual([intent.state, intent.accepted], ["processing", false])
        const after = yield* work(intent)
        assert.strictEqual(after.providerRef, server.byPaymentId(intent.paymentId).id)
        assert.property(after.clientParams, "client_secret")
      }),
    )

    it.effect("a signed event captures the money once, however often it comes", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const intent = yield* pay
        const made = server.byPaymentId(intent.paymentId)
        server.pay(made)
        const signed = server.event("payment_intent.succeeded", made)
        assert.strictEqual(yield* tell(signed), "new")
        assert.strictEqual(yield* tell(signed), "known")
        assert.strictEqual(yield* tell(server.event("payment_intent.succeeded", made)), "new")
        const captures = yield* capturesOf(intent)
        assert.deepInclude(captures[0], { provider_txn_id: made.id, amount: Fixture.AMOUNT })
        assert.lengthOf(captures, 1)
        yield* (yield* IntentStore).applied(intent.paymentId, captures[0]!.capture_id)
        assert.strictEqual((yield* (yield* Payments).get(intent.paymentId, Fixture.USER)).state, "applied")
      }),
    )

    it.effect("silent, it is asked: the capture by query is the same as that by event", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const intent = yield* pay
        const made = server.byPaymentId(intent.paymentId)
        server.pay(made)
        assert.strictEqual((yield* work(intent)).state, "captured")
        yield* tell(server.event("payment_intent.succeeded", made))
        assert.lengthOf(yield* capturesOf(intent), 1)
      }),
    )

    it.effect("a refused card decides nothing, a foreign event is nobody's", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const intent = yield* pay
        const made = server.byPaymentId(intent.paymentId)
        assert.strictEqual(yield* tell(server.event("payment_intent.payment_failed", made)), "nothing")
        const foreign = { ...made, id: "pi_foreign", metadata: {} }
        assert.strictEqual(yield* tell(server.event("payment_intent.succeeded", foreign)), "nothing")
        assert.strictEqual((yield* (yield* Payments).get(intent.paymentId, Fixture.USER)).state, "processing")
        const wrong = { ...made, amount_received: 1 }
        const refused = yield* Effect.flip(tell(server.event("payment_intent.succeeded", wrong)))
        assert.strictEqual((refused as { _tag: string })._tag, "PaymentMismatch")
      }),
    )
  })

  it.effect("only genuine messages are read: by either secret, of the last five minutes, unchanged", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const channel = yield* stripe
      const made = server.byPaymentId((yield* pay).paymentId)
      const good = server.event("payment_intent.succeeded", made)
      assert.isDefined(yield* channel.callback(good))
      const old = server.event("payment_intent.succeeded", made, { secret: OLD_SECRET })
      assert.isDefined(yield* channel.callback(old))
      const changed = new Uint8Array(good.body)
      changed[20] = changed[20]! ^ 1
      for (const bad of [
        server.event("payment_intent.succeeded", made, { secret: "whsec_other" }),
        server.event("payment_intent.succeeded", made, { ageS: 301 }),
        { ...good, body: changed },
        { ...good, headers: {} },
        { ...good, headers: { "stripe-signature": "t=1,v1=00" } },
      ])
        assert.strictEqual((yield* Effect.flip(channel.callback(bad)))._tag, "Unauthenticated")
    }),
  )

  describe("closing", () => {
    it.effect("cancels what is open, finds what is paid, and waits for what is being paid", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const payments = yield* Payments
        const open = yield* pay
        assert.strictEqual(yield* payments.closeOrder(open.orderNum), "closed")
        assert.strictEqual(server.byPaymentId(open.paymentId).status, "canceled")
        const paid = yield* pay
        server.pay(server.byPaymentId(paid.paymentId))
        assert.strictEqual(yield* payments.closeOrder(paid.orderNum), "captured")
        const between = yield* pay
        server.byPaymentId(between.paymentId).status = "processing"
        assert.strictEqual(yield* payments.closeOrder(between.orderNum), "pending")
        server.pay(server.byPaymentId(between.paymentId))
        assert.strictEqual((yield* work(between)).state, "captured")
      }),
    )

    it.effect("paid while it is closed: closed or captured, as Stripe has it", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const payments = yield* Payments
        for (let i = 0; i < 10; i++) {
          const intent = yield* pay
          const made = server.byPaymentId(intent.paymentId)
          const person = Effect.sync(() => {
            if (made.status !== "canceled") server.pay(made)
          }).pipe(Effect.delay(i % 5))
          const [outcome] = yield* Effect.all([payments.closeOrder(intent.orderNum), person], {
            concurrency: 2,
          })
          if (made.status === "succeeded") yield* tell(server.event("payment_intent.succeeded", made))
          assert.strictEqual(outcome, made.status === "succeeded" ? "captured" : "closed")
          assert.lengthOf(yield* capturesOf(intent), made.status === "succeeded" ? 1 : 0)
        }
      }),
    )

    it.effect("a payment whose making was never answered is found by its key, and cancelled", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const payments = yield* Payments
        server.mode = "lost"
        const intent = yield* pay
        server.mode = "answers"
        assert.strictEqual(yield* payments.closeOrder(intent.orderNum), "closed")
        assert.strictEqual(server.byPaymentId(intent.paymentId).status, "canceled")
      }),
    )
  })

  describe("refunds", () => {
    const paid = Effect.gen(function* () {
      const server = yield* Server
      const intent = yield* pay
      server.pay(server.byPaymentId(intent.paymentId))
      yield* work(intent)
      const [capture] = yield* capturesOf(intent)
      yield* (yield* IntentStore).applied(intent.paymentId, capture!.capture_id)
      return intent
    })
    const wish = (intent: Intent) =>
      Effect.flatMap(RefundStore, (store) =>
        store.request({
          orderNum: intent.orderNum,
          actorId: 1,
          reason: "broken",
          key: { scope: `refund:1:${intent.orderNum}`, keyHash: randomUUID().padEnd(64, "0"), bodyHash: "" },
        }),
      )
    const refundWork = Effect.fnUntraced(function* (intent: Intent) {
      const store = yield* RefundStore
      yield* Fixture.due("refund", "payment_id", intent.paymentId)
      const found = (yield* store.claim("stripe", 50)).filter((r) => r.paymentId === intent.paymentId)
      const channel = yield* stripe
      yield* Effect.forEach(found, (refund) => Effect.exit(Refunds.handle(channel, refund)))
      return (yield* (yield* Payments).get(intent.paymentId, Fixture.USER)).state
    })
    const made = (intent: Intent) =>
      Effect.map(Server, ({ refunds }) =>
        [...refunds.values()].filter((r) => r.metadata["payment_id"] === intent.paymentId),
      )

    it.effect("goes back once, also where the first answer was lost and its key is forgotten", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const intent = yield* paid
        yield* wish(intent)
        server.mode = "lost"
        assert.strictEqual(yield* refundWork(intent), "refunding")
        // The list comes first, so what was lost there is lost before anything is made.
        server.mode = "answers"
        assert.strictEqual(yield* refundWork(intent), "refunded")
        const channel = yield* stripe
        const [row] = yield* Fixture.rows<{ refund_id: string }>(
          "SELECT refund_id FROM refund WHERE payment_id = ?",
          intent.paymentId,
        )
        const again = yield* channel.refund({
          refundId: row!.refund_id,
          paymentId: intent.paymentId,
          providerTxnId: server.byPaymentId(intent.paymentId).id,
          userId: Fixture.USER,
          orderNum: intent.orderNum,
          amount: Fixture.AMOUNT,
          currency: "CNY",
        })
        assert.strictEqual(again._tag, "Succeeded")
        const refunds = yield* made(intent)
        assert.lengthOf(refunds, 1)
        assert.deepInclude(refunds[0], { amount: Fixture.AMOUNT })
      }),
    )

    it.effect("pending it is asked again, an event brings the question forward", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const intent = yield* paid
        yield* wish(intent)
        server.refundsAs = "pending"
        assert.strictEqual(yield* refundWork(intent), "refunding")
        server.refundsAs = "succeeded"
        const [refund] = yield* made(intent)
        refund!.status = "succeeded"
        yield* Fixture.rows(
          "UPDATE refund SET next_try_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR WHERE payment_id = ?",
          intent.paymentId,
        )
        assert.strictEqual(yield* tell(server.event("refund.updated", refund!)), "new")
        const store = yield* RefundStore
        const brought = (yield* store.claim("stripe", 50)).filter((r) => r.paymentId === intent.paymentId)
        assert.lengthOf(brought, 1)
        assert.strictEqual(yield* refundWork(intent), "refunded")
        assert.lengthOf(yield* made(intent), 1)
      }),
    )

    it.effect("refused for good it has failed; Stripe being down is not a refusal", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const intent = yield* paid
        yield* wish(intent)
        server.mode = "down"
        assert.strictEqual(yield* refundWork(intent), "refunding")
        server.mode = "answers"
        server.refundsAs = "refused"
        assert.strictEqual(yield* refundWork(intent), "applied")
        server.refundsAs = "succeeded"
        yield* wish(intent)
        assert.strictEqual(yield* refundWork(intent), "refunded")
      }),
    )
  })

  it.effect("a wrong key is no decline: the payment is processing and asked again", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const wrong = yield* Stripe.make({
        key: Redacted.make("sk_test_wrong"),
        secrets: [Redacted.make(SECRET)],
        url: new URL(server.url),
      })
      assert.strictEqual((yield* Effect.flip(wrong.pay(yield* pay)))._tag, "ChannelUnavailable")
    }),
  )
})
