/** What endpoints of others are told, and when a delivery is given up. */
import type { OrderChange, OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import * as Pause from "./Pause.ts"

export const eventTypes = ["order.paid", "order.cancelled", "order.refunded"] as const
export type EventType = (typeof eventTypes)[number]

export const isEventType = (text: string): text is EventType =>
  (eventTypes as ReadonlyArray<string>).includes(text)

/** A message as a receiver reads it. Receivers drop an `event_id` that they know. */
export interface WebhookEvent {
  /** The order and its version: the same change has the same id, whatever is sent again. */
  readonly event_id: string
  readonly type: EventType
  /** RFC 3339 UTC. */
  readonly occurred_at: string
  readonly order_num: string
  /** Rises with every change of the order: the higher one is the newer. */
  readonly version: number
  readonly state: string
  readonly user_id: number
  readonly product_id: number
  readonly quantity: number
  /** Why it was cancelled. */
  readonly reason: string | null
  readonly payment_id: string | null
}

export const eventOf = (
  event: Pick<OrderEvent, "occurred_at">,
  type: EventType,
  change: OrderChange,
): WebhookEvent => ({
  event_id: `${change.order_num}.${change.version}`,
  type,
  occurred_at: event.occurred_at,
  order_num: change.order_num,
  version: change.version,
  state: change.state,
  user_id: change.user_id,
  product_id: change.product_id,
  quantity: change.quantity,
  reason: change.reason ?? null,
  payment_id: change.payment_id ?? null,
})

export interface RetryPolicy {
  /** The pause after the first failure, s; it doubles with each. */
  readonly firstS: number
  readonly maxS: number
  /** After so many attempts a delivery has failed, until an operator sends it again. */
  readonly attempts: number
}

/** 5 s, 10 s, 20 s … at most an hour apart: 16 attempts take some six hours. */
export const retries: RetryPolicy = { firstS: 5, maxS: 3_600, attempts: 16 }

/** Seconds until the next attempt after `attempts` that failed; undefined where it is given up. */
export const pauseAfter = (policy: RetryPolicy, attempts: number): number | undefined =>
  attempts >= policy.attempts ? undefined : Pause.growing(policy.firstS, policy.maxS, attempts)
