/**
 * Reads what comes down the reservations topic. The hand-written check stands in for the Schemas of contracts, which
 * cost more than the insert of the row; a property test holds them equal.
 */
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import type { GivenUp } from "../store/OrderStore.ts"

export type ReservationMessage =
  | { readonly _tag: "reservation"; readonly event: ReservationEvent }
  | { readonly _tag: "barrier"; readonly epoch: number }
  /** Not a message of this topic, as far as this version knows. */
  | { readonly _tag: "unreadable"; readonly reason: string }

const unreadable = (reason: string): ReservationMessage => ({ _tag: "unreadable", reason })

const isInt = Number.isSafeInteger as (u: unknown) => u is number

type Loose = { readonly [key: string]: unknown }

const reservation = (o: Loose): ReservationMessage => {
  if (o["version"] !== 1) return unreadable("unknown version")
  const { event_id, order_num, request_id, traceparent } = o
  const { user_id, product_id, generation, quantity, price, per_user_limit, reserved_at_ms } = o
  if (
    typeof event_id !== "string" ||
    typeof order_num !== "string" ||
    typeof request_id !== "string" ||
    !isInt(user_id) ||
    !isInt(product_id) ||
    !isInt(generation) ||
    !isInt(quantity) ||
    !isInt(price) ||
    !isInt(per_user_limit) ||
    !isInt(reserved_at_ms)
  ) {
    return unreadable("a field is missing or of another type")
  }
  const event = {
    event_id,
    type: "seckill.reserved" as const,
    version: 1 as const,
    order_num,
    user_id,
    product_id,
    generation,
    quantity,
    price,
    per_user_limit,
    request_id,
    reserved_at_ms,
  }
  if (!("traceparent" in o)) return { _tag: "reservation", event }
  if (typeof traceparent !== "string") return unreadable("traceparent is not text")
  return { _tag: "reservation", event: { ...event, traceparent } }
}

const barrier = (o: Loose): ReservationMessage => {
  if (o["version"] !== 1) return unreadable("unknown version")
  if (typeof o["event_id"] !== "string" || typeof o["occurred_at"] !== "string" || !isInt(o["epoch"])) {
    return unreadable("a field is missing or of another type")
  }
  return { _tag: "barrier", epoch: o["epoch"] }
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Reads one message's bytes. */
export const read = (value: Uint8Array): ReservationMessage => {
  const parsed = parseJson(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8"))
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    return unreadable("not a JSON object")
  const o = parsed as Loose
  if (o["type"] === "seckill.reserved") return reservation(o)
  if (o["type"] === "seckill.barrier") return barrier(o)
  return unreadable("unknown type")
}

const MAX_QUANTITY = 1_000_000
const MAX_REQUEST_ID = 64
/** The last millisecond that a DATETIME of ours is meant to hold (the year 2286). */
const MAX_TIME_MS = 9_999_999_999_999
const PRINTABLE = /^[\x20-\x7e]*$/

/**
 * Why a well-formed entry can't be one that inventory made; undefined where it can. The number itself proves its
 * buyer, product and generation.
 */
export const implausible = (key: string, event: ReservationEvent): string | undefined => {
  const fields = OrderNum.verify(key, event.order_num, event.user_id)
  if (fields === undefined) return "order_num was not issued to this user"
  if (fields.productId !== event.product_id) return "order_num is of another product"
  if (fields.generation !== event.generation) return "order_num is of another generation"
  if (event.user_id < 1 || event.product_id < 1) return "an id is not positive"
  if (event.quantity < 1 || event.quantity > MAX_QUANTITY) return "quantity out of bounds"
  if (event.price < 0 || !Number.isSafeInteger(event.price * event.quantity)) return "price out of bounds"
  if (event.request_id.length > MAX_REQUEST_ID || !PRINTABLE.test(event.request_id)) {
    return "request_id out of bounds"
  }
  if (event.reserved_at_ms < 0 || event.reserved_at_ms > MAX_TIME_MS) return "reserved_at_ms out of bounds"
  return undefined
}

/** What a message says it is about, whatever else is wrong with it. */
export interface Claim {
  readonly orderNum: string
  /** 0 where it names no buyer. */
  readonly userId: number
}

/** The claim of any bytes; undefined where they name no number. */
export const claimOf = (value: Uint8Array): Claim | undefined => {
  const parsed = parseJson(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8"))
  if (typeof parsed !== "object" || parsed === null) return undefined
  const { order_num, user_id } = parsed as Loose
  if (typeof order_num !== "string" || OrderNum.parse(order_num) === undefined) return undefined
  return { orderNum: order_num, userId: isInt(user_id) && user_id > 0 ? user_id : 0 }
}

const between = (n: unknown, low: number, high: number): n is number => isInt(n) && n >= low && n <= high

/**
 * What is certain of a reservation by its number alone, with the message's own words only where they are plausible;
 * undefined where the number was never issued to the buyer that the message names.
 */
export const salvage = (key: string, value: Uint8Array): GivenUp | undefined => {
  const claim = claimOf(value)
  const fields = claim === undefined ? undefined : OrderNum.verify(key, claim.orderNum, claim.userId)
  if (claim === undefined || fields === undefined) return undefined
  const o = JSON.parse(Buffer.from(value).toString("utf8")) as Loose
  const { quantity, request_id, traceparent } = o
  return {
    order_num: claim.orderNum,
    user_id: claim.userId,
    product_id: fields.productId,
    generation: fields.generation,
    quantity: between(quantity, 1, MAX_QUANTITY) ? quantity : 1,
    request_id:
      typeof request_id === "string" && request_id.length <= MAX_REQUEST_ID && PRINTABLE.test(request_id)
        ? request_id
        : "",
    reserved_at_ms: between(fields.timeMs, 0, MAX_TIME_MS) ? fields.timeMs : 0,
    traceparent:
      typeof traceparent === "string" &&
      traceparent.length <= 55 &&
      TraceContext.parse(traceparent) !== undefined
        ? traceparent
        : null,
  }
}
