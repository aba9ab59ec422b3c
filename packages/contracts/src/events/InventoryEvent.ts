/** What inventory tells: a product was published, changed or withdrawn, or an operator changed its stock. */
import * as Schema from "effect/Schema"

/**
 * `stock` is MySQL's: what orders may still take. `available` and `stock_version` are what the shard held when it took
 * an operator's change in (`stock.changed` only): a mark that says "sold out" under an older version is void. Changes by
 * reservations and releases are no events of their own.
 */
export const InventoryEvent = Schema.Struct({
  event_id: Schema.String,
  type: Schema.Literal("product.published", "product.updated", "product.withdrawn", "stock.changed"),
  version: Schema.Literal(1),
  /** The product id, as text. */
  aggregate: Schema.String,
  occurred_at: Schema.String,
  traceparent: Schema.optionalWith(Schema.String, { exact: true }),
  product_id: Schema.Int,
  stock: Schema.Int,
  product_version: Schema.Int,
  available: Schema.optionalWith(Schema.Int, { exact: true }),
  stock_version: Schema.optionalWith(Schema.Int, { exact: true }),
})

export type InventoryEvent = typeof InventoryEvent.Type
