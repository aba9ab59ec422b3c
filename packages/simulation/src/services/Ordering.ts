/** Ordering: the order worker, the one path of a cancel, and what payment tells of an order. */
import type { OrderChange, OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import * as Answer from "@floodgate/ordering/domain/Answer"
import { answerCapture } from "@floodgate/ordering/domain/Capture"
import { decide, purchaseKey } from "@floodgate/ordering/domain/decide"
import { type CancelReason, next } from "@floodgate/ordering/domain/OrderState"
import { replaces } from "@floodgate/ordering/domain/ShownPayment"
import type { Message } from "../engine/Broker.ts"
import type { Transaction } from "../engine/Mysql.ts"
import { Away, Refused, type Task } from "../engine/Task.ts"
import { CURRENCY, DISCARD_MS, type OrderRow, PAY_TIMEOUT_MS, type World } from "../World.ts"
import * as Consumer from "./Consumer.ts"
import * as Inventory from "./Inventory.ts"
import * as Outbox from "./Outbox.ts"
import * as Payment from "./Payment.ts"

const SILENCE_BOUND_MS = 60_000
export const QUIET_MS = 5_000

/** How the order worker writes a batch's events: one message of many changes. */
const tell = (
  w: World,
  tx: Transaction,
  type: OrderEvent["type"],
  aggregate: string,
  changes: ReadonlyArray<OrderChange>,
): void => Outbox.append(w, tx, w.orderingOutbox, { topic: "order.events", aggregate, type, value: changes })

const sorted = <A extends string | number>(values: Iterable<A>): Array<A> =>
  [...new Set(values)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))

/** One order worker of the group. */
export const worker = (w: World, name: string): Task<void> =>
  Consumer.consume(w, name, "orders", "reservations", function* (batch, partition) {
    const good: Array<Message> = []
    for (const message of batch) {
      if (message.key === "" || message.key !== w.poison) good.push(message)
      else yield* bury(w, message)
    }
    yield* createBatch(w, good, partition)
  })

/** A message that fails by itself leaves the line. A copy of a known letter is the same letter. */
const bury = (w: World, message: Message): Task<void> =>
  w.db.transaction(`${message.key} is a dead letter`, function* (tx) {
    yield* tx.lock(w.deadLetter, message.key)
    if (tx.get(w.deadLetter, message.key) !== undefined) return
    tx.put(w.deadLetter, message.key, {
      state: "open",
      discard_at: w.now + DISCARD_MS,
      message: message.value,
    })
  })

/** Discards dead letters that nobody attended to: the tombstone and the release in one transaction. */
export function* discards(w: World): Task<void> {
  const isDue = (key: string) => {
    const letter = w.deadLetter.get(key)
    return letter?.state === "open" && letter.discard_at <= w.now
  }
  while (true) {
    const due = () => [...w.deadLetter.rows.keys()].find(isDue)
    yield { what: "finds a letter that nobody attended to", until: () => due() !== undefined }
    const key = due()
    if (key === undefined) continue
    try {
      yield* w.db.transaction(`the letter of ${key} is discarded`, function* (tx) {
        const e = w.deadLetter.get(key)!.message as Inventory.ReservedMessage
        yield* tx.lock(w.product, String(e.product_id))
        yield* tx.lock(w.order, key)
        yield* tx.lock(w.deadLetter, key)
        const letter = tx.get(w.deadLetter, key)!
        if (letter.state !== "open") return
        tx.put(w.deadLetter, key, { ...letter, state: "discarded" })
        if (tx.get(w.order, key) !== undefined) return
        if (w.has("tombstone")) tx.put(w.order, key, rowOf(w, e, "discarded"))
        tell(w, tx, "order.rejected", `product:${e.product_id}`, [
          {
            order_num: key,
            user_id: e.user_id,
            product_id: e.product_id,
            generation: e.generation,
            quantity: e.quantity,
            version: 1,
            state: "rejected",
            reason: "discarded",
          },
        ])
      })
    } catch (error) {
      if (!(error instanceof Away)) throw error
      yield { what: "tries again", at: w.now + 500 }
    }
  }
}

const createBatch = (w: World, batch: ReadonlyArray<Message>, partition: number): Task<void> =>
  w.db.transaction(describe(batch), function* (tx) {
    const entries: Array<Inventory.ReservedMessage> = []
    let barrier = 0
    for (const { type, value } of batch) {
      if (type === "seckill.barrier") barrier = Math.max(barrier, value as number)
      else entries.push(value as Inventory.ReservedMessage)
    }
    for (const id of sorted(entries.map((e) => e.product_id))) yield* tx.lock(w.product, String(id))
    const fresh = new Map<string, Inventory.ReservedMessage>()
    for (const e of entries) if (tx.get(w.order, e.order_num) === undefined) fresh.set(e.order_num, e)
    if (fresh.size > 0) yield* writeDecided(w, tx, [...fresh.values()])
    if (barrier > 0) {
      yield* tx.lock(w.barrier, String(partition))
      const epoch = Math.max(tx.get(w.barrier, String(partition))?.epoch ?? 0, barrier)
      tx.put(w.barrier, String(partition), { epoch })
    }
  })

