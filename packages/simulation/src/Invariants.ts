/** What must hold after every step, and what must hold once nothing is on its way any more. */

import { purchaseKey } from "@floodgate/ordering/domain/decide"
import { isLive, next, type OrderTransition } from "@floodgate/ordering/domain/OrderState"
import { isOpen } from "@floodgate/payment/domain/Intent"
import * as Model from "./engine/RedisModel.ts"
import { BALANCE, type OrderRow, USERS, type World } from "./World.ts"

const TRANSITIONS: ReadonlyArray<OrderTransition> = [
  "create",
  "reject",
  "pay",
  "cancel",
  "refund",
  "refund_done",
  "refund_failed",
]

const sum = <A>(all: Iterable<A>, of: (one: A) => number): number => {
  let total = 0
  for (const one of all) total += of(one)
  return total
}

const liveOrders = (w: World, product_id: number): ReadonlyArray<OrderRow> =>
  w.order.values().filter((o) => o.product_id === product_id && isLive(o.state))

const liveRecords = (w: World, product_id: number) => {
  const product = w.redis.shard.products.get(product_id)
  const buyers = product && w.redis.shard.buyers.get(Model.buyersKey(product_id, product.gen))
  return buyers === undefined ? [] : [...buyers.values()].flat().filter((record) => record.live)
}

/** Watches one world: told after every step, it keeps the first violation in the world. */
export class Watch {
  private commits = -1
  private writes = -1
  private readonly states = new Map<string, OrderRow["state"]>()
  private readonly generations = new Map<number, number>()

  constructor(private readonly w: World) {}

  check(): void {
    const { w } = this
    if (w.db.commits === this.commits && w.redis.writes === this.writes) return
    if (w.db.commits !== this.commits) {
      this.orders()
      this.stock()
      this.money()
      this.rebuilt()
    }
    this.shard()
    this.commits = w.db.commits
    this.writes = w.redis.writes
  }

  /** An order moves only as the table says, and one request makes at most one order. */
  private orders(): void {
    const { w } = this
    const byRequest = new Map<string, string>()
    for (const o of w.order.rows.values()) {
      const before = this.states.get(o.order_num) ?? "queued"
      if (before !== o.state && !TRANSITIONS.some((transition) => next(before, transition) === o.state))
        w.violate(`${o.order_num} went from ${before} to ${o.state}`)
      this.states.set(o.order_num, o.state)
      if (o.state === "rejected") continue
      const key = `buyer ${o.user_id}'s request ${w.issued.get(o.order_num)!.key}`
      const other = byRequest.get(key)
      if (other !== undefined) w.violate(`${key} made two orders: ${other} and ${o.order_num}`)
      byRequest.set(key, o.order_num)
    }
  }

  /** `initial = stock + live orders`, and what each buyer holds is within the limit. */
  private stock(): void {
    const { w } = this
    for (const product of w.product.rows.values()) {
      const live = liveOrders(w, product.id)
      const held = sum(live, (o) => o.quantity)
      if (product.stock < 0) w.violate(`product ${product.id} has a stock of ${product.stock}`)
      if (product.stock + held !== product.initial)
        w.violate(`product ${product.id}: stock ${product.stock} + ordered ${held} isn't ${product.initial}`)
      for (const user of USERS) {
        const mine = sum(live, (o) => (o.user_id === user ? o.quantity : 0))
        const stored = w.purchase.get(purchaseKey(product.id, user))?.live ?? 0
        if (mine > product.per_user_limit) w.violate(`buyer ${user} holds ${mine} of product ${product.id}`)
        if (mine !== stored)
          w.violate(`buyer ${user} holds ${mine} of product ${product.id}, stored is ${stored}`)
      }
    }
  }

  /** One open payment an order, one answer a capture, a wallet that adds up. */
  private money(): void {
    const { w } = this
    const open = new Set<string>()
    for (const intent of w.intent.rows.values()) {
      if (!isOpen(intent.state)) continue
      if (open.has(intent.order_num)) w.violate(`${intent.order_num} has two open payments`)
      open.add(intent.order_num)
    }
    const answered = new Set<string>()
    for (const row of w.orderingOutbox.rows.rows.values()) {
      if (row.type !== "order.paid" && row.type !== "order.payment_refused") continue
      const { capture_id } = (row.value as ReadonlyArray<{ readonly capture_id: string }>)[0]!
      if (answered.has(capture_id)) w.violate(`${capture_id} was answered twice`)
      answered.add(capture_id)
    }
    const balance = sum(w.wallet.rows.values(), (row) => row.balance)
    const debits = sum(w.decision.rows.values(), (row) => (row.outcome === "debited" ? row.amount : 0))
    const credits = sum(w.credit.rows.values(), (row) => row.amount)
    if (balance !== USERS.length * BALANCE - debits + credits) w.violate("the wallets don't add up")
    for (const [user, row] of w.wallet.rows) if (row.balance < 0) w.violate(`wallet ${user} is below zero`)
  }

  /** A generation rises only after everything that the bus had before the barrier was decided. */
  private rebuilt(): void {
    const { w } = this
    for (const product of w.product.rows.values()) {
      const before = this.generations.get(product.id) ?? 1
      this.generations.set(product.id, product.generation)
      if (product.generation === before) continue
      const opened = w.redis.shard.fence.epoch ?? 0
      const [first] = [...w.barriersSent].filter(([epoch]) => epoch > opened).sort(([a], [b]) => a - b)
      if (first === undefined || first[1].life !== w.broker.life) continue
      const ahead = w.broker.partition("reservations", first[1].partition).slice(0, first[1].offset)
      // A dead letter is out of the line: whatever becomes of it, its generation is over.
      const open = ahead.find(
        (m) =>
          m.type === "seckill.reserved" &&
          w.order.get(m.key) === undefined &&
          w.deadLetter.get(m.key) === undefined,
      )
      if (open !== undefined) w.violate(`product ${product.id} was rebuilt before ${open.key} was decided`)
    }
  }

