/** A product and its stock log as the console shows them, made from inventory's messages. */

import { create } from "@bufbuild/protobuf"
import {
  type StockLogEntry as LogMessage,
  type ManagedProduct as Message,
  ProductSchema,
  ProductStatus,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import type { AdminProduct, StockLogEntry } from "@floodgate/contracts/http/AdminProduct"
import { format } from "@floodgate/contracts/http/Instant"
import * as ProductView from "../products/ProductView.ts"

export const wireStatusOf = {
  ...ProductView.wireStatusOf,
  draft: ProductStatus.DRAFT,
  withdrawn: ProductStatus.WITHDRAWN,
} as const

const idOrNull = (id: bigint): number | null => (id === 0n ? null : Number(id))

/** `nowMs` is the sale's clock. */
export const of = (message: Message, nowMs: number): AdminProduct => {
  const product = message.product ?? create(ProductSchema)
  return {
    ...ProductView.of(product, nowMs),
    publisher_id: idOrNull(message.publisherId),
    generation: product.generation,
    remaining: Number(message.remaining),
    adjusted: Number(message.adjusted),
    unfinished_adjustments: message.unfinishedAdjustments,
  }
}

/** The columns of an export of products, in order. */
export const columns: ReadonlyArray<keyof AdminProduct> = [
  "id",
  "name",
  "status",
  "price",
  "currency",
  "stock",
  "remaining",
  "initial_stock",
  "adjusted",
  "start_time",
  "end_time",
  "per_user_limit",
  "publisher_id",
  "generation",
  "version",
  "created_at",
  "updated_at",
]

export const logEntryOf = (message: LogMessage): StockLogEntry => ({
  id: Number(message.id),
  product_id: Number(message.productId),
  kind: message.kind,
  ref: message.ref,
  delta: Number(message.delta),
  reason: message.reason === "" ? null : message.reason,
  actor_id: idOrNull(message.actorId),
  created_at: format(Number(message.createdAtMs)),
})

/** The columns of an export of the stock log, in order. */
export const logColumns: ReadonlyArray<keyof StockLogEntry> = [
  "id",
  "product_id",
  "kind",
  "ref",
  "delta",
  "reason",
  "actor_id",
  "created_at",
]