const describe = (batch: ReadonlyArray<Message>): string =>
  batch.map((m) => (m.type === "seckill.barrier" ? `barrier ${m.value}` : m.key)).join(", ")

const rowOf = (w: World, e: Inventory.ReservedMessage, reject_reason: string | null): OrderRow => ({
  id: w.db.nextId(),
  order_num: e.order_num,
  user_id: e.user_id,
  product_id: e.product_id,
  generation: e.generation,
  quantity: e.quantity,
  amount: e.price * e.quantity,
  request_id: e.request_id,
  state: reject_reason === null ? "unpaid" : "rejected",
  reject_reason,
  version: 1,
  expires_at: w.now + PAY_TIMEOUT_MS,
  cancel_reason: null,
  cancel_requested_at: null,
  cancel_asked_at: 0,
  payment_id: null,
  payment_status: null,
  payment_version: 0,
  capture_id: null,
  refund_id: null,
  refund_status: null,
})

function* writeDecided(
  w: World,
  tx: Transaction,
  fresh: ReadonlyArray<Inventory.ReservedMessage>,
): Task<void> {
  const products = new Map(
    sorted(fresh.map((e) => e.product_id)).map((id) => [id, tx.get(w.product, String(id))!]),
  )
  const live = new Map<string, number>()
  for (const e of fresh) {
    const key = purchaseKey(e.product_id, e.user_id)
    live.set(key, tx.get(w.purchase, key)?.live ?? 0)
  }
  const judged = w.has("generation-check")
    ? fresh
    : fresh.map((e) => ({ ...e, generation: products.get(e.product_id)!.generation }))
  const { bought, taken, verdicts } = decide(judged, products, live)
  yield* tx.statement(`writes ${fresh.map((e, i) => `${e.order_num} ${verdicts[i]}`).join(", ")}`)
  const told = new Map<number, { readonly fits: Array<OrderChange>; readonly rejected: Array<OrderChange> }>()
  for (const [i, e] of fresh.entries()) {
    const reason = verdicts[i] === "fits" ? null : verdicts[i]!
    yield* tx.lock(w.order, e.order_num)
    if (w.order.get(e.order_num) !== undefined) throw new Away(`a duplicate key: ${e.order_num}`)
    if (reason === null || w.has("tombstone")) {
      tx.put(w.order, e.order_num, rowOf(w, e, reason))
    }
    const changes = told.get(e.product_id) ?? { fits: [], rejected: [] }
    told.set(e.product_id, changes)
    const change = {
      order_num: e.order_num,
      user_id: e.user_id,
      product_id: e.product_id,
      generation: e.generation,
      quantity: e.quantity,
      version: 1,
    }
    if (reason === null) {
      changes.fits.push({ ...change, state: "unpaid" })
      tx.put(w.stockLog, `order/${e.order_num}`, { delta: -e.quantity })
    } else changes.rejected.push({ ...change, state: "rejected", reason })
  }
  for (const [id, quantity] of taken) {
    const row = tx.get(w.product, String(id))!
    tx.put(w.product, String(id), { ...row, stock: row.stock - quantity })
  }
  for (const [key, quantity] of bought) {
    tx.put(w.purchase, key, { live: (tx.get(w.purchase, key)?.live ?? 0) + quantity })
  }
  for (const [id, changes] of told) {
    const aggregate = `product:${id}`
    if (changes.fits.length > 0) tell(w, tx, "order.created", aggregate, changes.fits)
    if (changes.rejected.length > 0) tell(w, tx, "order.rejected", aggregate, changes.rejected)
  }
}

/** What the number says: MySQL, then Redis, then MySQL again. */
export function* look(w: World, order_num: string, user_id: number): Task<string> {
  const found = yield* w.db.read(`finds ${order_num}`, () => w.order.get(order_num))
  if (found !== undefined) return found.state
  const { generation, made_at, product_id } = w.issued.get(order_num)!
  let redis: Answer.RedisSays = "unknown"
  let redisTimeMs = 0
  try {
    const view = yield* w.call("inventory", "asks Redis", () =>
      Inventory.getReservation(w, { order_num, user_id, product_id }),
    )
    redis = view.redis
    redisTimeMs = view.time
  } catch (error) {
    if (!(error instanceof Away)) throw error
  }
  const { order, currentGeneration } = yield* w.db.read(`finds ${order_num} again, with its product`, () => ({
    order: w.order.get(order_num),
    currentGeneration: w.product.get(String(product_id))!.generation,
  }))
  if (order !== undefined) return order.state
  return Answer.answer({ generation, currentGeneration, redis, redisTimeMs, madeAtMs: made_at })
}

