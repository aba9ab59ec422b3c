/** Orders beside payment's ledger, payment's ledger beside the wallets, wallets beside their entries. */
import { WalletOutcome } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import type { LedgerIntent } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as Effect from "effect/Effect"
import { BooksStore } from "./BooksStore.ts"
import type { DriftKind, Finding } from "./domain/DriftKind.ts"
import * as Money from "./domain/Money.ts"
import { type Look, merge, nothing } from "./domain/Rounds.ts"
import type { Values } from "./Settings.ts"

/** The wallet's channel: what it captures, identity has debited. */
const WALLET = "balance"

/** Names in one question to a peer, and rows of its page. */
export const PAGE = 500

const orderKinds: ReadonlyArray<DriftKind> = [
  "paid_without_capture",
  "capture_without_order",
  "money_mismatch",
  "capture_unanswered",
]
const debitKinds: ReadonlyArray<DriftKind> = ["debit_without_capture", "capture_without_debit"]

const toIntent = (message: LedgerIntent): Money.Intent => ({
  paymentId: message.paymentId,
  orderNum: message.orderNum,
  userId: Number(message.userId),
  channel: message.channel,
  state: message.state,
  ageMs: Number(message.ageMs),
  captures: message.captures.map((capture) => ({
    captureId: capture.captureId,
    amount: Number(capture.amount),
    state: capture.state,
    ageMs: Number(capture.ageMs),
    refunded: Number(capture.refunded),
    refunding: Number(capture.refunding),
  })),
})

const byOrder = (intents: ReadonlyArray<Money.Intent>): ReadonlyMap<string, ReadonlyArray<Money.Intent>> => {
  const map = new Map<string, Array<Money.Intent>>()
  for (const intent of intents) {
    const of = map.get(intent.orderNum)
    if (of === undefined) map.set(intent.orderNum, [intent])
    else of.push(intent)
  }
  return map
}

/**
 * These orders (at most 500) beside their money. An order is judged where it didn't change while payment was asked, and
 * where neither side changed lately: what the one told the other may be under way, as everything is while an outbox
 * waits.
 */
export const orders = Effect.fn("MoneyLook.orders")(function* (
  orderNums: ReadonlyArray<string>,
  settings: Values,
  ownOutboxOldestMs: number,
) {
  if (orderNums.length === 0) return nothing
  const books = yield* BooksStore
  const payment = yield* PaymentClient
  const before = new Map((yield* books.money(orderNums)).map((order) => [order.orderNum, order.version]))
  const ledger = yield* payment.getLedger({ orderNums: [...orderNums] })
  const intents = byOrder(ledger.intents.map(toIntent))
  const after = new Map((yield* books.money(orderNums)).map((order) => [order.orderNum, order]))
  if (Math.max(Number(ledger.outboxOldestMs), ownOutboxOldestMs) > settings.graceMs / 2) return nothing
  const subjects = new Set<string>()
  const findings: Array<Finding> = []
  for (const orderNum of orderNums) {
    const order = after.get(orderNum)
    if (before.get(orderNum) !== order?.version) continue
    const of = intents.get(orderNum) ?? []
    const quiet = [order?.ageMs ?? settings.graceMs, ...of.map(({ ageMs }) => ageMs)]
    if (Math.min(...quiet) < settings.graceMs) continue
    subjects.add(`order:${orderNum}`)
    findings.push(
      ...Money.ofOrder(
        orderNum,
        order,
        of.flatMap(({ captures }) => captures),
        settings.answerMs,
      ),
    )
  }
  return { findings, scopes: [{ kinds: orderKinds, subjects }] } satisfies Look
})

/** Judges payments; `asked` are those that were asked for by name, whether or not anything is known of them. */
const debited = (
  intents: ReadonlyMap<string, Money.Intent>,
  decisions: ReadonlyMap<string, Money.Decision>,
  graceMs: number,
  asked: ReadonlyArray<string> = [],
): Look => {
  const ids = new Set([...intents.keys(), ...decisions.keys(), ...asked])
  return {
    findings: [...ids].flatMap((id) => Money.ofDebit(decisions.get(id), intents.get(id), graceMs)),
    scopes: [{ kinds: debitKinds, subjects: new Set([...ids].map((id) => `payment:${id}`)) }],
  }
}

