/** The keys of a sale in Redis. All keys of a product carry its shard's hash tag, so one script may touch them all. */
import * as Shards from "@floodgate/runtime/redis/Shards"

/**
 * hash: epoch, run_id under which the shard was last proved equal to MySQL, claim of the recovery at work; paused and
 * pause_rev: the switch of all sales.
 */
export const fence = (shard: number): string => Shards.key(shard, "fence")

/** The open reservations of the shard: an entry stays until its outcome is in MySQL. */
export const stream = (shard: number): string => Shards.key(shard, "stream")

/** Which relay reads the stream. */
export const relayLease = (shard: number): string => Shards.key(shard, "relay")

/** hash: gen, open, open_ver, start, end, limit, price, stock, ver, expire. */
export const product = (productId: number): string => Shards.key(Shards.shardOf(productId), `p:${productId}`)

/** hash: user id → record of that buyer's reservations. */
export const buyers = (productId: number, generation: number): string =>
  Shards.key(Shards.shardOf(productId), `b:${productId}:${generation}`)

/** hash: adjustment id → what became of that stock change in this generation. */
export const adjustments = (productId: number, generation: number): string =>
  Shards.key(Shards.shardOf(productId), `a:${productId}:${generation}`)
