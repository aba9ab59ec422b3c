/** Payment: the gate of an order, its intents, captures and refunds. */
import type { OrderChange } from "@floodgate/contracts/events/OrderEvent"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import { type IntentEvent, isOpen, next, publicStatus } from "@floodgate/payment/domain/Intent"
import { matches, type ProviderEvent } from "@floodgate/payment/domain/ProviderEvent"
import type * as Ledger from "@floodgate/payment/sandbox/Ledger"
import type { Transaction } from "../engine/Mysql.ts"
import { Away, Refused, type Task } from "../engine/Task.ts"
import { type Channel, CURRENCY, type IntentRow, type RefundRow, type World } from "../World.ts"
import * as Consumer from "./Consumer.ts"
import * as Ordering from "./Ordering.ts"
import * as Outbox from "./Outbox.ts"
import * as Provider from "./Provider.ts"
import * as Wallet from "./Wallet.ts"

const IN_FLIGHT_MS = 10_000
const CLAIM_MS = 10_000

const asIntent = (intent: IntentRow) => ({ ...intent, payUrl: intent.pay_url, clientParams: {} })

const tell = (
  w: World,
  tx: Transaction,
  type: PaymentEvent["type"],
  intent: IntentRow,
  extra: Partial<Pick<PaymentEvent, "capture_id" | "refund">> = {},
): void => {
  const event: PaymentEvent = {
    event_id: w.id("evt"),
    type,
    version: 1,
    aggregate: intent.order_num,
    occurred_at: "",
    payment_id: intent.payment_id,
    order_num: intent.order_num,
    channel: intent.channel,
    status: publicStatus(asIntent(intent)),
    amount: intent.amount,
    currency: CURRENCY,
    payment_version: intent.version,
    ...extra,
  }
  Outbox.append(w, tx, w.paymentOutbox, {
    topic: "payment.events",
    aggregate: intent.order_num,
    type,
    value: event,
  })
}

function* lockGate(w: World, tx: Transaction, order_num: string) {
  yield* tx.lock(w.gate, order_num)
  const gate = tx.get(w.gate, order_num)
  if (gate !== undefined) return gate
  const open = { state: "open" as const, active: null }
  tx.put(w.gate, order_num, open)
  return open
}

/** Moves an intent by its state machine; undefined where the event changes nothing. Needs the gate's lock. */
const move = (
  w: World,
  tx: Transaction,
  intent: IntentRow,
  event: IntentEvent,
  pay_url = intent.pay_url,
): IntentRow | undefined => {
  const to = next(intent.state, event)
  if (to === undefined) return undefined
  const moved: IntentRow = {
    ...intent,
    state: to,
    pay_url,
    version: intent.version + 1,
    next_try_at: to === "processing" && pay_url === null ? w.now + 1_000 : null,
  }
  tx.put(w.intent, intent.payment_id, moved)
  const gate = tx.get(w.gate, intent.order_num)!
  if (isOpen(intent.state) && !isOpen(to) && gate.active === intent.payment_id)
    tx.put(w.gate, intent.order_num, { ...gate, active: null })
  return moved
}

const underGate = <A>(
  w: World,
  what: string,
  intent: Pick<IntentRow, "order_num" | "payment_id">,
  f: (tx: Transaction, current: IntentRow) => Task<A>,
): Task<A> =>
  w.db.transaction(what, function* (tx) {
    yield* lockGate(w, tx, intent.order_num)
    // The update of the row waits for a worker that claims it.
    yield* tx.lock(w.intent, intent.payment_id)
    return yield* f(tx, tx.get(w.intent, intent.payment_id)!)
  })

type Opened =
  | { readonly _tag: "Opened" | "OtherChannel"; readonly intent: IntentRow }
  | { readonly _tag: "Existing"; readonly intent: IntentRow }

interface PayRequest {
  readonly order_num: string
  readonly user_id: number
  readonly channel: Channel
  readonly amount: number
  readonly key: string
}

