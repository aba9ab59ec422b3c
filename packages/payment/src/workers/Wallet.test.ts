/** Money between wallets and payments, over a line that loses, delays and repeats. */
import { randomUUID } from "node:crypto"
import { create } from "@bufbuild/protobuf"
import { assert, layer } from "@effect/vitest"
import { Busy, NotFound } from "@floodgate/contracts/errors/Errors"
import {
  WalletDecisionSchema,
  type WalletEntry,
  WalletEntryKind,
  WalletEntrySchema,
  WalletOutcome,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Balance from "../channels/Balance.ts"
import { type Channel, type ChannelState, Channels } from "../channels/Channel.ts"
import type { Intent } from "../domain/Intent.ts"
import { Payments } from "../Payments.ts"
import { IntentStore } from "../store/IntentStore.ts"
import { ProviderEventStore } from "../store/ProviderEventStore.ts"
import { RefundStore } from "../store/RefundStore.ts"
import { TopUpStore } from "../store/TopUpStore.ts"
import * as Fixture from "../testing/Fixture.ts"
import * as EventApplier from "./EventApplier.ts"
import * as Refunds from "./Refunds.ts"
import * as TopUps from "./TopUps.ts"

/** Identity's wallet as its contract has it: a payment_id is decided once, a credit_id is booked once. */
const wallet = {
  decisions: new Map<string, WalletOutcome>(),
  credits: new Map<string, { amount: bigint; kind: WalletEntryKind }>(),
  balance: 1_000_000n,
  /** `lost`: it happens and the answer doesn't come. `held`: it happens when the test says so. */
  line: "good" as "good" | "lost" | "held",
  held: [] as Array<() => WalletOutcome>,
  gone: false,
}

const decide = (paymentId: string, wanted: WalletOutcome, amount: bigint): WalletOutcome => {
  const known = wallet.decisions.get(paymentId)
  if (known !== undefined) return known
  const outcome =
    wanted === WalletOutcome.DEBITED && wallet.balance < amount ? WalletOutcome.DECLINED : wanted
  if (outcome === WalletOutcome.DEBITED) wallet.balance -= amount
  wallet.decisions.set(paymentId, outcome)
  return outcome
}

const lost = Effect.fail(new Busy({ retry_after_ms: 1 }))

const answer = (paymentId: string, step: () => WalletOutcome) =>
  Effect.suspend(() => {
    if (wallet.line === "held") {
      wallet.held.push(step)
      return lost
    }
    const outcome = step()
    return wallet.line === "lost"
      ? lost
      : Effect.succeed(create(WalletDecisionSchema, { paymentId, outcome }))
  })

const identity = Layer.succeed(IdentityClient, {
  debitWallet: ({ amount, paymentId }: { amount: bigint; paymentId: string }) =>
    answer(paymentId, () => decide(paymentId, WalletOutcome.DEBITED, amount)),
  voidDebit: ({ paymentId }: { paymentId: string }) =>
    answer(paymentId, () => decide(paymentId, WalletOutcome.VOID, 0n)),
  creditWallet: ({ amount, creditId, kind }: { amount: bigint; creditId: string; kind: WalletEntryKind }) =>
    Effect.suspend((): Effect.Effect<WalletEntry, Busy | NotFound> => {
      if (wallet.gone) return Effect.fail(new NotFound())
      if (!wallet.credits.has(creditId)) {
        wallet.credits.set(creditId, { amount, kind })
        wallet.balance += amount
      }
      return wallet.line === "lost" ? lost : Effect.succeed(create(WalletEntrySchema, { kind, amount }))
    }),
} as never)

const waiting: ChannelState = { _tag: "Waiting", payUrl: "https://pay/", clientParams: {} }

const channels = Layer.effect(
  Channels,
  Effect.gen(function* () {
    const sandbox: Channel = {
      name: "sandbox",
      topsUp: true,
      pay: () => Effect.succeed(waiting),
      query: () => Effect.succeed(waiting),
      close: () => Effect.succeed({ _tag: "Closed" }),
      refund: () => Effect.succeed({ _tag: "Succeeded" }),
      callback: () => Effect.succeed(undefined),
      read: (body) => Effect.succeed(JSON.parse(new TextDecoder().decode(body))),
    }
    return new Map<string, Channel>([
      ["balance", yield* Balance.make],
      ["sandbox", sandbox],
    ])
  }),
)

const live = Payments.layer.pipe(
  Layer.provideMerge(channels),
  Layer.provideMerge(identity),
  Layer.provideMerge(Fixture.stores),
  Layer.provideMerge(Fixture.ordering),
)

const work = Effect.fnUntraced(function* (intent: Intent) {
  const store = yield* IntentStore
  yield* Fixture.due("intent", "payment_id", intent.paymentId)
  const found = (yield* store.claimDue(intent.channel, 50)).find(
    (d) => d.intent.paymentId === intent.paymentId,
  )
  return yield* (yield* Payments).goOn(found!)
})

const topUp = (amount: number, key: string = randomUUID()) =>
  Effect.flatMap(Payments, (payments) =>
    payments.topUp({
      userId: Fixture.USER,
      amount,
      channel: "sandbox",
      key: {
        scope: `topup:${Fixture.USER}`,
        keyHash: key.padEnd(64, "0"),
        bodyHash: String(amount).padEnd(64, "0"),
      },
    }),
  )

const credits = Effect.fnUntraced(function* (intent: Intent) {
  yield* Fixture.due("capture", "payment_id", intent.paymentId)
  const found = (yield* (yield* TopUpStore).claim(50)).filter((c) => c.paymentId === intent.paymentId)
  yield* Effect.forEach(found, (due) => Effect.exit(TopUps.handle(due)))
  return yield* (yield* Payments).get(intent.paymentId, Fixture.USER)
})

layer(live, { timeout: "120 seconds", excludeTestServices: true })("wallets", (it) => {
  it.effect("a debit whose reply is lost is one debit: asked again, it is the same", () =>
    Effect.gen(function* () {
      const before = wallet.balance
      wallet.line = "lost"
      const { intent } = yield* (yield* Payments).pay(Fixture.request(Fixture.order(), "balance"))
      assert.strictEqual(intent.state, "processing")
      wallet.line = "good"
      assert.strictEqual((yield* work(intent)).state, "captured")
      assert.strictEqual(wallet.balance, before - BigInt(Fixture.AMOUNT))
    }),
  )

  it.effect("a debit that is delayed until after the cancel is refused", () =>
    Effect.gen(function* () {
      const before = wallet.balance
      const payments = yield* Payments
      wallet.line = "held"
      const { intent } = yield* payments.pay(Fixture.request(Fixture.order(), "balance"))
      wallet.line = "good"
      assert.strictEqual(yield* payments.closeOrder(intent.orderNum), "closed")
      const late = wallet.held.splice(0)
      assert.lengthOf(late, 1)
      assert.strictEqual(late[0]!(), WalletOutcome.VOID)
      assert.strictEqual((yield* payments.get(intent.paymentId, Fixture.USER)).state, "closed")
      assert.strictEqual(wallet.balance, before)
    }),
  )

  it.effect(
    "a debit that came before the void is found by it, and given back once when nobody wants it",
    () =>
      Effect.gen(function* () {
        const before = wallet.balance
        const payments = yield* Payments
        const refunds = yield* RefundStore
        wallet.line = "lost"
        const { intent } = yield* payments.pay(Fixture.request(Fixture.order(), "balance"))
        assert.strictEqual(yield* payments.closeOrder(intent.orderNum), "pending")
        wallet.line = "good"
        // The order was cancelled meanwhile; the worker goes on with the void, and ordering refuses what it found.
        assert.strictEqual((yield* work(intent)).state, "captured")
        const [capture] = yield* Fixture.rows<{ capture_id: string }>(
          "SELECT capture_id FROM capture WHERE payment_id = ?",
          intent.paymentId,
        )
        yield* refunds.refused(intent.paymentId, capture!.capture_id, "cancelled")
        const channel = (yield* Channels).get("balance")!
        for (const line of ["lost", "good", "good"] as const) {
          wallet.line = line
          yield* Fixture.due("refund", "payment_id", intent.paymentId)
          const due = (yield* refunds.claim("balance", 50)).filter((r) => r.paymentId === intent.paymentId)
          yield* Effect.forEach(due, (refund) => Effect.exit(Refunds.handle(channel, refund)))
        }
        assert.strictEqual((yield* payments.get(intent.paymentId, Fixture.USER)).state, "refunded")
        assert.strictEqual(wallet.balance, before)
      }),
  )

  it.effect("only a stored decline is told as one", () =>
    Effect.gen(function* () {
      const payments = yield* Payments
      const rich = wallet.balance
      wallet.balance = 1n
      const request = Fixture.request(Fixture.order(), "balance")
      assert.strictEqual((yield* Effect.flip(payments.pay(request)))._tag, "PaymentDeclined")
      wallet.balance = rich
      assert.strictEqual((yield* Effect.flip(payments.pay(request)))._tag, "PaymentDeclined")
    }),
  )

  it.effect("a top-up under one key is one payment, and its money reaches the wallet once", () =>
    Effect.gen(function* () {
      const before = wallet.balance
      const intents = yield* IntentStore
      const answers = yield* Effect.all(
        Array.from({ length: 10 }, () => Effect.either(topUp(5_000, "same"))),
        { concurrency: 10 },
      )
      const made = answers.flatMap((a) => (a._tag === "Right" ? [a.right.intent] : []))
      assert.strictEqual(new Set(made.map((i) => i.paymentId)).size, 1)
      for (const a of answers) if (a._tag === "Left") assert.strictEqual(a.left._tag, "InFlight")
      const intent = (yield* topUp(5_000, "same")).intent
      assert.match(intent.orderNum, /^topup_[0-9a-f]{32}$/)
      assert.strictEqual((yield* Effect.flip(topUp(6_000, "same")))._tag, "IdempotencyMismatch")
      const open = (yield* intents.find(intent.paymentId))!
      for (let i = 0; i < 2; i++) yield* intents.captured(open, "txn-topup", 5_000)
      wallet.line = "lost"
      assert.strictEqual((yield* credits(intent)).state, "captured")
      wallet.line = "good"
      assert.strictEqual((yield* credits(intent)).state, "applied")
      yield* credits(intent)
      assert.strictEqual(wallet.balance, before + 5_000n)
      assert.deepInclude(wallet.credits.get(intent.paymentId), { kind: WalletEntryKind.TOPUP })
      // Ordering hears nothing of it.
      assert.lengthOf(yield* Fixture.rows("SELECT id FROM outbox WHERE aggregate = ?", intent.orderNum), 0)
    }),
  )

  it.effect(
    "money of a top-up that no wallet takes, and a second capture, go back where they came from",
    () =>
      Effect.gen(function* () {
        const intents = yield* IntentStore
        const refunds = yield* RefundStore
        const { intent } = yield* topUp(700)
        yield* intents.captured(intent, "txn-a", 700)
        yield* credits(intent)
        yield* intents.captured(intent, "txn-b", 700)
        assert.strictEqual((yield* credits(intent)).state, "applied")
        const gone = (yield* topUp(800)).intent
        yield* intents.captured(gone, "txn-c", 800)
        wallet.gone = true
        assert.strictEqual((yield* credits(gone)).state, "refunding")
        wallet.gone = false
        const channel = (yield* Channels).get("sandbox")!
        const due = yield* refunds.claim("sandbox", 50)
        assert.sameMembers(
          due.map((r) => [r.paymentId, r.reason, r.providerTxnId].join()),
          [`${intent.paymentId},paid,txn-b`, `${gone.paymentId},wallet,txn-c`],
        )
        yield* Effect.forEach(due, (refund) => Refunds.handle(channel, refund))
        assert.strictEqual((yield* intents.find(gone.paymentId))!.state, "refunded")
        assert.strictEqual((yield* intents.find(intent.paymentId))!.state, "applied")
      }),
  )

  it.effect("a wallet isn't topped up from itself", () =>
    Effect.gen(function* () {
      const payments = yield* Payments
      const key = { scope: "topup:7", keyHash: "w".repeat(64), bodyHash: "" }
      const refused = payments.topUp({ userId: 7, amount: 1, channel: "balance", key })
      assert.strictEqual((yield* Effect.flip(refused))._tag, "InvalidInput")
    }),
  )

  it.effect("an event that comes before its payment waits, and is applied when the payment is there", () =>
    Effect.gen(function* () {
      const store = yield* ProviderEventStore
      const { intent } = yield* topUp(900)
      const paymentId = `pay_early${randomUUID().slice(0, 8)}`
      const event = {
        eventId: randomUUID(),
        type: "payment.succeeded" as const,
        paymentId,
        orderNum: intent.orderNum,
        amount: 900,
        currency: "CNY",
        providerTxnId: "txn-early",
      }
      const body = new TextEncoder().encode(JSON.stringify(event))
      assert.isFalse((yield* store.receive("sandbox", event, body)).replayed)
      const apply = Effect.gen(function* () {
        yield* Fixture.due("provider_event", "event_id", event.eventId)
        const mine = yield* store.claim(50)
        yield* Effect.forEach(mine, EventApplier.handle)
        const [row] = yield* Fixture.rows<{ outcome: string; waits: number }>(
          "SELECT outcome, next_try_at IS NOT NULL AS waits FROM provider_event WHERE event_id = ?",
          event.eventId,
        )
        return row!
      })
      assert.deepInclude(yield* apply, { outcome: "received", waits: 1 })
      yield* Fixture.rows(
        "UPDATE intent SET payment_id = ? WHERE payment_id = ?",
        paymentId,
        intent.paymentId,
      )
      assert.deepInclude(yield* apply, { outcome: "applied", waits: 0 })
      assert.strictEqual((yield* (yield* IntentStore).find(paymentId))!.state, "captured")
    }),
  )
})
