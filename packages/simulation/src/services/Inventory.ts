/** Inventory: reserving, the relay of the stream, releases, and the recovery of a lost shard. */

import type { OrderChange } from "@floodgate/contracts/events/OrderEvent"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { isLive } from "@floodgate/ordering/domain/OrderState"
import { PARTITIONS } from "../engine/Broker.ts"
import * as Model from "../engine/RedisModel.ts"
import { Away, type Task } from "../engine/Task.ts"
import type { OrderRow, ProductRow, World } from "../World.ts"
import * as Consumer from "./Consumer.ts"

/** All of the sale lives on one shard, whose reservations go down this partition. */
const PARTITION = 0
const MAX_OPEN = 8
const NOT_AFTER_MS = 800
const RELAY_LEASE_MS = 5_000
/** An entry without an outcome is published again after this, ms. */
export const AGAIN_MS = 30_000
const RECOVERY_LEASE_MS = 6_000
const BARRIER_PATIENCE_MS = 300_000
const BATCH = 3

export interface Reserved {
  readonly code: ReserveCode
  readonly order_num: string
}

const newNumber = (
  w: World,
  user_id: number,
  product_id: number,
  generation: number,
  key: string,
): string => {
  const order_num = `n${++w.lastNumber}`
  w.issued.set(order_num, {
    order_num,
    user_id,
    product_id,
    generation,
    made_at: w.redis.now,
    key,
    promised: false,
    told: "",
  })
  return order_num
}

const generationIn = (w: World, product_id: number) => w.redis.shard.products.get(product_id)?.gen ?? 0

/** ReserveBatch of one item. */
export function* reserve(
  w: World,
  wish: {
    readonly user_id: number
    readonly product_id: number
    readonly quantity: number
    readonly key: string
  },
): Task<Reserved> {
  // Given by the edge, by the clock that it keeps of the shard.
  const not_after = w.has("not-after") ? w.redis.now + NOT_AFTER_MS : Number.MAX_SAFE_INTEGER
  const { key, product_id, quantity, user_id } = wish
  let generation = w.generations.get(product_id)
  if (generation === undefined) {
    try {
      generation = yield* w.redis.call("reads the generation", () => generationIn(w, product_id))
    } catch (error) {
      if (!(error instanceof Away)) throw error
      return { code: ReserveCode.NOT_EXECUTED, order_num: "" }
    }
  }
  for (let tries = 0; ; tries++) {
    const order_num = newNumber(w, user_id, product_id, generation, key)
    const request_id = w.has("request-id") ? key : order_num
    let reply: Model.ReserveReply
    const meant = generation
    try {
      reply = yield* w.redis.call(`reserve.lua ${order_num}`, () =>
        w.redis.write(
          Model.reserve(w.redis.shard, w.redis.server, {
            product_id,
            generation: meant,
            max_open: MAX_OPEN,
            items: [{ user_id, quantity, request_id, not_after, order_num }],
          }),
        ),
      )
    } catch (error) {
      if (!(error instanceof Away)) throw error
      return { code: ReserveCode.UNKNOWN, order_num }
    }
    const item = reply.items[0]!
    if (item.code !== ReserveCode.FENCED) {
      if (reply.generation === 0) w.generations.delete(product_id)
      else w.generations.set(product_id, reply.generation)
    }
    if (item.code === ReserveCode.STALE_GENERATION && tries === 0) {
      generation = reply.generation
      continue
    }
    if (item.code === ReserveCode.RESERVED) return { code: item.code, order_num }
    return { code: item.code, order_num: item.order_num }
  }
}

/** What Redis says of a number, as `Answer` takes it. Fails with Away where it can't be asked, or trusted. */
export function* getReservation(
  w: World,
  ref: { readonly product_id: number; readonly user_id: number; readonly order_num: string },
): Task<{ readonly redis: "none" | "live" | "released"; readonly time: number }> {
  let generation = w.generations.get(ref.product_id) ?? 0
  for (let tries = 0; tries < 4; tries++) {
    const asked = generation
    const found = yield* w.redis.call(`reservation.lua ${ref.order_num}`, () => ({
      ...Model.reservation(w.redis.shard, w.redis.server, { ...ref, generation: asked }),
      time: w.redis.now,
    }))
    if (found.generation !== asked) {
      generation = found.generation
      w.generations.set(ref.product_id, generation)
      continue
    }
    const record = found.record.find((one) => one.order_num === ref.order_num)
    if (record === undefined && !found.open) throw new Away("the shard")
    return { redis: record === undefined ? "none" : record.live ? "live" : "released", time: found.time }
  }
  throw new Away("the shard")
}

const messageOf = (w: World, entry: Model.Entry) => {
  const { generation, product_id } = w.issued.get(entry.order_num)!
  return [
    "reservations",
    PARTITION,
    { type: "seckill.reserved", key: entry.order_num, value: { ...entry, product_id, generation } },
  ] as const
}

export type ReservedMessage = ReturnType<typeof messageOf>[2]["value"]

