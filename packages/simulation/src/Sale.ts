/** A sale as it starts: two products on an open shard, three buyers, two of each process that takes over from another. */
import type { Process } from "./engine/Scheduler.ts"
import type { Task } from "./engine/Task.ts"
import type { Rule } from "./Rules.ts"
import * as Inventory from "./services/Inventory.ts"
import * as Ordering from "./services/Ordering.ts"
import * as Outbox from "./services/Outbox.ts"
import * as Payment from "./services/Payment.ts"
import * as Provider from "./services/Provider.ts"
import { BALANCE, USERS, World } from "./World.ts"

/** Few of the first, so that buyers compete; more than one each of the second. */
const PRODUCTS = [
  { id: 1, initial: 2, per_user_limit: 1, price: 700 },
  { id: 2, initial: 3, per_user_limit: 2, price: 2_000 },
] as const

/** Everything that runs by itself, by name. */
export const programs: Readonly<Record<string, (w: World, name: string) => Task<void>>> = {
  "relay-a": Inventory.relay,
  "relay-b": Inventory.relay,
  "releases-a": Inventory.releases,
  "releases-b": Inventory.releases,
  "recovery-a": Inventory.recovery,
  "recovery-b": Inventory.recovery,
  "worker-a": Ordering.worker,
  "worker-b": Ordering.worker,
  discards: Ordering.discards,
  captures: Ordering.paymentEvents,
  "time-out sweep": (w) => Ordering.sweep(w, "expired"),
  "cancel sweep-a": (w) => Ordering.sweep(w, "unfinished"),
  "cancel sweep-b": (w) => Ordering.sweep(w, "unfinished"),
  "ordering outbox-a": (w, name) => Outbox.relay(w, name, w.orderingOutbox),
  "ordering outbox-b": (w, name) => Outbox.relay(w, name, w.orderingOutbox),
  "payment outbox-a": (w, name) => Outbox.relay(w, name, w.paymentOutbox),
  "payment outbox-b": (w, name) => Outbox.relay(w, name, w.paymentOutbox),
  answers: Payment.orderAnswers,
  "payment retry": Payment.intentRetry,
  "callback applier": Payment.applier,
  refunds: Payment.refunds,
  provider: Provider.callbacks,
}

export const buyerOf = (w: World, user_id: number): Process => w.find(`buyer-${user_id}`)

export const make = (without: ReadonlySet<Rule> = new Set()): World => {
  const w = new World(without)
  for (const { id, initial, per_user_limit, price } of PRODUCTS) {
    const row = { id, initial, stock: initial, generation: 1, per_user_limit, price }
    w.product.rows.set(String(id), row)
    w.redis.shard = {
      ...w.redis.shard,
      products: new Map(w.redis.shard.products).set(id, Inventory.productOf(row, 1)),
    }
  }
  w.redis.shard = { ...w.redis.shard, fence: { epoch: 1, claim: 1, run_id: w.redis.run_id } }
  w.recoveryLease.rows.set("redis", { holder: "", epoch: 1 })
  for (const outbox of [w.orderingOutbox, w.paymentOutbox]) {
    for (let bucket = 0; bucket < Outbox.BUCKETS; bucket++) {
      outbox.leases.rows.set(String(bucket), { bucket, owner: "", epoch: 0, bus: 1, checkpoint_at: 0 })
    }
  }
  for (const user of USERS) w.wallet.rows.set(String(user), { balance: BALANCE })
  for (const [name, program] of Object.entries(programs)) w.add(name, () => program(w, name))
  for (const user of USERS) w.add(`buyer-${user}`)
  return w
}
