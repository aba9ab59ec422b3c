/** What inventory tells others, as rows of its outbox. */
import { randomUUID } from "node:crypto"
import type { InventoryEvent } from "@floodgate/contracts/events/InventoryEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import type { OutboxRow } from "@floodgate/runtime/outbox/Outbox"

export interface Told {
  readonly type: InventoryEvent["type"]
  readonly product: { readonly id: number; readonly stock: number; readonly version: number }
  /** What the shard held when it took a stock change in. */
  readonly held?: { readonly stock: number; readonly version: number } | undefined
  readonly nowMs: number
  readonly traceparent: string | undefined
}

export const row = ({ held, nowMs, product, traceparent, type }: Told): OutboxRow => {
  const event: InventoryEvent = {
    event_id: `evt_${randomUUID()}`,
    type,
    version: 1,
    aggregate: String(product.id),
    occurred_at: new Date(nowMs).toISOString(),
    product_id: product.id,
    stock: product.stock,
    product_version: product.version,
    ...(held === undefined ? {} : { available: held.stock, stock_version: held.version }),
    ...(traceparent === undefined ? {} : { traceparent }),
  }
  return {
    event_id: event.event_id,
    topic: Topic.InventoryEvents,
    aggregate: event.aggregate,
    type: event.type,
    payload: JSON.stringify(event),
    traceparent,
  }
}