/** One relay, until it is killed: publishes what is new, asks for outcomes, deletes what is decided. */
export function* relay(w: World, name: string): Task<void> {
  const me = w.holderOf(name)
  const { redis } = w
  const isFree = () =>
    redis.relayLease === "" ||
    redis.relayLease === me ||
    w.lastAlive(redis.relayLease) + RELAY_LEASE_MS <= w.now
  // A lease that went with the server's data is noticed by nobody before the next renewal.
  const isMine = () => redis.relayLease === me || redis.relayLease === ""
  while (true) {
    yield {
      what: "may relay the stream",
      until: () => isFree() && redis.shard.stream.length > 0 && !redis.isFrozen,
    }
    let cursor: Model.Entry["id"] | undefined
    let againAt = 0
    try {
      const mine = yield* redis.call("takes the stream's lease", () => {
        if (!isFree()) return false
        redis.relayLease = me
        return true
      })
      if (!mine) continue
      // Another relay's lease is noticed at the next renewal, a while later: until then there are two.
      while (isMine()) {
        const isNew = (entry: Model.Entry) => cursor === undefined || Model.compareIds(entry.id, cursor) > 0
        const hasNew = () => redis.shard.stream.some(isNew)
        const hasDecided = () =>
          redis.shard.stream.some((entry) => !isNew(entry) && w.order.get(entry.order_num) !== undefined)
        const isOld = (entry: Model.Entry) => !isNew(entry) && entry.id[0] <= redis.now - AGAIN_MS
        const hasOld = () => w.now >= againAt && redis.shard.stream.some(isOld)
        yield {
          what: "looks at the stream",
          until: () => hasNew() || hasDecided() || hasOld() || !isMine(),
          ...(againAt > w.now ? { at: againAt } : {}),
        }
        if (hasNew()) {
          const entries = yield* redis.call("reads new entries", () =>
            redis.shard.stream.filter(isNew).slice(0, BATCH),
          )
          if (entries.length === 0) continue
          yield* w.broker.publish(
            `publishes ${entries.map((entry) => entry.order_num).join(", ")}`,
            entries.map((entry) => messageOf(w, entry)),
          )
          cursor = entries.at(-1)!.id
          if (!w.has("keep-until-decided")) {
            const ids = entries.map((entry) => entry.id)
            yield* redis.call("deletes them", () => redis.write([Model.remove(redis.shard, ids), undefined]))
          }
          continue
        }
        const upTo = cursor
        if (upTo === undefined) continue
        const entries = yield* redis.call("reads the oldest entries", () =>
          redis.shard.stream.filter((entry) => Model.compareIds(entry.id, upTo) <= 0).slice(0, BATCH),
        )
        if (entries.length === 0) {
          cursor = undefined
          continue
        }
        const decided = yield* w.call("ordering", "asks for outcomes", () =>
          w.db.read("reads which have a row", () =>
            entries.filter((entry) => w.order.get(entry.order_num) !== undefined),
          ),
        )
        if (decided.length > 0) {
          const ids = decided.map((entry) => entry.id)
          yield* redis.call(`deletes ${decided.map((entry) => entry.order_num).join(", ")}`, () =>
            redis.write([Model.remove(redis.shard, ids), undefined]),
          )
        }
        const old = entries.filter((entry) => !decided.includes(entry) && isOld(entry))
        if (old.length > 0 && w.now >= againAt) {
          yield* w.broker.publish(
            `publishes ${old.map((entry) => entry.order_num).join(", ")} again`,
            old.map((entry) => messageOf(w, entry)),
          )
          againAt = w.now + AGAIN_MS
        }
      }
    } catch (error) {
      if (!(error instanceof Away)) throw error
      yield { what: "tries again", at: w.now + 100 }
    }
  }
}

/** Gives stock back in Redis for orders that ended. */
export const releases = (w: World, name: string): Task<void> =>
  Consumer.consume(w, name, "releases", "order.events", function* (batch) {
    for (const message of batch) {
      if (message.type !== "order.rejected" && message.type !== "order.cancelled") continue
      for (const change of message.value as ReadonlyArray<OrderChange>) yield* release(w, change)
    }
  })

function* release(w: World, change: OrderChange): Task<void> {
  const { order_num, product_id, user_id } = change
  let generation = w.generations.get(product_id) ?? 0
  while (true) {
    const asked = generation
    const [state, current] = yield* w.redis.call(`release.lua ${order_num}`, () => {
      const before = w.redis.shard
      const applied = Model.release(before, w.redis.server, {
        product_id,
        user_id,
        order_num,
        generation: asked,
      })
      if (applied[1][0] === 1 && !w.has("release-once"))
        return w.redis.write([{ ...applied[0], buyers: before.buyers }, applied[1]])
      return w.redis.write(applied)
    })
    if (state === 1 || state === 0) return
    // A fenced shard is not a definite answer: a rebuild under way may have counted the order as live already.
    if (state === -1) throw new Away("the shard")
    generation = current
    w.generations.set(product_id, current)
  }
}

