/** What should move on by itself: outboxes, streams, cancels, time-outs, stock changes. */
import * as Effect from "effect/Effect"
import { BooksStore, type Overdue } from "./BooksStore.ts"
import type { DriftKind, Finding } from "./domain/DriftKind.ts"
import type { Look } from "./domain/Rounds.ts"
import { SaleBooks } from "./SaleBooks.ts"
import type { Values } from "./Settings.ts"

/** Single findings of one kind that a look tells of. More are the same trouble. */
const MOST = 50

const overdue = (kind: DriftKind, rows: ReadonlyArray<Overdue>): ReadonlyArray<Finding> =>
  rows.map(({ ageMs, orderNum, productId }) => ({
    kind,
    subject: `order:${orderNum}`,
    orderNum,
    productId,
    ledger: ageMs,
    // That it is still there is the finding; its age changes with every look.
    versions: "",
  }))

/** Ordering's own steps, and what its database shows of inventory's. Fails as `BooksStore`. */
export const inMysql = Effect.fn("PipelineLook.inMysql")(function* (settings: Values) {
  const books = yield* BooksStore
  const adjustments = (yield* books.adjustments(undefined, MOST)).filter((a) => a.ageMs > settings.graceMs)
  const findings: ReadonlyArray<Finding> = [
    ...overdue("cancel_stuck", yield* books.stuckCancels(settings.answerMs, MOST)),
    ...overdue("expiry_stuck", yield* books.stuckExpiries(settings.graceMs, MOST)),
    ...adjustments.map(
      (a): Finding => ({
        kind: "adjustment_half_done",
        subject: `adjustment:${a.id}`,
        productId: a.productId,
        ledger: a.delta,
        versions: a.state,
        details: { state: a.state, age_ms: a.ageMs },
      }),
    ),
    ...outbox("inventory", yield* books.outboxOldestMs("inventory"), settings),
  ]
  return {
    findings,
    scopes: [
      { kinds: ["cancel_stuck", "expiry_stuck", "adjustment_half_done"] },
      { kinds: ["outbox_stuck"], subjects: new Set(["outbox:inventory"]) },
    ],
  } satisfies Look
})

const outbox = (service: string, oldestMs: number, settings: Values): ReadonlyArray<Finding> =>
  oldestMs > settings.graceMs
    ? [{ kind: "outbox_stuck", subject: `outbox:${service}`, ledger: oldestMs, versions: "" }]
    : []

/** One service's outbox, given how long its oldest event has waited. */
export const outboxOf = (service: string, oldestMs: number, settings: Values): Look => ({
  findings: outbox(service, oldestMs, settings),
  scopes: [{ kinds: ["outbox_stuck"], subjects: new Set([`outbox:${service}`]) }],
})

/** Entries without an outcome. Dead letters have one to come, and a list of their own. Fails as its stores. */
export const inStreams = Effect.fn("PipelineLook.inStreams")(function* (settings: Values) {
  const books = yield* BooksStore
  const sale = yield* SaleBooks
  const old = yield* sale.oldEntries(settings.graceMs)
  const orderNums = old.map(({ orderNum }) => orderNum)
  const decided = new Set([
    ...(yield* books.fates(orderNums)).map(({ orderNum }) => orderNum),
    ...(yield* books.deadLetters(orderNums)),
  ])
  return {
    findings: old
      .filter(({ orderNum }) => !decided.has(orderNum))
      .map(
        ({ ageMs, orderNum, shard }): Finding => ({
          kind: "entry_stuck",
          subject: `order:${orderNum}`,
          orderNum,
          redis: ageMs,
          versions: "",
          details: { shard },
        }),
      ),
    scopes: [{ kinds: ["entry_stuck"] }],
  } satisfies Look
})
