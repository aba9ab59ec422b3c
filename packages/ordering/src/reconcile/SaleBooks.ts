/** What the reconciler reads of the sale in Redis: a product's numbers, its buyers' records, a shard's stream. */
import { Redis } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type LiveRecord, liveOf } from "./domain/Stock.ts"

/** The keys of a sale, as `lua/reserve.lua` describes what they hold. */
export const keys = {
  fence: (shard: number) => Shards.key(shard, "fence"),
  stream: (shard: number) => Shards.key(shard, "stream"),
  product: (productId: number) => Shards.key(Shards.shardOf(productId), `p:${productId}`),
  buyers: (productId: number, generation: number) =>
    Shards.key(Shards.shardOf(productId), `b:${productId}:${generation}`),
} as const

const ledger = RedisScript.define("ledger", { keys: 3 })

/** Buyers that one script call reads: some 300 µs of the shard's time. */
export const BUYERS_A_PAGE = 500

/** Entries that one call reads of a stream. */
const ENTRIES_A_PAGE = 1_000

/** A read of Redis while a product's row is locked must not keep the lock. */
const DEADLINE_MS = 250

/** A read of a page, or of all streams' heads. */
const PAGE_DEADLINE_MS = 1_000

export interface SalePage {
  /** Proved equal to MySQL under this run of the server. */
  readonly open: boolean
  /** 0: there is no such product here. */
  readonly generation: number
  readonly stock: number
  readonly version: number
  readonly buyers: number
  /** "0": this was the last page. */
  readonly cursor: string
  readonly userIds: ReadonlyArray<number>
  readonly live: ReadonlyArray<LiveRecord>
}

export interface OldestEntry {
  readonly shard: number
  readonly orderNum: string
  /** By the shard's own clock. */
  readonly ageMs: number
}

/** Fails as `Redis.run`. */
export class SaleBooks extends Context.Tag("@floodgate/ordering/reconcile/SaleBooks")<
  SaleBooks,
  {
    /** A product's numbers, and a page of its buyers; `cursor` undefined: the numbers only. */
    readonly page: (
      productId: number,
      generation: number,
      cursor: string | undefined,
    ) => Effect.Effect<SalePage, RedisError>
    /** Which of these buyers' numbers are live in their records. */
    readonly liveOfBuyers: (
      productId: number,
      generation: number,
      userIds: ReadonlyArray<number>,
    ) => Effect.Effect<ReadonlyArray<LiveRecord>, RedisError>
    /** Which of these numbers have an entry in the shard's stream. */
    readonly queued: (
      shard: number,
      orderNums: ReadonlySet<string>,
    ) => Effect.Effect<ReadonlySet<string>, RedisError>
    /** The oldest entry of each shard whose stream has one older than so many ms. */
    readonly oldEntries: (ms: number) => Effect.Effect<ReadonlyArray<OldestEntry>, RedisError>
  }
>() {}

const paged = { deadlineMs: PAGE_DEADLINE_MS } as const

const orderNumOf = (fields: ReadonlyArray<string>): string => fields[1]?.split(" ")[0] ?? ""

const make = Effect.gen(function* () {
  const redis = yield* Redis
  const context = yield* Effect.context<Redis>()
  yield* Effect.orDie(ledger.preload)

  const page = Effect.fnUntraced(function* (productId: number, generation: number, cursor?: string) {
    const shard = Shards.shardOf(productId)
    const reply = yield* ledger
      .run(
        [keys.fence(shard), keys.product(productId), keys.buyers(productId, generation)],
        [generation, cursor ?? "0", cursor === undefined ? 0 : BUYERS_A_PAGE],
        { deadlineMs: cursor === undefined ? DEADLINE_MS : PAGE_DEADLINE_MS },
      )
      .pipe(Effect.provide(context))
    if (!Array.isArray(reply)) return yield* Effect.dieMessage("ledger.lua answered in a shape of its own")
    const [open, current, stock, version, buyers, next, ...records] = reply as Array<number | string>
    const userIds: Array<number> = []
    const live: Array<LiveRecord> = []
    for (let i = 0; i < records.length; i += 2) {
      const userId = Number(records[i])
      userIds.push(userId)
      live.push(...liveOf(userId, String(records[i + 1])))
    }
    return {
      open: open === 1,
      generation: Number(current),
      stock: Number(stock),
      version: Number(version),
      buyers: Number(buyers),
      cursor: String(next),
      userIds,
      live,
    }
  })

  return SaleBooks.of({
    page,

    liveOfBuyers: (productId, generation, userIds) =>
      userIds.length === 0
        ? Effect.succeed([])
        : redis
            .run("reconcile.buyers", (c) =>
              c.hmget(keys.buyers(productId, generation), ...userIds.map(String)),
            )
            .pipe(Effect.map((records) => records.flatMap((record, i) => liveOf(userIds[i]!, record ?? "")))),

    queued: Effect.fn("SaleBooks.queued")(function* (shard, orderNums) {
      const found = new Set<string>()
      for (let from = "-"; found.size < orderNums.size; ) {
        const rows = yield* redis.run(
          "reconcile.stream",
          (c) => c.xrange(keys.stream(shard), from, "+", "COUNT", ENTRIES_A_PAGE),
          paged,
        )
        for (const [, fields] of rows) {
          const orderNum = orderNumOf(fields)
          if (orderNums.has(orderNum)) found.add(orderNum)
        }
        const last = rows.at(-1)
        if (last === undefined || rows.length < ENTRIES_A_PAGE) break
        from = `(${last[0]}`
      }
      return found
    }),

    oldEntries: Effect.fn("SaleBooks.oldEntries")(function* (ms) {
      const old: Array<OldestEntry> = []
      const shards = Array.from({ length: Shards.SHARDS }, (_, shard) => shard)
      const [time, oldest] = yield* redis.run(
        "reconcile.oldest",
        (c) =>
          Promise.all([
            c.time(),
            Promise.all(shards.map((shard) => c.xrange(keys.stream(shard), "-", "+", "COUNT", 1))),
          ]),
        paged,
      )
      const nowMs = Number(time[0]) * 1_000 + Math.floor(Number(time[1]) / 1_000)
      for (const shard of shards) {
        const entry = oldest[shard]?.[0]
        if (entry === undefined) continue
        const ageMs = nowMs - Number(entry[0].split("-")[0])
        if (ageMs > ms) old.push({ shard, orderNum: orderNumOf(entry[1]), ageMs })
      }
      return old
    }),
  })
})

export const layer: Layer.Layer<SaleBooks, never, Redis> = Layer.effect(SaleBooks, make)