const open = (w: World, request: PayRequest): Task<Opened> =>
  w.db.transaction(
    `a payment of ${request.order_num} by ${request.channel} is opened`,
    function* (tx): Task<Opened> {
      const { amount, channel, order_num, user_id } = request
      const key = `${order_num}/${request.key}`
      const gate = yield* lockGate(w, tx, order_num)
      const seen = tx.get(w.idempotency, key)
      if (seen !== undefined) {
        if (!seen.answered && seen.created_at > w.now - IN_FLIGHT_MS) throw new Refused("in flight")
        return { _tag: "Existing", intent: tx.get(w.intent, seen.payment_id)! }
      }
      const remember = (payment_id: string) =>
        tx.put(w.idempotency, key, { payment_id, created_at: w.now, answered: false })
      if (gate.active !== null && w.has("one-open-intent")) {
        const active = tx.get(w.intent, gate.active)!
        if (active.channel !== channel) return { _tag: "OtherChannel", intent: active }
        remember(active.payment_id)
        return { _tag: "Existing", intent: active }
      }
      const hasMoney = tx
        .values(w.intent)
        .some((i) => i.order_num === order_num && (i.state === "captured" || i.state === "applied"))
      if (hasMoney) throw new Refused("paid")
      if (gate.state === "closed") throw new Refused("cancelled")
      const payment_id = w.id("pay")
      const intent: IntentRow = {
        payment_id,
        order_num,
        user_id,
        channel,
        amount,
        state: "created",
        pay_url: null,
        version: 1,
        next_try_at: w.now + CLAIM_MS,
      }
      tx.put(w.intent, payment_id, intent)
      tx.put(w.gate, order_num, { ...gate, active: payment_id })
      remember(payment_id)
      tell(w, tx, "payment.updated", intent)
      return { _tag: "Opened", intent }
    },
  )

type ChannelState =
  | { readonly _tag: "Waiting"; readonly payUrl: string }
  | { readonly _tag: "Captured"; readonly txn: string; readonly amount: number }
  | { readonly _tag: "Declined" | "Closed" }

const stateOf = (payment: Ledger.ProviderPayment): ChannelState => {
  switch (payment.status) {
    case "pending":
      return { _tag: "Waiting", payUrl: `pay/${payment.payment_id}` }
    case "succeeded":
      return { _tag: "Captured", txn: payment.provider_txn_id!, amount: payment.amount }
    case "failed":
      return { _tag: "Declined" }
    case "closed":
      return { _tag: "Closed" }
  }
}

function* askChannel(w: World, intent: IntentRow, what: "start" | "close"): Task<ChannelState> {
  const { amount, order_num, payment_id, user_id } = intent
  if (intent.channel === "sandbox") {
    const payment = yield* Provider.ask(
      w,
      `asks the provider to ${what} ${payment_id}`,
      what === "start"
        ? { _tag: "Created", payment_id, order_num, amount, currency: CURRENCY, callback_url: "" }
        : { _tag: "Closed", payment_id },
    )
    return stateOf(payment!)
  }
  const outcome = yield* w.call("identity", `asks the wallet to ${what} ${payment_id}`, () =>
    what === "start" ? Wallet.debit(w, intent) : Wallet.voidDebit(w, payment_id, user_id),
  )
  switch (outcome) {
    case "debited":
      return { _tag: "Captured", txn: payment_id, amount }
    case "declined":
      return { _tag: what === "close" ? "Closed" : "Declined" }
    case "void":
      return { _tag: "Closed" }
  }
}

/** It was asked before without an answer: the state is the same, but now there is something to show. */
const shown = (
  tx: Transaction,
  w: World,
  current: IntentRow,
  pay_url: string | null,
): IntentRow | undefined => {
  if (current.state !== "processing" || current.pay_url !== null || pay_url === null) return undefined
  const after: IntentRow = { ...current, pay_url, version: current.version + 1, next_try_at: null }
  tx.put(w.intent, current.payment_id, after)
  return after
}

