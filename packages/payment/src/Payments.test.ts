import { randomUUID } from "node:crypto"
import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import { PaymentMismatch } from "@floodgate/contracts/errors/Errors"
import { OrderSchema, OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import {
  type Channel,
  type ChannelRefund,
  type ChannelState,
  Channels,
  ChannelUnavailable,
} from "./channels/Channel.ts"
import type { Intent } from "./domain/Intent.ts"
import { Payments } from "./Payments.ts"
import { Gate } from "./store/Gate.ts"
import { IntentStore } from "./store/IntentStore.ts"
import { PaymentLists } from "./store/PaymentLists.ts"
import { ProviderEventStore } from "./store/ProviderEventStore.ts"
import { RefundStore } from "./store/RefundStore.ts"
import * as Refunds from "./workers/Refunds.ts"

const AMOUNT = 9900

/** A channel whose answers the test decides; it remembers what it was asked. */
const scripted = (name: string) => {
  const books = new Map<string, "paid" | "closed">()
  const channel = {
    mode: "captures" as "captures" | "waits" | "declines" | "silent" | "hangs",
    debits: 0,
    books,
    refunds: new Map<string, number>(),
    refund: "gives" as "gives" | "waits" | "refuses" | "silent",
    /** Where the provider says a payment stands that waits for a person. */
    query: undefined as ChannelState | undefined,
    channel: {
      name,
      topsUp: name !== "balance",
      query: (): Effect.Effect<ChannelState, ChannelUnavailable> =>
        Effect.suspend(() =>
          channel.query === undefined
            ? Effect.fail(new ChannelUnavailable({ channel: name, cause: "silent" }))
            : Effect.succeed(channel.query),
        ),
      pay: (intent: Intent) =>
        Effect.suspend((): Effect.Effect<ChannelState, ChannelUnavailable> => {
          if (channel.mode === "hangs") return Effect.never
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
          if (channel.mode === "hangs") return Effect.never
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
      refund: ({ amount, refundId }) =>
        Effect.suspend((): Effect.Effect<ChannelRefund, ChannelUnavailable> => {
          if (channel.refund === "silent")
            return Effect.fail(new ChannelUnavailable({ channel: name, cause: "silent" }))
          if (channel.refund === "waits") return Effect.succeed({ _tag: "Pending" })
          if (channel.refund === "refuses") return Effect.succeed({ _tag: "Failed", reason: "no" })
          channel.refunds.set(refundId, amount)
          return Effect.succeed({ _tag: "Succeeded" })
        }),
      read: () => Effect.dieMessage("not used"),
      callback: () => Effect.dieMessage("not used"),
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
  Layer.provideMerge(
    Layer.mergeAll(IntentStore.layer, ProviderEventStore.layer, RefundStore.layer, PaymentLists.layer),
  ),
  Layer.provideMerge(Gate.layer),
  Layer.provideMerge(
    Layer.succeed(
      Channels,
      new Map([balance, provider].map((c): [string, Channel] => [c.channel.name, c.channel])),
    ),
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
        const store = yield* IntentStore
        balance.mode = "silent"
        const orderNum = order()
        const { intent } = yield* payments.pay(request(orderNum))
        assert.strictEqual(intent.state, "processing")
        balance.mode = "captures"
        yield* rows("UPDATE intent SET next_try_at = UTC_TIMESTAMP(3) WHERE order_num = ?", orderNum)
        const due = (yield* store.claimDue("balance", 50)).filter((d) => d.intent.orderNum === orderNum)
        assert.strictEqual(due.length, 1)
        assert.strictEqual((yield* payments.goOn(due[0]!)).state, "captured")
      }),
    )

    it.effect("a provider that says nothing is asked how a payment stands, with growing pauses", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        const store = yield* IntentStore
        provider.mode = "waits"
        const orderNum = order()
        const { intent } = yield* payments.pay(request(orderNum, "sandbox"))
        const next = () =>
          rows<{ s: number }>(
            "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), next_try_at) AS s FROM intent WHERE order_num = ?",
            orderNum,
          ).pipe(Effect.map(([row]) => Number(row!.s)))
        const ask = Effect.gen(function* () {
          yield* rows("UPDATE intent SET next_try_at = UTC_TIMESTAMP(3) WHERE order_num = ?", orderNum)
          const due = (yield* store.claimDue("sandbox", 50)).find((d) => d.intent.orderNum === orderNum)!
          assert.isFalse(due.closing)
          return yield* payments.goOn(due)
        })
        provider.query = { _tag: "Waiting", payUrl: "https://pay/", clientParams: {} }
        const pauses: Array<number> = []
        for (let i = 0; i < 3; i++) {
          yield* ask
          pauses.push(yield* next())
        }
        assert.isTrue(pauses[0]! < pauses[1]! && pauses[1]! < pauses[2]!, pauses.join(" "))
        provider.query = undefined
        yield* Effect.exit(ask)
        assert.isAbove(yield* next(), pauses[2]!)
        provider.query = { _tag: "Captured", providerTxnId: intent.paymentId, amount: intent.amount }
        assert.strictEqual((yield* ask).state, "captured")
        provider.query = undefined
      }),
    )

    it.effect("a provider that hangs doesn't hold its caller: the payment is processing in time", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        provider.mode = "hangs"
        const orderNum = order()
        const [took, { intent }] = yield* Effect.timed(payments.pay(request(orderNum, "sandbox")))
        assert.strictEqual(intent.state, "processing")
        assert.isBelow(Duration.toMillis(took), 2_900)
        const [closing, closed] = yield* Effect.timed(payments.closeOrder(orderNum))
        assert.strictEqual(closed, "pending")
        assert.isBelow(Duration.toMillis(closing), 2_900)
        provider.mode = "waits"
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

  describe("what a shut gate left open", () => {
    it.effect("is closed at its channel by the worker, and never asked for money again", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        const store = yield* IntentStore
        const orderNum = order()
        balance.mode = "silent"
        const { intent } = yield* payments.pay(request(orderNum))
        assert.strictEqual(yield* payments.closeOrder(orderNum), "pending")
        balance.mode = "captures"
        const debits = balance.debits
        yield* rows("UPDATE intent SET next_try_at = UTC_TIMESTAMP(3) WHERE order_num = ?", orderNum)
        const due = (yield* store.claimDue("balance", 50)).find((d) => d.intent.orderNum === orderNum)!
        assert.isTrue(due.closing)
        assert.strictEqual((yield* payments.goOn(due)).state, "closed")
        assert.strictEqual(balance.debits, debits)
        assert.strictEqual(balance.books.get(intent.paymentId), "closed")
      }),
    )

    it.effect("once money has paid the order, another open payment of it is closed, too", () =>
      Effect.gen(function* () {
        const payments = yield* Payments
        const store = yield* IntentStore
        provider.mode = "waits"
        balance.mode = "silent"
        const orderNum = order()
        const first = yield* payments.pay(request(orderNum, "sandbox"))
        const second = yield* payments.pay(request(orderNum, "balance"))
        // The first was closed for the second's sake; its money comes late all the same.
        const paid = yield* store.captured(first.intent, "late", AMOUNT)
        const [capture] = yield* rows<{ capture_id: string }>(
          "SELECT capture_id FROM capture WHERE order_num = ?",
          orderNum,
        )
        yield* store.applied(paid.paymentId, capture!.capture_id)
        const due = (yield* store.claimDue("balance", 50)).find((d) => d.intent.orderNum === orderNum)!
        assert.strictEqual(due.intent.paymentId, second.intent.paymentId)
        assert.isTrue(due.closing)
      }),
    )
  })

  describe("an operator's refund", () => {
    const paid = (channel: string) =>
      Effect.gen(function* () {
        const payments = yield* Payments
        balance.mode = "captures"
        provider.mode = "captures"
        const orderNum = order()
        const { intent } = yield* payments.pay(request(orderNum, channel))
        const [capture] = yield* rows<{ capture_id: string }>(
          "SELECT capture_id FROM capture WHERE order_num = ?",
          orderNum,
        )
        yield* (yield* IntentStore).applied(intent.paymentId, capture!.capture_id)
        return { orderNum, paymentId: intent.paymentId, captureId: capture!.capture_id }
      })
    const wish = (orderNum: string, key: string = randomUUID()) => ({
      orderNum,
      actorId: 99,
      reason: "broken in transit",
      key: { scope: `refund:99:${orderNum}`, keyHash: key.padEnd(64, "0"), bodyHash: "b".repeat(64) },
    })
    const work = (orderNum: string, on: typeof balance) =>
      Effect.gen(function* () {
        const store = yield* RefundStore
        yield* rows(
          "UPDATE refund SET next_try_at = UTC_TIMESTAMP(3) WHERE order_num = ? AND state = 'pending'",
          orderNum,
        )
        const due = (yield* store.claim(on.channel.name, 50)).filter((r) => r.orderNum === orderNum)
        yield* Effect.forEach(due, (refund) => Effect.exit(Refunds.handle(on.channel, refund)))
        return due
      })
    const told = (orderNum: string) =>
      rows<{ payload: string }>(
        "SELECT payload FROM outbox WHERE aggregate = ? AND type = 'refund.updated' ORDER BY id",
        orderNum,
      ).pipe(
        Effect.map((found) =>
          found.map(({ payload }) => {
            const { capture_id, refund } = JSON.parse(payload)
            return [capture_id, refund.status, refund.reason]
          }),
        ),
      )

    it.effect("gives the money back once, whatever is repeated, and says so", () =>
      Effect.gen(function* () {
        const store = yield* RefundStore
        const payments = yield* Payments
        const { captureId, orderNum, paymentId } = yield* paid("balance")
        const answers = yield* Effect.all(
          [
            ...Array.from({ length: 10 }, () => Effect.exit(store.request(wish(orderNum, "same")))),
            ...Array.from({ length: 10 }, () => Effect.exit(store.request(wish(orderNum)))),
          ],
          { concurrency: 10 },
        )
        const made = answers.flatMap((exit) => (Exit.isSuccess(exit) ? [exit.value] : []))
        assert.strictEqual(new Set(made.map(({ refund }) => refund.refundId)).size, 1)
        assert.strictEqual(made.filter(({ replayed }) => !replayed).length, 1)
        assert.deepStrictEqual(
          new Set(
            answers
              .map(fail)
              .filter((e) => e !== undefined)
              .map((e) => [e._tag, e.state].join()),
          ),
          new Set(["WrongState,refunding"]),
        )
        assert.strictEqual((yield* payments.get(paymentId, 7)).state, "refunding")
        balance.refund = "silent"
        yield* work(orderNum, balance)
        balance.refund = "gives"
        for (let i = 0; i < 2; i++) yield* work(orderNum, balance)
        assert.strictEqual(balance.refunds.get(made[0]!.refund.refundId), AMOUNT)
        assert.strictEqual((yield* payments.get(paymentId, 7)).state, "refunded")
        assert.deepStrictEqual(yield* told(orderNum), [
          [captureId, "pending", "operator"],
          [captureId, "succeeded", "operator"],
        ])
        const again = yield* Effect.exit(store.request(wish(orderNum)))
        assert.deepInclude(fail(again), { _tag: "WrongState", state: "refunded" })
        const [audited] = yield* rows<{ actor_id: number; reason: string }>(
          "SELECT actor_id, reason FROM audit WHERE action = 'refund.create' AND target_id = ?",
          made[0]!.refund.refundId,
        )
        assert.deepInclude(audited, { actor_id: 99, reason: "broken in transit" })
      }),
    )

    it.effect("refused for good it has failed, the order is paid again, and another try may succeed", () =>
      Effect.gen(function* () {
        const store = yield* RefundStore
        const payments = yield* Payments
        const lists = yield* PaymentLists
        const { orderNum, paymentId } = yield* paid("sandbox")
        yield* store.request(wish(orderNum))
        provider.refund = "refuses"
        yield* work(orderNum, provider)
        assert.strictEqual((yield* payments.get(paymentId, 7)).state, "applied")
        assert.lengthOf(yield* work(orderNum, provider), 0)
        provider.refund = "waits"
        yield* store.request(wish(orderNum))
        yield* work(orderNum, provider)
        assert.strictEqual((yield* payments.get(paymentId, 7)).state, "refunding")
        provider.refund = "gives"
        yield* work(orderNum, provider)
        const record = yield* lists.payment(paymentId)
        assert.strictEqual(record.intent.state, "refunded")
        assert.deepStrictEqual(
          record.refunds.map((r) => [r.attempt, r.status, r.failure, r.actorId]),
          [
            [1, "failed", "no", 99],
            [2, "succeeded", null, 99],
          ],
        )
        assert.deepStrictEqual(
          (yield* told(orderNum)).map(([, status]) => status),
          ["pending", "failed", "pending", "succeeded"],
        )
      }),
    )

    it.effect("a second capture goes back without touching what the order has", () =>
      Effect.gen(function* () {
        const intents = yield* IntentStore
        const refunds = yield* RefundStore
        const { orderNum, paymentId } = yield* paid("sandbox")
        const intent = (yield* intents.find(paymentId))!
        yield* intents.captured(intent, "twice", AMOUNT)
        const [second] = yield* rows<{ capture_id: string }>(
          "SELECT capture_id FROM capture WHERE order_num = ? AND state = 'new'",
          orderNum,
        )
        yield* refunds.refused(paymentId, second!.capture_id, "paid")
        provider.refund = "gives"
        yield* work(orderNum, provider)
        assert.strictEqual((yield* intents.find(paymentId))!.state, "applied")
        // What is left is refunded by an operator.
        yield* refunds.request(wish(orderNum))
        yield* work(orderNum, provider)
        assert.strictEqual((yield* intents.find(paymentId))!.state, "refunded")
      }),
    )

    it.effect("an order that nobody paid has nothing to give back", () =>
      Effect.gen(function* () {
        const store = yield* RefundStore
        const payments = yield* Payments
        assert.strictEqual(fail(yield* Effect.exit(store.request(wish(order()))))?._tag, "NotFound")
        provider.mode = "waits"
        const orderNum = order()
        yield* payments.pay(request(orderNum, "sandbox"))
        const unpaid = yield* Effect.exit(store.request(wish(orderNum)))
        assert.deepInclude(fail(unpaid), { _tag: "WrongState", state: "unpaid" })
      }),
    )

    it.effect("payments and refunds are listed newest first, page by page, by status and order", () =>
      Effect.gen(function* () {
        const lists = yield* PaymentLists
        const span = { fromMs: undefined, toMs: undefined, after: undefined, limit: 1000 }
        const { orderNum, paymentId } = yield* paid("balance")
        const mine = yield* lists.payments({ ...span, orderNum, status: "succeeded" })
        assert.deepStrictEqual(
          mine.map(({ captures, intent }) => [intent.paymentId, captures.map((c) => c.state)]),
          [[paymentId, ["applied"]]],
        )
        assert.lengthOf(yield* lists.payments({ ...span, orderNum, status: "closed" }), 0)
        const all = yield* lists.payments({ ...span, orderNum: undefined, status: undefined })
        const paged: Array<string> = []
        let after: { atMs: number; id: string } | undefined
        for (;;) {
          const page = yield* lists.payments({
            ...span,
            limit: 7,
            orderNum: undefined,
            status: undefined,
            after,
          })
          if (page.length === 0) break
          paged.push(...page.map(({ intent }) => intent.paymentId))
          const last = page[page.length - 1]!.intent
          after = { atMs: last.createdAtMs, id: last.paymentId }
        }
        assert.deepStrictEqual(
          paged,
          all.map(({ intent }) => intent.paymentId),
        )
        const refunds = yield* lists.refunds({ ...span, orderNum: undefined, status: "failed" })
        assert.isTrue(refunds.length > 0 && refunds.every(({ status }) => status === "failed"))
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
          const store = yield* ProviderEventStore
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
        const store = yield* ProviderEventStore
        const payments = yield* Payments
        const intent = yield* waiting
        yield* store.apply(0, "sandbox", told(intent))
        yield* store.apply(0, "sandbox", told(intent, { type: "payment.failed" }))
        assert.strictEqual((yield* payments.get(intent.paymentId, 7)).state, "captured")

        const late = yield* waiting
        assert.strictEqual(yield* payments.closeOrder(late.orderNum), "closed")
        yield* store.apply(0, "sandbox", told(late))
        assert.strictEqual((yield* payments.get(late.paymentId, 7)).state, "captured")
      }),
    )

    it.effect("an event of a payment that nobody knows yet waits for it", () =>
      Effect.gen(function* () {
        const store = yield* ProviderEventStore
        const intent = yield* waiting
        const early = told(intent, { paymentId: "pay_unknown" })
        assert.isFalse((yield* store.receive("sandbox", early, body)).replayed)
        assert.strictEqual(yield* store.apply(0, "sandbox", early), "unknown")
      }),
    )

    it.effect("money that ordering refuses is owed back once per capture, whatever is told again", () =>
      Effect.gen(function* () {
        const store = yield* ProviderEventStore
        const payments = yield* Payments
        const intent = yield* waiting
        yield* store.apply(0, "sandbox", told(intent))
        const [capture] = yield* rows<{ capture_id: string }>(
          "SELECT capture_id FROM capture WHERE order_num = ?",
          intent.orderNum,
        )
        const refunds = yield* RefundStore
        for (let i = 0; i < 3; i++) yield* refunds.refused(intent.paymentId, capture!.capture_id, "cancelled")
        const due = (yield* refunds.claim("sandbox", 50)).filter((r) => r.orderNum === intent.orderNum)
        assert.strictEqual(due.length, 1)
        assert.deepInclude(due[0], { amount: AMOUNT, channel: "sandbox", userId: 7 })
        for (let i = 0; i < 2; i++) yield* refunds.succeeded(due[0]!)
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
