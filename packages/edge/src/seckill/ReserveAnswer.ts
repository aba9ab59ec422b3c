/**
 * What each of inventory's answers to a reservation says to the buyer: one table. They are values until here, because
 * in a rush "sold out" is the most common answer of all and must cost no more than a string.
 */
import { type CatalogueRow, catalogue } from "@floodgate/contracts/errors/Catalogue"
import * as Instant from "@floodgate/contracts/http/Instant"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import type { Language } from "../http/Language.ts"
import * as Reply from "../http/Reply.ts"

/** One item's answer. */
export interface ReserveOutcome {
  readonly code: number
  /** Reserved, held already, or to ask for; empty where there is none. */
  readonly orderNum: string
  /** What the code says it is. */
  readonly detail: number
  /** ALREADY_BOUGHT: every live number of the buyer. */
  readonly liveOrderNums: ReadonlyArray<string>
}

/** How soon a client should ask for its number: about what the way to a committed order takes. */
export const POLL_AFTER_MS = 200

const NO_NUMBERS: ReadonlyArray<string> = []

/** Inventory did nothing, or can't be reached. */
export const notExecuted: ReserveOutcome = {
  code: ReserveCode.NOT_EXECUTED,
  orderNum: "",
  detail: 0,
  liveOrderNums: NO_NUMBERS,
}

/** Asked, but not answered in time, nor is a number known. The same key again will tell. */
export const unknown: ReserveOutcome = { ...notExecuted, code: ReserveCode.UNKNOWN }

type Data = Record<string, unknown> | null
type Refusal = readonly [row: CatalogueRow, data: (outcome: ReserveOutcome) => Data]

const none = (): Data => null

const busy: Refusal = [catalogue.BUSY, none]

const refusals: Record<number, Refusal> = {
  [ReserveCode.SOLD_OUT]: [catalogue.SOLD_OUT, (o) => ({ left: o.detail })],
  [ReserveCode.ALREADY_BOUGHT]: [
    catalogue.ALREADY_BOUGHT,
    (o) => ({ order_num: o.orderNum, order_nums: o.liveOrderNums, limit: o.detail }),
  ],
  [ReserveCode.NOT_STARTED]: [catalogue.NOT_STARTED, (o) => ({ start_time: Instant.format(o.detail) })],
  [ReserveCode.ENDED]: [catalogue.ENDED, (o) => ({ end_time: Instant.format(o.detail) })],
  [ReserveCode.NOT_ON_SALE]: [catalogue.NOT_ON_SALE, none],
  [ReserveCode.EXPIRED]: busy,
  [ReserveCode.FENCED]: busy,
  [ReserveCode.KEY_REUSED]: [catalogue.IDEMPOTENCY_MISMATCH, none],
  [ReserveCode.STALE_GENERATION]: busy,
  [ReserveCode.BACKLOG_FULL]: busy,
  [ReserveCode.PAUSED]: busy,
  [ReserveCode.NOT_EXECUTED]: busy,
  [ReserveCode.UNKNOWN]: [catalogue.BUSY, (o) => (o.orderNum === "" ? null : { order_num: o.orderNum })],
  [ReserveCode.NO_SUCH_PRODUCT]: [catalogue.NOT_FOUND, none],
}

/** A code of a newer inventory: a defect of the deployment, to be logged by the caller. */
const internal: Refusal = [catalogue.INTERNAL, none]

const queued = (orderNum: string, repeated: boolean): Reply.Reply => {
  const reply = Reply.success(202, { order_num: orderNum, status: "queued", poll_after_ms: POLL_AFTER_MS })
  reply.headers["location"] = `/orders/${orderNum}`
  if (repeated) reply.headers["idempotent-replayed"] = "true"
  return reply
}

/** Whether the table knows the code. */
export const isKnown = (code: number): boolean =>
  code === ReserveCode.RESERVED || code === ReserveCode.REPEATED || code in refusals

export const encode = (outcome: ReserveOutcome, language: Language): Reply.Reply => {
  if (outcome.code === ReserveCode.RESERVED) return queued(outcome.orderNum, false)
  if (outcome.code === ReserveCode.REPEATED) return queued(outcome.orderNum, true)
  const [row, data] = refusals[outcome.code] ?? internal
  return Reply.ofRow(row, data(outcome), language)
}
