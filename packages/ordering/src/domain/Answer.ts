/** What a number says while it has no row: the last step of asking MySQL, then Redis, then MySQL again. */

/** What Redis said of the number: `unknown` where it couldn't be asked, or can't be trusted. */
export type RedisSays = "none" | "live" | "released" | "unknown"

export interface Unwritten {
  /** The generation inside the number. */
  readonly generation: number
  /** The product's generation in MySQL, read together with the order's absence. */
  readonly currentGeneration: number
  readonly redis: RedisSays
  /** When the number was made, Unix ms. */
  readonly madeAtMs: number
  /** The shard's Redis clock, Unix ms; 0 where it wasn't asked. */
  readonly redisTimeMs: number
}

/**
 * How long after a number was made its reservation may still be executed, ms. The edge gives an item 800 ms; the rest
 * covers the differences between the clocks of inventory's nodes and of the shards.
 */
export const NOT_AFTER_HORIZON_MS = 5_000

/**
 * `lost`: the shard was rebuilt since, and recovery raises the generation only after everything relayed before it was
 * decided. `not_reserved`: Redis has no record, and may not execute it any more. Else it is still on its way.
 * `not_reserved` is knowledge of the open shard and is written nowhere: while the shard can't be asked, the same number
 * is `queued` again, until it is `lost` or `not_reserved`. It never becomes an order, and was never promised.
 */
export const answer = (n: Unwritten): "queued" | "lost" | "not_reserved" => {
  if (n.generation < n.currentGeneration) return "lost"
  if (n.redis === "none" && n.redisTimeMs > n.madeAtMs + NOT_AFTER_HORIZON_MS) return "not_reserved"
  return "queued"
}
