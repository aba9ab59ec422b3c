/** The equations of money: an order beside what payment holds for it, and payment beside the wallet. */
import type { StoredState } from "../../domain/OrderState.ts"
import type { Finding } from "./DriftKind.ts"

/** An order, as far as its money goes. Minor units. */
export interface MoneyOrder {
  readonly orderNum: string
  readonly productId: number
  readonly state: StoredState
  readonly version: number
  readonly amount: number
  /** The capture that paid it. */
  readonly captureId: string | null
}

export interface Capture {
  readonly captureId: string
  readonly amount: number
  /** new, applied or refused */
  readonly state: string
  readonly ageMs: number
  readonly refunded: number
  readonly refunding: number
}

export interface Intent {
  readonly paymentId: string
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly state: string
  readonly ageMs: number
  readonly captures: ReadonlyArray<Capture>
}

export interface Decision {
  readonly paymentId: string
  readonly userId: number
  readonly debited: boolean
  readonly amount: number
  readonly orderNum: string
  readonly ageMs: number
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, n) => total + n, 0)

const wasPaid = (state: StoredState | undefined): boolean =>
  state === "paid" || state === "refunding" || state === "refunded"

/** What a difference of money was found under. */
const versionsOf = (order: MoneyOrder | undefined, captures: ReadonlyArray<Capture>): string =>
  [
    order?.version ?? "-",
    ...captures.map((c) => `${c.captureId}=${c.state},${c.amount},${c.refunded},${c.refunding}`).sort(),
  ].join(" ")

/**
 * An order beside its captures. `order` is undefined where there is none. What payment was not yet answered, and what is
 * being given back, is under way: it counts on neither side. `answerMs` is how long an answer may take.
 */
export const ofOrder = (
  orderNum: string,
  order: MoneyOrder | undefined,
  captures: ReadonlyArray<Capture>,
  answerMs: number,
): ReadonlyArray<Finding> => {
  const found: Array<Finding> = []
  const about = {
    subject: `order:${orderNum}`,
    orderNum,
    productId: order?.productId,
    mysql: order === undefined ? undefined : wasPaid(order.state) ? order.amount : 0,
    ledger: sum(captures.map((c) => c.amount - c.refunded)),
    versions: versionsOf(order, captures),
    details: { state: order?.state ?? null, captures },
  }
  for (const capture of captures) {
    if (capture.state === "new" && capture.ageMs > answerMs)
      found.push({ ...about, kind: "capture_unanswered" })
  }
  const settled = captures.filter((c) => c.state !== "new" && c.refunding === 0)
  const left = sum(settled.map((c) => c.amount - c.refunded))
  if (order !== undefined && wasPaid(order.state)) {
    const own = captures.find((c) => c.captureId === order.captureId)
    if (own === undefined) return [...found, { ...about, kind: "paid_without_capture" }]
    const underWay = !settled.includes(own)
    const right =
      order.state === "refunding"
        ? left === 0 || left === order.amount
        : left === (order.state === "paid" && !underWay ? order.amount : 0)
    if (!right) found.push({ ...about, kind: "money_mismatch" })
    return found
  }
  if (captures.some((c) => c.state === "applied")) {
    found.push({ ...about, kind: "capture_without_order" })
  } else if (left !== 0) found.push({ ...about, kind: "money_mismatch" })
  return found
}

/** A wallet beside its entries. */
export const ofWallet = (userId: number, balance: number, entriesTotal: number): ReadonlyArray<Finding> =>
  balance === entriesTotal
    ? []
    : [
        {
          kind: "wallet_mismatch",
          subject: `user:${userId}`,
          mysql: balance,
          ledger: entriesTotal,
          versions: `${balance}:${entriesTotal}`,
        },
      ]

/**
 * What the wallet decided about a payment beside what payment made of it. Either is undefined where there is none;
 * `graceMs` is how long the one may lag behind the other.
 */
export const ofDebit = (
  decision: Decision | undefined,
  intent: Intent | undefined,
  graceMs: number,
): ReadonlyArray<Finding> => {
  const debited = decision?.debited === true ? decision.amount : 0
  const captured = sum(intent?.captures.map((c) => c.amount) ?? [])
  if (debited === captured) return []
  const age = Math.min(decision?.ageMs ?? graceMs + 1, ...(intent?.captures.map((c) => c.ageMs) ?? []))
  if (age <= graceMs) return []
  const orderNum = intent?.orderNum ?? decision?.orderNum ?? ""
  return [
    {
      kind: captured === 0 ? "debit_without_capture" : "capture_without_debit",
      subject: `payment:${intent?.paymentId ?? decision?.paymentId ?? ""}`,
      ...(orderNum === "" ? {} : { orderNum }),
      mysql: debited,
      ledger: captured,
      versions: `${debited}:${captured}:${intent?.state ?? "-"}`,
      details: { user_id: intent?.userId ?? decision?.userId, intent: intent?.state ?? null },
    },
  ]
}
