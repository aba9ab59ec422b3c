/** What inventory tells: a product was published, or its stock changed. */
import * as Schema from "effect/Schema"

export const InventoryEvent = Schema.Struct({
  event_id: Schema.String,
  type: Schema.Literal("product.published", "stock.changed"),
  version: Schema.Literal(1),
  /** The product id, as text. */
  aggregate: Schema.String,
  occurred_at: Schema.String,
  traceparent: Schema.optionalWith(Schema.String, { exact: true }),
  product_id: Schema.Int,
  stock: Schema.Int,
  product_version: Schema.Int,
})

export type InventoryEvent = typeof InventoryEvent.Type
