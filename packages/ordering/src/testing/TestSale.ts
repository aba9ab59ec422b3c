/** The sale's side of Redis, by the real scripts: warm-up, reservations, releases, stock changes, recovery. For tests only. */
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Effect from "effect/Effect"
import { keys } from "../reconcile/SaleBooks.ts"
import { OrderStore } from "../store/OrderStore.ts"
import { KEY, query } from "./Fixture.ts"

const scripts = {
  reserve: RedisScript.define("reserve", { keys: 4 }),
  release: RedisScript.define("release", { keys: 3 }),
  warmup: RedisScript.define("warmup", { keys: 2 }),
  adjust: RedisScript.define("adjust", { keys: 3 }),
  claim: RedisScript.define("claim", { keys: 1 }),
  fence: RedisScript.define("fence", { keys: 1 }),
  load: RedisScript.define("load", { keys: 3 }),
}

const PRICE = 9900

let epoch = 0
let request = 0

/** Has the product's shard equal to MySQL again, under the product's next generation, as recovery does. */
export const rebuild = (productId: number) =>
  Effect.gen(function* () {
    const orders = yield* OrderStore
    const shard = Shards.shardOf(productId)
    const at = ++epoch
    const [, runId] = (yield* scripts.claim.run([keys.fence(shard)], [at])) as [number, string]
    const [row] = yield* query<{ stock: number; generation: number; per_user_limit: number }>(
      "SELECT stock, generation, per_user_limit FROM {inventory}.product WHERE id = ?",
      [productId],
    )
    const generation = row!.generation + 1
    yield* query("UPDATE {inventory}.product SET generation = ? WHERE id = ?", [generation, productId])
    const args = (yield* orders.reservations(productId, 0, 5_000)).flatMap((r) => [
      String(r.user_id),
      r.order_num,
      r.quantity,
      r.request_id,
      r.live ? "l" : "r",
    ])
    yield* scripts.load.run(
      [keys.fence(shard), keys.product(productId), keys.buyers(productId, generation)],
      [at, generation, 1, 0, ...args],
    )
    yield* scripts.warmup.run(
      [keys.fence(shard), keys.product(productId)],
      [
        ...[at, generation, 0, "open", 1, "start", 0, "end", 0, "limit", row!.per_user_limit],
        ...["price", PRICE, "stock", row!.stock, "ver", generation * 1_000_000],
      ],
    )
    yield* scripts.fence.run([keys.fence(shard)], [at, runId, 0, 0])
    return generation
  })

/** One reservation of one buyer: its number, or undefined where the script refused. */
export const reserve = (productId: number, generation: number, userId: number, quantity = 1) =>
  Effect.gen(function* () {
    const orderNum = OrderNum.make(KEY, userId, { timeMs: Date.now(), productId, generation })
    const shard = Shards.shardOf(productId)
    const requestId = `r${String(++request).padStart(15, "0")}`
    const reply = (yield* scripts.reserve.run(
      [keys.fence(shard), keys.stream(shard), keys.product(productId), keys.buyers(productId, generation)],
      [generation, 100_000, 1, userId, quantity, requestId, Date.now() + 60_000, orderNum],
    )) as ReadonlyArray<number>
    return reply[4] === 0 ? orderNum : undefined
  })

/** What the shard's stream holds, as the relay tells it, with the entries' ids. */
export const entries = (shard: number) =>
  Effect.gen(function* () {
    const redis = yield* Redis
    const rows = yield* redis.run("test.entries", (c) => c.xrange(keys.stream(shard), "-", "+"))
    return rows.map(([id, fields]) => {
      const [order_num = "", user, quantity, request_id = "", price, limit] = fields[1]!.split(" ")
      const { generation, productId } = OrderNum.parse(order_num)!
      const event: ReservationEvent = {
        event_id: order_num,
        type: "seckill.reserved",
        version: 1,
        order_num,
        user_id: Number(user),
        product_id: productId,
        generation,
        quantity: Number(quantity),
        price: Number(price),
        per_user_limit: Number(limit),
        request_id,
        reserved_at_ms: Number(id.split("-")[0]),
      }
      return { id, event }
    })
  })

/** Decides what the shard's stream holds, and lets go of it, as worker and relay do. */
export const createOrders = (productId: number) =>
  Effect.gen(function* () {
    const redis = yield* Redis
    const orders = yield* OrderStore
    const shard = Shards.shardOf(productId)
    const found = yield* entries(shard)
    if (found.length === 0) return 0
    yield* orders.createBatch(
      found.map(({ event }) => event),
      [],
    )
    yield* redis.run("test.delete", (c) => c.xdel(keys.stream(shard), ...found.map(({ id }) => id)))
    return found.length
  })

/** Gives back in Redis what an order that ended held. */
export const release = (productId: number, generation: number, userId: number, orderNum: string) =>
  scripts.release.run(
    [keys.fence(Shards.shardOf(productId)), keys.product(productId), keys.buyers(productId, generation)],
    [generation, userId, orderNum],
  )

/** Changes the stock in Redis, once an id. True where it was taken. */
export const adjust = (productId: number, generation: number, id: string, delta: number) =>
  scripts.adjust
    .run(
      [
        keys.fence(Shards.shardOf(productId)),
        keys.product(productId),
        Shards.key(Shards.shardOf(productId), `a:${productId}:${generation}`),
      ],
      [generation, id, delta],
    )
    .pipe(Effect.map((reply) => (reply as ReadonlyArray<number>)[0] === 1))