/** One recovery process, until it is killed. */
export function* recovery(w: World, name: string): Task<void> {
  const me = w.holderOf(name)
  const { redis } = w
  let floor = 0
  const lease = () => w.recoveryLease.get("redis")!
  const isFree = () => {
    const { holder } = lease()
    return holder === "" || holder === me || w.lastAlive(holder) + RECOVERY_LEASE_MS <= w.now
  }
  while (true) {
    yield { what: "finds the shard closed", until: () => !redis.isOpen && !redis.isFrozen && isFree() }
    try {
      const epoch = yield* w.db.transaction("the recovery's lease", function* (tx) {
        yield* tx.lock(w.recoveryLease, "redis")
        if (!isFree()) throw new Away("the recovery's lease")
        const next = Math.max(lease().epoch, floor) + 1
        tx.put(w.recoveryLease, "redis", { holder: me, epoch: next })
        return next
      })
      yield* recover(w, epoch, (refused) => {
        floor = Math.max(floor, refused)
      })
    } catch (error) {
      if (!(error instanceof Away)) throw error
      w.tellStory(name, `this round failed: ${error.message}`)
      yield { what: "starts another round", at: w.now + 250 }
    }
  }
}

function* recover(w: World, epoch: number, refused: (epoch: number) => void): Task<void> {
  const { redis } = w
  const run_id = yield* redis.call(`claim.lua, epoch ${epoch}`, () =>
    redis.write(Model.claim(redis.shard, redis.server, epoch)),
  )
  if (typeof run_id === "number") {
    refused(run_id)
    throw new Away("the claim")
  }
  const ids = yield* w.db.read("reads which products there are", () =>
    w.product.values().map((row) => row.id),
  )
  const left = yield* redis.call("reads what the stream holds", () => redis.shard.stream)
  if (left.length > 0) {
    yield* w.broker.publish(
      `publishes ${left.map((entry) => entry.order_num).join(", ")}`,
      left.map((entry) => messageOf(w, entry)),
    )
  }
  yield* w.broker.publish(
    `publishes barrier ${epoch}`,
    Array.from({ length: PARTITIONS }, (_, p) => [
      "reservations",
      p,
      { type: "seckill.barrier", key: "", value: epoch },
    ]),
  )
  w.barriersSent.set(epoch, {
    partition: PARTITION,
    offset: w.broker.partition("reservations", PARTITION).length - 1,
    life: w.broker.life,
  })
  if (w.has("barrier")) {
    const isReached = () =>
      Array.from({ length: PARTITIONS }, (_, p) => p).every(
        (p) => (w.barrier.get(String(p))?.epoch ?? 0) >= epoch,
      )
    yield {
      what: `barrier ${epoch} is recorded on every partition`,
      until: isReached,
      at: w.now + BARRIER_PATIENCE_MS,
    }
    if (!isReached()) throw new Away("the barrier")
  }
  for (const id of ids) yield* rebuild(w, id, epoch)
  const isOpen = yield* redis.call(`fence.lua, epoch ${epoch}`, () =>
    redis.write(Model.openFence(redis.shard, redis.server, epoch, run_id)),
  )
  if (!isOpen) throw new Away("the claim")
}

const rowOf = (order: OrderRow): Model.LoadedRow => ({
  user_id: order.user_id,
  order_num: order.order_num,
  quantity: order.quantity,
  request_id: order.request_id,
  live: isLive(order.state),
})

/** One product, its row locked: nothing is sold, cancelled or created meanwhile. */
const rebuild = (w: World, id: number, epoch: number): Task<void> =>
  w.db.transaction(`product ${id} rebuilt`, function* (tx) {
    const { redis } = w
    yield* tx.lock(w.product, String(id))
    const row = tx.get(w.product, String(id))!
    const held = yield* redis.call(`reads the generation of product ${id}`, () => generationIn(w, id))
    const generation = Math.max(row.generation, held) + 1
    tx.put(w.product, String(id), { ...row, generation })
    const orders = yield* w.call("ordering", "lists reservations", () =>
      w.db.read("reads orders", () =>
        w.order
          .values()
          .filter((order) => order.product_id === id)
          .sort((a, b) => a.id - b.id)
          .map(rowOf),
      ),
    )
    const isLoaded = yield* redis.call(`load.lua, generation ${generation}`, () =>
      redis.write(Model.load(redis.shard, { product_id: id, epoch, generation, first: true, rows: orders })),
    )
    if (!isLoaded) throw new Away("the claim")
    const [state] = yield* redis.call(`warmup.lua, stock ${row.stock}`, () =>
      redis.write(
        Model.warmUp(redis.shard, redis.server, {
          product_id: id,
          epoch,
          product: productOf(row, generation),
        }),
      ),
    )
    if (state !== 1) throw new Away("the claim")
  })

/** A product as recovery and a publisher write it. */
export const productOf = (row: ProductRow, generation: number): Model.Product => ({
  gen: generation,
  open: true,
  start: 0,
  end: 0,
  limit: row.per_user_limit,
  price: row.price,
  stock: row.stock,
  // As the store counts it: versions rise over generations too.
  ver: generation * 2 ** 32,
})
