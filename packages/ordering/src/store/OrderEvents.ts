/** The outbox rows by which ordering tells what changed. */
import type { OrderChange, OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"

/** A row for `Outbox.append`. */
export interface OutboxRow {
  readonly event_id: string
  readonly topic: string
  readonly aggregate: string
  readonly type: string
  readonly payload: string
  readonly traceparent?: string
}

/** One message. `occurredAtMs` is MySQL's clock. */
export const row = (o: {
  readonly eventId: string
  readonly type: OrderEvent["type"]
  readonly aggregate: string
  readonly occurredAtMs: number
  readonly traceparent?: string | null
  readonly changes: ReadonlyArray<OrderChange>
}): OutboxRow => {
  const trace = o.traceparent == null ? {} : { traceparent: o.traceparent }
  const event: OrderEvent = {
    event_id: o.eventId,
    type: o.type,
    version: 1,
    aggregate: o.aggregate,
    occurred_at: new Date(o.occurredAtMs).toISOString(),
    ...trace,
    changes: o.changes,
  }
  return {
    event_id: o.eventId,
    topic: Topic.OrderEvents,
    aggregate: o.aggregate,
    type: o.type,
    payload: JSON.stringify(event),
    ...trace,
  }
}