const started = (w: World, intent: IntentRow, payUrl: string | null): Task<IntentRow> =>
  underGate(w, `${intent.payment_id} started`, intent, function* (tx, current) {
    const moved = move(w, tx, current, "started", payUrl) ?? shown(tx, w, current, payUrl)
    if (moved === undefined) return current
    tell(w, tx, "payment.updated", moved)
    return moved
  })

/** Writes down what the channel answered about an intent. */
const settle = (w: World, intent: IntentRow, state: ChannelState): Task<IntentRow> => {
  switch (state._tag) {
    case "Waiting":
      return started(w, intent, state.payUrl)
    case "Captured":
      return underGate(w, `${intent.payment_id} captured`, intent, (tx, current) =>
        capture(w, tx, current, state.txn, state.amount),
      )
    case "Declined":
    case "Closed": {
      const how = state._tag === "Declined" ? "declined" : "closed"
      return underGate(w, `${intent.payment_id} ${how}`, intent, function* (tx, current) {
        const moved = move(w, tx, current, how)
        if (moved === undefined) return current
        tell(w, tx, "payment.updated", moved)
        return moved
      })
    }
  }
}

/** Money arrived: once per (channel, provider_txn_id). */
function* capture(
  w: World,
  tx: Transaction,
  current: IntentRow,
  txn: string,
  amount: number,
): Task<IntentRow> {
  const key = `${current.channel}/${txn}`
  yield* tx.lock(w.captureTxn, key)
  if (tx.get(w.captureTxn, key) !== undefined && w.has("capture-unique")) return current
  const { order_num, payment_id } = current
  const capture_id = w.id("cap")
  tx.put(w.captureTxn, key, capture_id)
  tx.put(w.capture, capture_id, { capture_id, payment_id, order_num, amount, state: "new" })
  const moved = move(w, tx, current, "captured") ?? current
  tell(w, tx, "payment.captured", moved, { capture_id })
  return moved
}

/** Asks the intent's channel for the money; without an answer the worker asks again. */
function* start(w: World, intent: IntentRow): Task<IntentRow> {
  let state: ChannelState
  try {
    state = yield* askChannel(w, intent, "start")
  } catch (error) {
    if (!(error instanceof Away)) throw error
    return yield* started(w, intent, null)
  }
  return yield* settle(w, intent, state)
}

function* close(w: World, intent: IntentRow): Task<IntentRow | undefined> {
  let state: ChannelState
  try {
    state = yield* askChannel(w, intent, "close")
  } catch (error) {
    if (!(error instanceof Away)) throw error
    return undefined
  }
  return state._tag === "Waiting" ? undefined : yield* settle(w, intent, state)
}

/** Pays an order. Fails with Refused where it can't be paid. */
export function* pay(w: World, request: Omit<PayRequest, "amount">): Task<string> {
  const order = yield* w.call("ordering", "reads the order", () => Ordering.findOrder(w, request.order_num))
  if (order === undefined || order.state !== "unpaid") throw new Refused(order?.state ?? "queued")
  const wanted = { ...request, amount: order.amount }
  const first = yield* open(w, wanted)
  const result =
    first._tag === "OtherChannel" && (yield* close(w, first.intent)) !== undefined
      ? yield* open(w, wanted)
      : first
  if (result._tag === "OtherChannel") throw new Away("the other channel")
  const intent = result._tag === "Opened" ? yield* start(w, result.intent) : result.intent
  yield* w.db.write("the request is answered", () => {
    const key = `${request.order_num}/${request.key}`
    const row = w.idempotency.get(key)
    if (row !== undefined) w.idempotency.rows.set(key, { ...row, answered: true })
  })
  return intent.state
}

