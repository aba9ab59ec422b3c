/** A reservation: what a buyer may ask for, and what the shard answered. The rules themselves are `lua/reserve.lua`. */
import { MAX_BATCH, ReserveCode } from "@floodgate/contracts/sale/ReserveCode"

/** Many buyers' wishes for one product, in columns: entry i of each is item i. */
export interface ReservationBatch {
  readonly product_id: number
  readonly user_ids: ReadonlyArray<number>
  readonly quantities: ReadonlyArray<number>
  /** One an item; the same id again gets the first answer again. */
  readonly request_ids: ReadonlyArray<string>
  /** Unix ms by the shard's clock; past it the item has no effect. */
  readonly not_after_ms: ReadonlyArray<number>
  /** Which items carry a trace, counted from 0, rising. */
  readonly traced_items: ReadonlyArray<number>
  /** Their W3C traceparents, in the same order; a malformed one is as none. */
  readonly traceparents: ReadonlyArray<string>
}

/** The answers, in the same columns. */
export interface ReservationAnswers {
  readonly codes: Array<ReserveCode>
  /** The number reserved, the number already held, or the number to ask for where the outcome is unknown; else empty. */
  readonly order_nums: Array<string>
  /** What is left, the limit, or the window's edge in Unix ms, as ReserveCode says; else 0. */
  readonly details: Array<number>
  /** Live numbers of the buyers answered ALREADY_BOUGHT, in item order, comma separated. */
  readonly live_order_nums: Array<string>
  /** The shard's clock, Unix ms; 0 where it did not answer. */
  readonly server_time_ms: number
  /** The product's generation in Redis; 0 where it isn't there, or the shard did not say. */
  readonly generation: number
  /** Stock left after this batch, and its version, which rises with every change; -1 and 0 where the shard did not say. */
  readonly stock: number
  readonly stock_version: number
}

/** One thing wrong with a batch. */
export interface BatchProblem {
  readonly path: string
  readonly message: string
}

const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/

/** Above every limit that a product may have, so that a sum of a buyer's quantities stays exact. */
export const MAX_QUANTITY = 1_000_000

const isId = (n: number): boolean => Number.isSafeInteger(n) && n > 0

/** What is wrong with a batch, the first thing found; undefined for a good one. Records hold its texts separated by commas, so their shape matters. */
export const problemOf = (batch: ReservationBatch): BatchProblem | undefined => {
  const n = batch.user_ids.length
  if (!isId(batch.product_id)) return { path: "product_id", message: "must be a positive integer" }
  if (n === 0 || n > MAX_BATCH) return { path: "user_id", message: `must hold 1 to ${MAX_BATCH} items` }
  if (batch.quantities.length !== n) return { path: "quantity", message: "must hold one an item" }
  if (batch.request_ids.length !== n) return { path: "request_id", message: "must hold one an item" }
  if (batch.not_after_ms.length !== n) return { path: "not_after_ms", message: "must hold one an item" }
  if (batch.traceparents.length !== batch.traced_items.length)
    return { path: "traceparent", message: "must hold one a traced item" }
  for (let i = 0; i < n; i++) {
    const quantity = batch.quantities[i]!
    if (!isId(batch.user_ids[i]!)) return { path: `user_id.${i}`, message: "must be a positive integer" }
    if (!isId(quantity) || quantity > MAX_QUANTITY)
      return { path: `quantity.${i}`, message: `must be 1 to ${MAX_QUANTITY}` }
    if (!REQUEST_ID.test(batch.request_ids[i]!))
      return { path: `request_id.${i}`, message: "must be 1 to 64 characters of base64url" }
    if (!Number.isSafeInteger(batch.not_after_ms[i]!))
      return { path: `not_after_ms.${i}`, message: "must be Unix milliseconds" }
  }
  for (let i = 0, previous = -1; i < batch.traced_items.length; i++) {
    const item = batch.traced_items[i]!
    if (!Number.isInteger(item) || item <= previous || item >= n)
      return { path: `traced_item.${i}`, message: "must name items, rising" }
    previous = item
  }
  return undefined
}

/** Answers every item alike, for what the script did not answer. The numbers are told where the outcome is unknown. */
export const sameAnswer = (
  code: typeof ReserveCode.NOT_EXECUTED | typeof ReserveCode.UNKNOWN,
  order_nums: ReadonlyArray<string>,
): ReservationAnswers => ({
  codes: order_nums.map(() => code),
  order_nums: order_nums.map((order_num) => (code === ReserveCode.UNKNOWN ? order_num : "")),
  details: order_nums.map(() => 0),
  live_order_nums: [],
  server_time_ms: 0,
  generation: 0,
  stock: -1,
  stock_version: 0,
})

const REPLY_HEAD = 4

/**
 * Reads the reply of `lua/reserve.lua` to items that carried these order numbers. Undefined for a reply of another
 * shape, which is a defect of the script.
 */
export const answersOf = (
  reply: unknown,
  order_nums: ReadonlyArray<string>,
): ReservationAnswers | undefined => {
  const n = order_nums.length
  if (!Array.isArray(reply) || reply.length < REPLY_HEAD + 2 * n) return undefined
  const codes = new Array<ReserveCode>(n)
  const details = new Array<number>(n)
  const nums = new Array<string>(n)
  for (let i = 0; i < n; i++) {
    const code = reply[REPLY_HEAD + 2 * i] as ReserveCode
    codes[i] = code
    details[i] = reply[REPLY_HEAD + 2 * i + 1] as number
    nums[i] = code === ReserveCode.RESERVED ? order_nums[i]! : ""
  }
  const live: Array<string> = []
  for (let at = REPLY_HEAD + 2 * n; at + 2 < reply.length; at += 3) {
    const item = (reply[at] as number) - 1
    nums[item] = reply[at + 1] as string
    if (codes[item] === ReserveCode.ALREADY_BOUGHT) live.push(reply[at + 2] as string)
  }
  return {
    codes,
    order_nums: nums,
    details,
    live_order_nums: live,
    server_time_ms: reply[0] as number,
    generation: reply[1] as number,
    stock: reply[2] as number,
    stock_version: reply[3] as number,
  }
}
