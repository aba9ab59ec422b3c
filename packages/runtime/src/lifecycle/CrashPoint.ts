/**
 * Named places between two steps at which a fault test may kill, stop, delay or hold the process.
 *
 * They exist in test builds only: a hook is written
 *
 *     if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("relay.produced")
 *
 * and every other build folds the condition to false, so that neither the call nor this module is in the bundle. In a
 * test build a hook looks for an order in the folder FLOODGATE_FAULTS_DIR, a file named after the point, and does
 * nothing without one.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

declare global {
  /** A constant of the build: true in test builds, false in all others, absent where sources run unbundled. */
  var __FLOODGATE_FAULTS__: boolean | undefined
}

/** The places, by what has just happened. */
export const points = [
  /** inventory: the script took the stock and wrote the entry; the caller doesn't know yet. */
  "reserve.executed",
  /** inventory: the relay has read entries of the stream, the bus doesn't have them. */
  "relay.fetched",
  /** inventory: the bus has entries of the stream; the relay hasn't noted it. */
  "relay.produced",
  /** inventory: entries are known to be decided, and still in the stream. */
  "relay.deleting",
  /** ordering: rows are written, the transaction is open. */
  "orders.in_transaction",
  /** ordering: the batch is committed, its offset isn't. */
  "orders.committed",
  /** Any outbox: the bus has the rows, they aren't marked. */
  "outbox.published",
  /** ordering: an order is marked for its cancel, payment wasn't asked. */
  "cancel.requested",
  /** ordering: payment's gate is shut, the order is still unpaid. */
  "cancel.closed",
  /** ordering: the cancel's rows are written, the transaction is open. */
  "cancel.in_transaction",
  /** inventory: Redis has the product, closed; MySQL has a draft. */
  "warmup.loaded",
  /** inventory: MySQL has the product published; Redis hasn't opened it. */
  "warmup.confirmed",
  /** inventory: the shards are closed for a recovery. */
  "recovery.claimed",
  /** inventory: what the streams held is on the bus. */
  "recovery.drained",
  /** inventory: everything on the bus is decided. */
  "recovery.barrier",
  /** inventory: a product is in Redis under its next generation, MySQL hasn't committed that. */
  "recovery.loaded",
  /** inventory: a shard's products are rebuilt, the shard is still closed. */
  "recovery.rebuilt",
  /** payment: an intent is committed, its channel wasn't asked. */
  "payment.opened",
  /** identity: a debit is committed, nobody was told. */
  "wallet.debited",
] as const

export type Point = (typeof points)[number]

/** What a test asks for, as the file's JSON. The file is gone once somebody has begun to do it. */
export interface Order {
  /** Tells one order from a later one at the same point. */
  readonly id: string
  /**
   * `kill`: SIGKILL. `stop`: SIGSTOP, until the test sends SIGCONT. `delay`: `ms` longer. `hold`: until the file
   * `<point>.hold` is gone, at most two minutes.
   */
  readonly action: "kill" | "stop" | "delay" | "hold"
  /** At which hit, counted by each process from when the order was given; 1 is the next. */
  readonly at: number
  readonly ms?: number
}

/** What the file `<point>.struck` says. */
export interface Struck {
  readonly id: string
  readonly pid: number
}

const HOLD_POLL_MS = 10
const LONGEST_HOLD_MS = 120_000

const counts = new Map<string, number>()

/** The order at this point, when this hit is the one it means. One of several processes gets it. */
const take = (folder: string, point: Point): Order | undefined => {
  const file = path.join(folder, point)
  let order: Order
  try {
    order = JSON.parse(fs.readFileSync(file, "utf8")) as Order
  } catch {
    return undefined
  }
  const count = (counts.get(order.id) ?? 0) + 1
  counts.set(order.id, count)
  if (count < order.at) return undefined
  const struck = `${file}.struck`
  const writing = `${struck}.${process.pid}`
  try {
    if (order.action === "hold") fs.writeFileSync(`${file}.hold`, "")
    // Whoever takes the file away does what it says.
    fs.renameSync(file, writing)
    fs.writeFileSync(writing, JSON.stringify({ id: order.id, pid: process.pid } satisfies Struck))
    fs.renameSync(writing, struck)
    return order
  } catch {
    return undefined
  }
}

const held = (file: string, sinceMs: number): Effect.Effect<void> =>
  Effect.suspend(() =>
    fs.existsSync(file) && performance.now() - sinceMs < LONGEST_HOLD_MS
      ? Effect.delay(held(file, sinceMs), HOLD_POLL_MS)
      : Effect.void,
  )

/** Does what a test ordered for this point. Only ever called under `globalThis.__FLOODGATE_FAULTS__`. */
export const hit = (point: Point): Effect.Effect<void> =>
  Effect.flatMap(Effect.option(Config.string("FLOODGATE_FAULTS_DIR")), (folder) => {
    if (Option.isNone(folder)) return Effect.void
    const order = take(folder.value, point)
    if (order === undefined) return Effect.void
    switch (order.action) {
      case "kill":
        process.kill(process.pid, "SIGKILL")
        return Effect.never
      case "stop":
        process.kill(process.pid, "SIGSTOP")
        return Effect.void
      case "delay":
        return Effect.sleep(order.ms ?? 0)
      case "hold":
        return held(path.join(folder.value, `${point}.hold`), performance.now())
    }
  })