/** Shuts the order's gate for good, and closes at the channel what is open there. */
export function* closeOrder(w: World, order_num: string): Task<"closed" | "captured" | "pending"> {
  const shut = yield* w.db.transaction(`the gate of ${order_num} is shut`, function* (tx) {
    const gate = yield* lockGate(w, tx, order_num)
    if (gate.state === "open") tx.put(w.gate, order_num, { ...gate, state: "closed" })
    const intents = tx.values(w.intent).filter((i) => i.order_num === order_num)
    // Whoever closes may give up; then the worker goes on.
    for (const { payment_id } of intents.filter((i) => isOpen(i.state))) {
      yield* tx.lock(w.intent, payment_id)
      tx.put(w.intent, payment_id, { ...tx.get(w.intent, payment_id)!, next_try_at: w.now + CLAIM_MS })
    }
    return {
      captured: intents.some((i) => i.state === "captured" || i.state === "applied"),
      open: intents.filter((i) => isOpen(i.state)),
    }
  })
  if (shut.captured) return "captured"
  for (const intent of shut.open) {
    const after = yield* close(w, intent)
    if (after === undefined) return "pending"
    if (after.state === "captured" || after.state === "applied") return "captured"
  }
  return "closed"
}

const fits = (event: ProviderEvent, intent: IntentRow): boolean =>
  matches(event, { orderNum: intent.order_num, amount: intent.amount, currency: CURRENCY })

/** Stores a callback before it is answered. Fails with Refused where it doesn't fit its payment. */
export function* receive(w: World, event: ProviderEvent): Task<void> {
  const isFit = yield* w.db.transaction(`callback ${event.eventId} stored`, function* (tx) {
    const intent = tx.get(w.intent, event.paymentId)
    const isFit = intent === undefined || fits(event, intent)
    yield* tx.lock(w.providerEvent, event.eventId)
    if (tx.get(w.providerEvent, event.eventId) === undefined) {
      const outcome = isFit ? ("received" as const) : ("mismatch" as const)
      tx.put(w.providerEvent, event.eventId, {
        id: w.db.nextId(),
        event,
        outcome,
        next_try_at: isFit ? w.now : null,
      })
    }
    return isFit
  })
  if (!isFit) throw new Refused("another amount")
}

/** A worker that claims rows that are due and handles each by itself; a row whose handling fails is due again. */
function* sweepRows<Row extends { readonly next_try_at: number | null }>(
  w: World,
  what: string,
  table: {
    readonly name: string
    readonly rows: Map<string, Row>
    readonly values: () => ReadonlyArray<Row>
  },
  keyOf: (row: Row) => string,
  handle: (row: Row) => Task<unknown>,
): Task<void> {
  const isDue = (row: Row) => row.next_try_at !== null && row.next_try_at <= w.now
  while (true) {
    yield { what: `finds ${what}`, until: () => table.values().some(isDue) }
    let rows: ReadonlyArray<Row> = []
    try {
      rows = yield* w.db.transaction(`${what} claimed`, function* (tx) {
        const due = table.values().filter((row) => isDue(row) && tx.skipLocked(table as never, keyOf(row)))
        yield* tx.statement(`claims ${due.map(keyOf).join(", ")}`)
        for (const row of due)
          tx.put(table as never, keyOf(row), {
            ...tx.get<Row>(table as never, keyOf(row))!,
            next_try_at: w.now + CLAIM_MS,
          } as never)
        return due
      })
    } catch (error) {
      if (!(error instanceof Away)) throw error
      yield { what: "tries again", at: w.now + 500 }
    }
    // What is due is locked by somebody: whoever polls lets them go on.
    if (rows.length === 0) yield { what: "looks again", at: w.now + 500 }
    for (const row of rows) {
      try {
        yield* handle(row)
      } catch (error) {
        if (!(error instanceof Away || error instanceof Refused)) throw error
      }
    }
  }
}

/** Applies callbacks that were stored. */
export const applier = (w: World): Task<void> =>
  sweepRows(
    w,
    "callbacks",
    w.providerEvent,
    (row) => row.event.eventId,
    function* ({ event }) {
      const intent = yield* w.db.read("finds the payment", () => w.intent.get(event.paymentId))
      if (intent === undefined) return
      yield* underGate(w, `callback ${event.eventId} applied`, intent, function* (tx, current) {
        // As for the intent: a worker may be claiming it.
        yield* tx.lock(w.providerEvent, event.eventId)
        const isFit = fits(event, current)
        if (isFit && event.type === "payment.succeeded")
          yield* capture(w, tx, current, event.providerTxnId, event.amount)
        else if (isFit && event.type === "payment.failed") {
          const moved = move(w, tx, current, "declined")
          if (moved !== undefined) tell(w, tx, "payment.updated", moved)
        }
        const row = tx.get(w.providerEvent, event.eventId)!
        tx.put(w.providerEvent, event.eventId, {
          ...row,
          outcome: isFit ? "applied" : "mismatch",
          next_try_at: null,
        })
      })
    },
  )

