import { randomUUID } from "node:crypto"
import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import { PaymentMismatch } from "@floodgate/contracts/errors/Errors"
import { OrderSchema, OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { type Channel, type ChannelState, Channels, ChannelUnavailable } from "./channels/Channel.ts"
import type { Intent } from "./domain/Intent.ts"
import { Payments } from "./Payments.ts"
import { PaymentStore } from "./store/PaymentStore.ts"

const AMOUNT = 9900

/** A channel whose answers the test decides; it remembers what it was asked. */
const scripted = (name: string) => {
  const books = new Map<string, "paid" | "closed">()
  const channel = {
    mode: "captures" as "captures" | "waits" | "declines" | "silent",
    debits: 0,
    books,
    channel: {
      name,
      start: (intent: Intent) =>
        Effect.suspend((): Effect.Effect<ChannelState, ChannelUnavailable> => {
          if (channel.mode === "silent")
            return Effect.fail(new ChannelUnavailable({ channel: name, cause: "silent" }))
          const known = books.get(intent.paymentId)
          if (known === "closed") return Effect.succeed({ _tag: "Closed" })
          if (channel.mode === "declines") return Effect.succeed({ _tag: "Declined" })
          if (channel.mode === "waits")
            return Effect.succeed({
              _tag: "Waiting",
              payUrl: `https://pay/${intent.paymentId}`,
              clientParams: {},
            })
          if (known === undefined) channel.debits++
          books.set(intent.paymentId, "paid")
          return Effect.succeed({ _tag: "Captured", providerTxnId: intent.paymentId, amount: intent.amount })
        }),
      close: (intent: Intent) =>
        Effect.suspend((): Effect.Effect<ChannelState, ChannelUnavailable> => {
          if (channel.mode === "silent")
            return Effect.fail(new ChannelUnavailable({ channel: name, cause: "silent" }))
          if (books.get(intent.paymentId) === "paid")
            return Effect.succeed({
              _tag: "Captured",
              providerTxnId: intent.paymentId,
              amount: intent.amount,
            })
          books.set(intent.paymentId, "closed")
          return Effect.succeed({ _tag: "Closed" })
        }),
      refund: () => Effect.void,
      read: () => Effect.dieMessage("not used"),
      verify: () => Effect.dieMessage("not used"),
    } satisfies Channel,
  }
  return channel
}

const balance = scripted("balance")
const provider = scripted("sandbox")

const ordering = Layer.succeed(OrderingClient, {
  getOrder: ({ orderNum = "", userId = 0n }: { orderNum?: string; userId?: bigint }) =>
    Effect.succeed(
      create(OrderSchema, {
        orderNum,
        userId,
        amount: BigInt(AMOUNT),
        currency: "CNY",
        state: orderNum.startsWith("paid") ? OrderState.PAID : OrderState.UNPAID,
      }),
    ),
} as never)

const live = Payments.layer.pipe(
  Layer.provideMerge(PaymentStore.layer),
  Layer.provideMerge(
    Layer.succeed(Channels, new Map([balance, provider].map((c) => [c.channel.name, c.channel]))),
  ),
  Layer.provideMerge(Layer.succeed(OutboxRelay, { nudge: Effect.void })),
  Layer.provideMerge(ordering),
  Layer.provideMerge(TestMysql.layer({ migrations: ["payment"], main: "payment" })),
)

const order = () => `o${randomUUID().replaceAll("-", "")}`

const request = (orderNum: string, channel = "balance", key: string = randomUUID()) => ({
  orderNum,
  userId: 7,
  channel,
  key: { scope: `pay:7:${orderNum}`, keyHash: key.padEnd(64, "0"), bodyHash: channel.padEnd(64, "0") },
})

const rows = <A extends object>(text: string, orderNum: string) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    return yield* mysql.run("test", mysql.sql.unsafe<A>(text, [orderNum]))
  })

const fail = <A, E>(exit: Exit.Exit<A, E>) =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail"
    ? (exit.cause.error as { _tag: string; state?: string })
    : undefined