const decisionsOf = Effect.fnUntraced(function* (
  request: { readonly paymentIds: Array<string> } | { readonly pageSize: number; readonly pageToken: string },
) {
  const identity = yield* IdentityClient
  const answer = yield* identity.listWalletDecisions(request)
  const decisions = answer.decisions.map(
    (record): Money.Decision => ({
      paymentId: record.paymentId,
      userId: Number(record.userId),
      debited: record.outcome === WalletOutcome.DEBITED,
      amount: Number(record.amount),
      orderNum: record.orderNum,
      ageMs: Number(record.ageMs),
    }),
  )
  return { decisions, next: answer.nextPageToken }
})

const keyed = <A extends { readonly paymentId: string }>(all: ReadonlyArray<A>): ReadonlyMap<string, A> =>
  new Map(all.map((one) => [one.paymentId, one]))

/** These payments (at most 500), in the wallets and in payment's ledger. */
export const debits = Effect.fn("MoneyLook.debits")(function* (
  paymentIds: ReadonlyArray<string>,
  settings: Values,
) {
  if (paymentIds.length === 0) return nothing
  const payment = yield* PaymentClient
  const { decisions } = yield* decisionsOf({ paymentIds: [...paymentIds] })
  const ledger = yield* payment.getLedger({ paymentIds: [...paymentIds] })
  return debited(keyed(ledger.intents.map(toIntent)), keyed(decisions), settings.graceMs, paymentIds)
})

/** A page of what the wallets decided, beside payment. Answers the token of the next page, empty after the last. */
export const decisionPage = Effect.fn("MoneyLook.decisionPage")(function* (token: string, settings: Values) {
  const payment = yield* PaymentClient
  const { decisions, next } = yield* decisionsOf({ pageSize: PAGE, pageToken: token })
  const paymentIds = decisions.filter((decision) => decision.debited).map(({ paymentId }) => paymentId)
  // Asked after the wallet: what was debited by then is captured by now, or soon.
  const intents =
    paymentIds.length === 0 ? [] : (yield* payment.getLedger({ paymentIds })).intents.map(toIntent)
  return { look: debited(keyed(intents), keyed(decisions), settings.graceMs), next } as const
})

/**
 * A page of payment's ledger beside the wallets. Answers also the orders that it names: money whose order isn't there is
 * found by asking for them.
 */
export const ledgerPage = Effect.fn("MoneyLook.ledgerPage")(function* (token: string, settings: Values) {
  const payment = yield* PaymentClient
  const page = yield* payment.getLedger({ pageSize: PAGE, pageToken: token })
  const intents = page.intents.map(toIntent).filter(({ captures }) => captures.length > 0)
  const fromWallet = intents.filter(({ channel }) => channel === WALLET)
  const paymentIds = fromWallet.map(({ paymentId }) => paymentId)
  const decisions = paymentIds.length === 0 ? [] : (yield* decisionsOf({ paymentIds })).decisions
  return {
    look: debited(keyed(fromWallet), keyed(decisions), settings.graceMs),
    // A top-up pays no order.
    orderNums: [...new Set(intents.map(({ orderNum }) => orderNum))].filter(
      (orderNum) => OrderNum.parse(orderNum) !== undefined,
    ),
    next: page.nextPageToken,
    outboxOldestMs: Number(page.outboxOldestMs),
  } as const
})

/** Wallets beside their entries: these users' (at most 500), or a page of all. */
export const wallets = Effect.fn("MoneyLook.wallets")(function* (
  which: { readonly userIds: ReadonlyArray<number> } | { readonly token: string },
) {
  const identity = yield* IdentityClient
  const answer = yield* identity.getWalletLedger(
    "userIds" in which ? { userIds: which.userIds.map(BigInt) } : { pageSize: PAGE, pageToken: which.token },
  )
  const findings = answer.wallets.flatMap((w) =>
    Money.ofWallet(Number(w.userId), Number(w.balance), Number(w.entriesTotal)),
  )
  const subjects = new Set(answer.wallets.map(({ userId }) => `user:${userId}`))
  return {
    look: merge([{ findings, scopes: [{ kinds: ["wallet_mismatch"], subjects }] }]),
    next: answer.nextPageToken,
  } as const
})
