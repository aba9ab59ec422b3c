/**
 * An entry of a shard's stream, as `lua/reserve.lua` writes it: `order_num user_id quantity request_id price
 * limit[ traceparent]`. Product and generation are in the order number; the time is the entry's id.
 */
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"

export interface StreamEntry {
  /** The stream's id, `<Unix ms>-<n>`. */
  readonly id: string
  readonly order_num: string
  /** When it was reserved, Unix ms by the shard's Redis. */
  readonly reserved_at_ms: number
  readonly event: ReservationEvent
}

const integer = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined
  const n = Number(text)
  return Number.isSafeInteger(n) ? n : undefined
}

/** Reads an entry; undefined for a text that the script never wrote. */
export const decode = (id: string, text: string): StreamEntry | undefined => {
  const [order_num = "", user, count, request_id, cost, limit, traceparent] = text.split(" ")
  const fields = OrderNum.parse(order_num)
  const reserved_at_ms = integer(id.split("-")[0])
  const user_id = integer(user)
  const quantity = integer(count)
  const price = integer(cost)
  const per_user_limit = integer(limit)
  if (
    fields === undefined ||
    reserved_at_ms === undefined ||
    user_id === undefined ||
    quantity === undefined ||
    request_id === undefined ||
    price === undefined ||
    per_user_limit === undefined
  ) {
    return undefined
  }
  return {
    id,
    order_num,
    reserved_at_ms,
    event: {
      event_id: order_num,
      type: "seckill.reserved",
      version: 1,
      order_num,
      user_id,
      product_id: fields.productId,
      generation: fields.generation,
      quantity,
      price,
      per_user_limit,
      request_id,
      reserved_at_ms,
      ...(traceparent === undefined ? {} : { traceparent }),
    },
  }
}