  /**
   * An open shard never has more than MySQL, and what it has less is reserved without an order, or not released yet; an
   * order that counts has its record.
   */
  private shard(): void {
    const { w } = this
    if (!w.redis.isOpen) return
    for (const row of w.product.rows.values()) {
      const product = w.redis.shard.products.get(row.id)
      if (product === undefined) {
        w.violate(`the shard is open without product ${row.id}`)
        continue
      }
      if (product.stock < 0) w.violate(`product ${row.id} has a stock of ${product.stock} in Redis`)
      const records = liveRecords(w, row.id)
      const waiting = sum(records, (record) => {
        const order = w.order.get(record.order_num)
        return order !== undefined && isLive(order.state) ? 0 : record.quantity
      })
      for (const order of liveOrders(w, row.id)) {
        if (!records.some((record) => record.order_num === order.order_num))
          w.violate(`${order.order_num} is ${order.state}, and the open shard has no live record of it`)
      }
      if (row.stock - product.stock !== waiting)
        w.violate(
          `product ${row.id}: MySQL has ${row.stock}, Redis ${product.stock}, and ${waiting} on the way between them`,
        )
    }
  }
}

/** What is still on its way; undefined at rest. */
export const unrest = (w: World): string | undefined => {
  if (!w.redis.isOpen) return "the shard is closed"
  if (w.redis.shard.stream.length > 0) return `${w.redis.shard.stream[0]!.order_num} is in the stream`
  const group = w.broker.behind()
  if (group !== undefined) return `the group of ${group} hasn't read all`
  for (const { leases, name, rows } of [w.orderingOutbox, w.paymentOutbox]) {
    if (leases.values().some((lease) => lease.bus !== w.broker.life))
      return `the outbox of ${name} hasn't seen that the bus lost everything`
    if (rows.values().some((row) => row.sent_at === null)) return `the outbox of ${name} isn't empty`
  }
  if (w.deadLetter.values().some((letter) => letter.state === "open")) return "a dead letter is open"
  if (w.callbacks.length > 0) return "a callback is on its way"
  if (w.providerEvent.values().some((row) => row.next_try_at !== null)) return "a callback isn't applied"
  for (const { next_try_at, payment_id, state } of w.intent.rows.values()) {
    if (next_try_at !== null || state === "captured" || state === "refunding")
      return `${payment_id} is ${state}`
  }
  if (w.refund.values().some((row) => row.state === "pending")) return "a refund is owed"
  const cancelled = w.order.values().find((o) => o.state === "unpaid" && o.cancel_requested_at !== null)
  if (cancelled !== undefined) return `the cancel of ${cancelled.order_num} isn't finished`
  const busy = w.processes.find((process) => process.program === undefined && process.task !== undefined)
  if (busy !== undefined) return `${busy.name} waits for an answer`
  return w.orphans.length > 0 ? "a late call goes on" : undefined
}

/** The equations at rest. */
export const atRest = (w: World): void => {
  for (const row of w.product.rows.values()) {
    const product = w.redis.shard.products.get(row.id)
    const records = liveRecords(w, row.id).map((record) => record.order_num)
    const orders = liveOrders(w, row.id).map((order) => order.order_num)
    if (product?.stock !== row.stock)
      w.violate(`at rest product ${row.id} has ${product?.stock} in Redis and ${row.stock} in MySQL`)
    if (records.sort().join() !== orders.sort().join())
      w.violate(`at rest product ${row.id} has records ${records.join(", ")} and orders ${orders.join(", ")}`)
  }
  const net = netByOrder(w)
  for (const order of w.order.rows.values()) {
    const has = net.get(order.order_num) ?? 0
    const due = order.state === "paid" ? order.amount : 0
    if (has !== due)
      w.violate(`at rest ${order.order_num} is ${order.state} with ${has} taken in place of ${due}`)
  }
  for (const issued of w.issued.values()) {
    const row = w.order.get(issued.order_num)
    const isLost = issued.generation < w.product.get(String(issued.product_id))!.generation
    if (row === undefined && issued.promised && !isLost)
      w.violate(`at rest ${issued.order_num} was promised an answer, and there is none`)
    const toldNo = ["rejected", "not_reserved", "forgotten"].includes(issued.told)
    if (row !== undefined && toldNo && row.state !== "rejected")
      w.violate(`at rest ${issued.order_num} is ${row.state}, and its buyer was told ${issued.told}`)
  }
}

/** Money taken for each order, less what was given back, by both ledgers. */
const netByOrder = (w: World): ReadonlyMap<string, number> => {
  const net = new Map<string, number>()
  const add = (order_num: string, amount: number) => net.set(order_num, (net.get(order_num) ?? 0) + amount)
  for (const [payment_id, { amount, outcome }] of w.decision.rows)
    if (outcome === "debited") add(w.intent.get(payment_id)!.order_num, amount)
  for (const { amount, order_num } of w.credit.rows.values()) add(order_num, -amount)
  for (const payment of w.books.values()) {
    if (payment.status !== "succeeded") continue
    add(payment.order_num, payment.amount - sum(Object.values(payment.refunds), (amount) => amount))
  }
  return net
}