/** Repeats a channel's step until its answer is definite; closes what a shut gate left open. */
export const intentRetry = (w: World): Task<void> =>
  sweepRows(
    w,
    "undecided payments",
    w.intent,
    (row) => row.payment_id,
    function* (intent) {
      const gate = yield* w.db.read("finds the gate", () => w.gate.get(intent.order_num))
      yield* gate?.state === "closed" ? close(w, intent) : start(w, intent)
    },
  )

const refundOf = (refund: RefundRow): NonNullable<PaymentEvent["refund"]> => ({
  refund_id: refund.refund_id,
  amount: refund.amount,
  status: refund.state,
  reason: "",
  created_at: "",
  succeeded_at: null,
})

/** Ordering's answer to each capture. */
export const orderAnswers = (w: World, name: string): Task<void> =>
  Consumer.consume(w, name, "payments", "order.events", function* (batch) {
    for (const { type, value } of batch) {
      if (type !== "order.paid" && type !== "order.payment_refused") continue
      for (const { capture_id, payment_id } of value as ReadonlyArray<OrderChange>) {
        const intent = yield* w.db.read("finds the payment", () => w.intent.get(payment_id!))
        if (intent === undefined) continue
        yield* type === "order.paid" ? applied(w, intent, capture_id!) : refused(w, intent, capture_id!)
      }
    }
  })

const applied = (w: World, intent: IntentRow, capture_id: string): Task<void> =>
  underGate(w, `${capture_id} applied`, intent, function* (tx, current) {
    const row = tx.get(w.capture, capture_id)!
    if (row.state === "new") tx.put(w.capture, capture_id, { ...row, state: "applied" })
    move(w, tx, current, "applied")
  })

const refused = (w: World, intent: IntentRow, capture_id: string): Task<void> =>
  underGate(w, `${capture_id} refused, a refund is owed`, intent, function* (tx, current) {
    const row = tx.get(w.capture, capture_id)!
    if (row.state !== "new") return
    tx.put(w.capture, capture_id, { ...row, state: "refused" })
    const { channel, order_num, payment_id, user_id } = current
    const refund: RefundRow = {
      refund_id: w.id("ref"),
      capture_id,
      payment_id,
      order_num,
      user_id,
      channel,
      amount: row.amount,
      state: "pending",
      next_try_at: w.now,
    }
    tx.put(w.refund, refund.refund_id, refund)
    tell(w, tx, "refund.updated", move(w, tx, current, "refused") ?? current, {
      refund: refundOf(refund),
      capture_id,
    })
  })

/** Gives back money that ordering refused, once per refund_id. */
export const refunds = (w: World): Task<void> =>
  sweepRows(
    w,
    "refunds",
    w.refund,
    (row) => row.refund_id,
    function* (refund) {
      const { amount, channel, payment_id, refund_id } = refund
      if (channel === "sandbox") {
        yield* Provider.ask(w, `asks the provider to return ${refund_id}`, {
          _tag: "Refunded",
          payment_id,
          refund_id,
          amount,
        })
      } else yield* w.call("identity", `credits ${refund_id}`, () => Wallet.credit(w, refund))
      yield* underGate(w, `${refund_id} done`, refund, function* (tx, current) {
        const row = tx.get(w.refund, refund_id)!
        if (row.state !== "pending") return
        const done: RefundRow = { ...row, state: "succeeded", next_try_at: null }
        tx.put(w.refund, refund_id, done)
        tell(w, tx, "refund.updated", move(w, tx, current, "refunded") ?? current, {
          refund: refundOf(done),
          capture_id: done.capture_id,
        })
      })
    },
  )
