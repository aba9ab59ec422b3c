/** What ordering shows of the orders that it makes and changes. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as SaleFunnel from "@floodgate/runtime/metrics/SaleFunnel"
import type { RejectReason } from "../domain/OrderState.ts"
import type { BatchResult } from "../store/OrderStore.ts"
import type { Applied } from "../store/PaymentStore.ts"

const commit = Instrument.histogram(
  "floodgate_order_commit_seconds",
  "From a reservation in Redis, by its clock, to the commit of its order or tombstone, by ours",
  {},
  [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
)

const REASONS: ReadonlyArray<RejectReason> = ["stock", "limit", "generation", "lost", "not_reserved"]

const rejected = Instrument.counter(
  "floodgate_orders_rejected_total",
  "Reservations that became tombstones, by reason",
  { reason: [...REASONS, "other"] },
)

const batchOrders = Instrument.histogram(
  "floodgate_order_batch_items",
  "Reservations decided by one transaction",
  {},
  [1, 2, 5, 10, 25, 50, 100, 250, 500],
)

/** A batch was committed. */
export const decided = (result: BatchResult["decided"]): void => {
  if (result.length === 0) return
  const nowMs = Date.now()
  batchOrders.observe({}, result.length)
  for (const { event, verdict } of result) {
    commit.observe({}, Math.max(0, nowMs - event.reserved_at_ms) / 1_000)
    if (verdict === "fits") SaleFunnel.persisted(1)
    else {
      SaleFunnel.rejected(1)
      rejected.inc({ reason: verdict })
    }
  }
}

/** A dead letter was given up, and its reservation with it. */
export const givenUp = (): void => {
  SaleFunnel.rejected(1)
  rejected.inc({ reason: "lost" })
}

/** What payment told was committed. */
export const applied = (told: Applied, refundStatus: string | undefined): void => {
  if (told._tag !== "applied") return
  if (told.capture?._tag === "pay") SaleFunnel.paid(1)
  if (told.moved === true && refundStatus === "succeeded") SaleFunnel.refunded(1)
}

/** So many orders were cancelled. */
export const cancelled = (orders: number): void => SaleFunnel.cancelled(orders)