layer(live, { timeout: "120 seconds", excludeTestServices: true })("payments", (it) => {
  describe("paying", () => {
    it.effect("a hundred pays at once, each with its own key and channel, move money once", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        balance.mode = "captures"
        provider.mode = "captures"
        const before = balance.debits + provider.debits
        const orderNum = order()
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, i) => i),
          (i) => payments.pay(request(orderNum, i % 2 === 0 ? "balance" : "sandbox")).pipe(Effect.exit),
          { concurrency: 20 },
        )
        assert.strictEqual(balance.debits + provider.debits - before, 1)
        const captures = yield* rows("SELECT capture_id FROM capture WHERE order_num = ?", orderNum)
        assert.strictEqual(captures.length, 1)
        const told = yield* rows(
          "SELECT id FROM outbox WHERE aggregate = ? AND type = 'payment.captured'",
          orderNum,
        )
        assert.strictEqual(told.length, 1)
      }),
    )

    it.effect("the same key gets the same answer, another body is refused", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        provider.mode = "waits"
        const orderNum = order()
        const first = yield* payments.pay(request(orderNum, "sandbox", "k"))
        const second = yield* payments.pay(request(orderNum, "sandbox", "k"))
        assert.isFalse(first.replayed)
        assert.isTrue(second.replayed)
        assert.strictEqual(second.intent.paymentId, first.intent.paymentId)
        const other = yield* payments.pay(request(orderNum, "balance", "k")).pipe(Effect.exit)
        assert.strictEqual(fail(other)?._tag, "IdempotencyMismatch")
      }),
    )

    it.effect("another channel closes the open one first, so that at most one intent is open", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        provider.mode = "waits"
        balance.mode = "captures"
        const orderNum = order()
        const first = yield* payments.pay(request(orderNum, "sandbox"))
        const second = yield* payments.pay(request(orderNum, "balance"))
        assert.strictEqual(provider.books.get(first.intent.paymentId), "closed")
        assert.strictEqual(second.intent.state, "captured")
        assert.strictEqual((yield* payments.get(first.intent.paymentId, 7)).state, "closed")
      }),
    )

    it.effect("a decline is told as such, and the order stays payable", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        balance.mode = "declines"
        const orderNum = order()
        const declined = yield* payments.pay(request(orderNum)).pipe(Effect.exit)
        assert.strictEqual(fail(declined)?._tag, "PaymentDeclined")
        balance.mode = "captures"
        assert.strictEqual((yield* payments.pay(request(orderNum))).intent.state, "captured")
      }),
    )

    it.effect("a silent channel is not a decline: the payment is processing, and asked again", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        const store = yield* PaymentStore
        balance.mode = "silent"
        const orderNum = order()
        const { intent } = yield* payments.pay(request(orderNum))
        assert.strictEqual(intent.state, "processing")
        balance.mode = "captures"
        yield* rows("UPDATE intent SET next_try_at = UTC_TIMESTAMP(3) WHERE order_num = ?", orderNum)
        const due = (yield* store.claimIntents(50)).filter((i) => i.orderNum === orderNum)
        assert.strictEqual(due.length, 1)
        assert.strictEqual((yield* payments.start(due[0]!)).state, "captured")
      }),
    )

    it.effect("an order that is paid, or that nobody knows the channel of, is not paid again", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        const paid = yield* payments.pay(request(`paid${order().slice(4)}`)).pipe(Effect.exit)
        assert.deepInclude(fail(paid), { _tag: "WrongState", state: "paid" })
        const unknown = yield* payments.pay(request(order(), "barter")).pipe(Effect.exit)
        assert.strictEqual(fail(unknown)?._tag, "InvalidInput")
      }),
    )
  })

  describe("closing", () => {
    it.effect("pay races close: captured or closed, never both, and no payment after a close", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        balance.mode = "captures"
        for (let i = 0; i < 50; i++) {
          const orderNum = order()
          const [paid, closed] = yield* Effect.all(
            [payments.pay(request(orderNum)).pipe(Effect.exit), payments.closeOrder(orderNum)],
            { concurrency: 2 },
          )
          const captures = yield* rows("SELECT capture_id FROM capture WHERE order_num = ?", orderNum)
          assert.strictEqual(captures.length, closed === "captured" ? 1 : 0, `${closed} ${paid._tag}`)
          assert.strictEqual(
            fail(yield* payments.pay(request(orderNum)).pipe(Effect.exit))?._tag,
            "WrongState",
          )
        }
      }),
    )

    it.effect("a silent provider leaves the close pending, and asked again it is closed", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        provider.mode = "waits"
        const orderNum = order()
        yield* payments.pay(request(orderNum, "sandbox"))
        provider.mode = "silent"
        assert.strictEqual(yield* payments.closeOrder(orderNum), "pending")
        provider.mode = "waits"
        assert.strictEqual(yield* payments.closeOrder(orderNum), "closed")
        assert.strictEqual(yield* payments.closeOrder(orderNum), "closed")
      }),
    )
  })

  describe("what providers tell", () => {
    const told = (intent: Intent, more: object = {}) => ({
      eventId: randomUUID(),
      type: "payment.succeeded" as const,
      paymentId: intent.paymentId,
      orderNum: intent.orderNum,
      amount: intent.amount,
      currency: intent.currency,
      providerTxnId: randomUUID(),
      ...more,
    })
    const body = new TextEncoder().encode("{}")

    const waiting = Effect.gen(function* () {
      provider.mode = "waits"
      return (yield* (yield* Payments).pay(request(order(), "sandbox"))).intent
    })

    it.effect(
      "the same event is stored once, and another amount, currency or order is refused each time",
      () =>
        Effect.gen(function* () {
          const store = yield* PaymentStore
          const intent = yield* waiting
          const event = told(intent)
          assert.isFalse((yield* store.receive("sandbox", event, body)).replayed)
          assert.isTrue((yield* store.receive("sandbox", event, body)).replayed)
          for (const wrong of [{ amount: 1 }, { currency: "USD" }, { orderNum: "another" }]) {
            const bad = told(intent, wrong)
            for (let i = 0; i < 2; i++)
              assert.instanceOf(yield* store.receive("sandbox", bad, body).pipe(Effect.flip), PaymentMismatch)
          }
        }),
    )

    it.effect("a failure after a success changes nothing; a success after a close is money", () =>
      Effect.gen(function* () {
        const store = yield* PaymentStore
        const payments = yield* Payments
        const intent = yield* waiting
        yield* store.applyEvent(0, told(intent))
        yield* store.applyEvent(0, told(intent, { type: "payment.failed" }))
        assert.strictEqual((yield* payments.get(intent.paymentId, 7)).state, "captured")

        const late = yield* waiting
        assert.strictEqual(yield* payments.closeOrder(late.orderNum), "closed")
        yield* store.applyEvent(0, told(late))
        assert.strictEqual((yield* payments.get(late.paymentId, 7)).state, "captured")
      }),
    )

    it.effect("an event of a payment that nobody knows yet waits for it", () =>
      Effect.gen(function* () {
        const store = yield* PaymentStore
        const intent = yield* waiting
        const early = told(intent, { paymentId: "pay_unknown" })
        assert.isFalse((yield* store.receive("sandbox", early, body)).replayed)
        assert.isFalse(yield* store.applyEvent(0, early))
      }),
    )

    it.effect("money that ordering refuses is owed back once per capture, whatever is told again", () =>
      Effect.gen(function* () {
        const store = yield* PaymentStore
        const payments = yield* Payments
        const intent = yield* waiting
        yield* store.applyEvent(0, told(intent))
        const [capture] = yield* rows<{ capture_id: string }>(
          "SELECT capture_id FROM capture WHERE order_num = ?",
          intent.orderNum,
        )
        for (let i = 0; i < 3; i++) yield* store.refused(intent.paymentId, capture!.capture_id, "cancelled")
        const due = (yield* store.claimRefunds(50)).filter((r) => r.orderNum === intent.orderNum)
        assert.strictEqual(due.length, 1)
        assert.deepInclude(due[0], { amount: AMOUNT, channel: "sandbox", userId: 7 })
        for (let i = 0; i < 2; i++) yield* store.refunded(due[0]!)
        assert.strictEqual((yield* payments.get(intent.paymentId, 7)).state, "refunded")
        const events = yield* rows(
          "SELECT id FROM outbox WHERE aggregate = ? AND type = 'refund.updated'",
          intent.orderNum,
        )
        assert.strictEqual(events.length, 2)
        const audited = yield* rows<{ action: string; reason: string; after_json: string }>(
          "SELECT action, reason, after_json FROM audit WHERE target_id = ? ORDER BY id",
          due[0]!.refundId,
        )
        assert.deepStrictEqual(
          audited.map((row) => [row.action, row.reason, JSON.parse(row.after_json).state]),
          [
            ["refund.create", "cancelled", "pending"],
            ["refund.succeed", "", "succeeded"],
          ],
        )
      }),
    )
  })
})