export function* findOrder(w: World, order_num: string): Task<OrderRow | undefined> {
  return yield* w.db.read(`finds ${order_num}`, () => w.order.get(order_num))
}

interface Requested {
  readonly order_num: string
  readonly product_id: number
  readonly age_ms: number
}

type Closing = "closed" | "captured" | "pending" | "unreachable"

function* close(w: World, order_num: string): Task<Closing> {
  try {
    return yield* w.call("payment", `closes ${order_num}`, () => Payment.closeOrder(w, order_num))
  } catch (error) {
    if (!(error instanceof Away)) throw error
    return "unreachable"
  }
}

/** A buyer cancels. Fails with Refused where the order can't be cancelled any more. */
export function* cancel(w: World, order_num: string): Task<string> {
  const order = yield* findOrder(w, order_num)
  if (order === undefined) throw new Refused("queued")
  if (order.state === "cancelled") return order.state
  if (next(order.state, "cancel") === undefined) throw new Refused(order.state)
  yield* w.db.transaction(`a cancel of ${order_num} is asked for`, function* (tx) {
    yield* tx.lock(w.order, order_num)
    request(w, tx, order_num, "user")
  })
  const closing = yield* close(w, order_num)
  if (closing === "closed") yield* finish(w, [order])
  const after = (yield* findOrder(w, order_num))!
  if (after.state !== "cancelled" && next(after.state, "cancel") === undefined) throw new Refused(after.state)
  return after.state
}

const request = (w: World, tx: Transaction, order_num: string, reason: CancelReason): void => {
  const row = tx.get(w.order, order_num)!
  if (row.state !== "unpaid" || row.cancel_requested_at !== null) return
  tx.put(w.order, order_num, {
    ...row,
    cancel_reason: reason,
    cancel_requested_at: w.now,
    cancel_asked_at: w.now,
  })
}

const isExpired = (w: World, o: OrderRow) =>
  o.state === "unpaid" && o.cancel_requested_at === null && o.expires_at <= w.now

const isUnfinished = (w: World, o: OrderRow) =>
  o.state === "unpaid" && o.cancel_requested_at !== null && o.cancel_asked_at <= w.now - QUIET_MS

const requestedOf = (w: World, o: OrderRow): Requested => ({
  order_num: o.order_num,
  product_id: o.product_id,
  age_ms: o.cancel_requested_at === null ? 0 : w.now - o.cancel_requested_at,
})

/** The sweep over orders past their time, or over cancels that nobody finished. */
export function* sweep(w: World, what: "expired" | "unfinished"): Task<void> {
  const isDue = what === "expired" ? isExpired : isUnfinished
  while (true) {
    yield { what: `finds ${what} orders`, until: () => w.order.values().some((o) => isDue(w, o)) }
    try {
      const claimed = yield* w.db.transaction(`${what} orders claimed`, function* (tx) {
        const rows = tx.values(w.order).filter((o) => isDue(w, o) && tx.skipLocked(w.order, o.order_num))
        yield* tx.statement(`marks ${rows.map((o) => o.order_num).join(", ")}`)
        for (const o of rows) {
          if (what === "expired") request(w, tx, o.order_num, "timeout")
          else tx.put(w.order, o.order_num, { ...tx.get(w.order, o.order_num)!, cancel_asked_at: w.now })
        }
        return rows.map((o) => requestedOf(w, o))
      })
      yield* settle(w, claimed)
    } catch (error) {
      if (!(error instanceof Away)) throw error
    }
    yield { what: "the next round", at: w.now + 1_000 }
  }
}

function* settle(w: World, requested: ReadonlyArray<Requested>): Task<void> {
  const due: Array<Requested> = []
  for (const order of requested) {
    const closing = yield* close(w, order.order_num)
    if (closing === "closed" || (closing === "pending" && order.age_ms >= SILENCE_BOUND_MS)) due.push(order)
  }
  if (due.length > 0) yield* finish(w, due)
}

