/**
 * The answer codes of `lua/reserve.lua`, shared with TypeScript (a test holds the two equal), and those that
 * inventory adds where the script was not, or not certainly, executed.
 */
export const ReserveCode = {
  /** Reserved now; the item's own order number holds. */
  RESERVED: 0,
  /** The same request id was answered before: its first order number again. */
  REPEATED: 1,
  /** detail: how many are left. */
  SOLD_OUT: 2,
  /** detail: the limit; order_num: the newest live number. Also where the buyer's 5 reservations are used up. */
  ALREADY_BOUGHT: 3,
  /** detail: start, Unix ms. */
  NOT_STARTED: 4,
  /** detail: end, Unix ms. */
  ENDED: 5,
  /** Draft, closed or withdrawn. */
  NOT_ON_SALE: 6,
  /** `not_after` was past by the shard's clock: nothing was done. */
  EXPIRED: 7,
  /** The shard isn't proved equal to MySQL: nothing was done. */
  FENCED: 8,
  /** The same request id with another quantity. */
  KEY_REUSED: 9,
  /** The order number was made for another generation than the product's (detail: the current one). Inventory retries. */
  STALE_GENERATION: 10,
  /** The shard's stream is at its bound: nothing was done. */
  BACKLOG_FULL: 11,
  /** An operator paused all sales: nothing was done. */
  PAUSED: 12,
  /** Not from the script: certainly not executed (no connection, breaker open). */
  NOT_EXECUTED: 20,
  /** Not from the script: sent, no answer in time. order_num will tell the truth. */
  UNKNOWN: 21,
  /** Not from the script: there is no such product. */
  NO_SUCH_PRODUCT: 22,
} as const

export type ReserveCode = (typeof ReserveCode)[keyof typeof ReserveCode]

/** How many reservations, live or released, one buyer may make of one product. */
export const MAX_RESERVATIONS_PER_BUYER = 5

/** Items that a call of ReserveBatch, or of ReserveBatches in all, may carry. */
export const MAX_BATCH = 128