/** The last step: cancels those still unpaid and gives their stock back, once. */
const finish = (w: World, orders: ReadonlyArray<Pick<Requested, "order_num" | "product_id">>): Task<void> =>
  w.db.transaction(`${orders.map((o) => o.order_num).join(", ")} cancelled`, function* (tx) {
    for (const id of sorted(orders.map((o) => o.product_id))) yield* tx.lock(w.product, String(id))
    const numbers = sorted(orders.map((o) => o.order_num))
    for (const order_num of numbers) yield* tx.lock(w.order, order_num)
    for (const order_num of numbers) {
      const o = tx.get(w.order, order_num)!
      const isDue = next(o.state, "cancel") !== undefined || (!w.has("cancel-cas") && o.state !== "cancelled")
      if (!isDue || o.cancel_reason === null) continue
      const key = purchaseKey(o.product_id, o.user_id)
      tx.put(w.purchase, key, { live: tx.get(w.purchase, key)!.live - o.quantity })
      tx.put(w.order, order_num, { ...o, state: "cancelled", version: o.version + 1 })
      const product = tx.get(w.product, String(o.product_id))!
      tx.put(w.product, String(o.product_id), { ...product, stock: product.stock + o.quantity })
      if (tx.get(w.stockLog, `cancel/${order_num}`) !== undefined)
        w.violate(`the stock of ${order_num} would come back twice`)
      tx.put(w.stockLog, `cancel/${order_num}`, { delta: o.quantity })
      tell(w, tx, "order.cancelled", order_num, [
        {
          order_num,
          user_id: o.user_id,
          product_id: o.product_id,
          generation: o.generation,
          quantity: o.quantity,
          state: "cancelled",
          version: o.version + 1,
          reason: o.cancel_reason,
        },
      ])
    }
  })

/** Applies what payment tells. */
export const paymentEvents = (w: World, name: string): Task<void> =>
  Consumer.consume(w, name, "captures", "payment.events", function* (batch) {
    for (const message of batch) yield* apply(w, message.value as PaymentEvent)
  })

/** True when the event is met for the first time; on record from the commit on. */
function* firstTime(w: World, tx: Transaction, consumer: string, event_id: string): Task<boolean> {
  const key = `${consumer}/${event_id}`
  yield* tx.lock(w.inbox, key)
  const isNew = tx.get(w.inbox, key) === undefined
  tx.put(w.inbox, key, true)
  return isNew || !w.has("inbox")
}

const apply = (w: World, event: PaymentEvent): Task<void> =>
  w.db.transaction(`${event.type} of ${event.order_num}`, function* (tx) {
    const { order_num } = event
    yield* tx.lock(w.order, order_num)
    const order = tx.get(w.order, order_num)!
    if (!(yield* firstTime(w, tx, "ordering", event.event_id))) return
    if (event.type === "payment.captured") yield* capture(w, tx, order, event, event.capture_id!)
    else if (event.type === "refund.updated") {
      const { refund_id, status } = event.refund!
      const isNews =
        order.refund_id !== refund_id || (order.refund_status !== status && order.refund_status === "pending")
      if (isNews)
        tx.put(w.order, order_num, { ...order, refund_id, refund_status: status, version: order.version + 1 })
    } else {
      const shown =
        order.payment_id === null
          ? null
          : { payment_id: order.payment_id, status: order.payment_status!, version: order.payment_version }
      const told = { payment_id: event.payment_id, status: event.status, version: event.payment_version }
      if (!replaces(shown, told)) return
      tx.put(w.order, order_num, {
        ...order,
        payment_id: event.payment_id,
        payment_status: event.status,
        payment_version: event.payment_version,
        version: order.version + 1,
      })
    }
  })

function* capture(
  w: World,
  tx: Transaction,
  order: OrderRow,
  event: PaymentEvent,
  capture_id: string,
): Task<void> {
  if (!(yield* firstTime(w, tx, "ordering.capture", capture_id))) return
  const { amount, currency, payment_id } = event
  const answer = answerCapture({ ...order, currency: CURRENCY }, { capture_id, amount, currency })
  const change = {
    order_num: order.order_num,
    user_id: order.user_id,
    product_id: order.product_id,
    generation: order.generation,
    quantity: order.quantity,
    payment_id,
    capture_id,
  }
  if (answer._tag === "pay") {
    const version = order.version + 1
    tx.put(w.order, order.order_num, {
      ...order,
      state: "paid",
      version,
      payment_id,
      payment_status: event.status,
      payment_version: event.payment_version,
      capture_id,
    })
    tell(w, tx, "order.paid", order.order_num, [{ ...change, state: "paid", version }])
  } else if (answer._tag === "refuse") {
    const { state, version } = order
    tell(w, tx, "order.payment_refused", order.order_num, [
      { ...change, state, version, reason: answer.reason },
    ])
  }
}
