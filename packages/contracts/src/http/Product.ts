/** Products as the HTTP contract shows them, and what publishing one takes. Money in minor units. */
import * as Schema from "effect/Schema"
import { ProductBounds } from "../sale/ProductBounds.ts"
import { ImageUrl } from "./ImageUrl.ts"
import * as InertText from "./InertText.ts"
import { Instant, Timestamp } from "./Instant.ts"
import * as Page from "./Page.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

export const productStatuses = ["draft", "upcoming", "live", "sold_out", "ended", "withdrawn"] as const
export const ProductStatus = Schema.Literal(...productStatuses)
export type ProductStatus = typeof ProductStatus.Type

/** `stock` is what can be reserved now, at most 1 s old. */
export const Product = Schema.Struct({
  id: Id,
  name: Schema.String,
  description: Schema.String,
  price: Schema.Int,
  original_price: Schema.NullOr(Schema.Int),
  currency: Schema.String,
  stock: Schema.Int,
  initial_stock: Schema.Int,
  start_time: Timestamp,
  end_time: Schema.NullOr(Timestamp),
  per_user_limit: Schema.Int,
  image: Schema.NullOr(Schema.String),
  status: ProductStatus,
  access: Schema.Struct({ challenge: Schema.Boolean, waiting_room: Schema.Boolean }),
  version: Schema.Int,
  created_at: Timestamp,
  updated_at: Timestamp,
}).annotations({ identifier: "Product" })
export type Product = typeof Product.Type

export const MAX_PRICE = ProductBounds.price
export const MAX_STOCK = ProductBounds.stock

/** What a publisher may ask for, field by field. */
export const fields = {
  name: InertText.line(1, ProductBounds.name),
  description: InertText.paragraphs(ProductBounds.description),
  price: Schema.Int.pipe(Schema.between(1, ProductBounds.price)),
  stock: Schema.Int.pipe(Schema.between(1, ProductBounds.stock)),
  per_user_limit: Schema.Int.pipe(Schema.between(1, ProductBounds.perUserLimit)),
} as const

const orNull = <S extends Schema.Schema.Any>(schema: S) =>
  Schema.optionalWith(Schema.NullOr(schema), { exact: true, default: () => null })

/** Times decode to Unix ms. That `start_time` is in the future is the handler's to say: it knows the sale's clock. */
export const PublishPayload = strict(
  Schema.Struct({
    name: fields.name,
    price: fields.price,
    stock: fields.stock,
    start_time: Instant,
    end_time: orNull(Instant),
    per_user_limit: Schema.optionalWith(fields.per_user_limit, {
      exact: true,
      default: () => 1,
    }),
    description: Schema.optionalWith(fields.description, { exact: true, default: () => "" }),
    original_price: orNull(fields.price),
    image: orNull(ImageUrl),
    access: Schema.optionalWith(
      Schema.Struct({
        challenge: Schema.optionalWith(Schema.Boolean, { exact: true, default: () => false }),
        waiting_room: Schema.optionalWith(Schema.Boolean, { exact: true, default: () => false }),
      }),
      { exact: true, default: () => ({ challenge: false, waiting_room: false }) },
    ),
  }).pipe(
    Schema.filter((p) =>
      p.end_time !== null && p.end_time <= p.start_time
        ? { path: ["end_time"], message: "must be after start_time" }
        : undefined,
    ),
  ),
).annotations({ identifier: "PublishPayload" })
export type PublishPayload = typeof PublishPayload.Type

export const ListProductsQuery = strict(
  Schema.Struct({
    status: Schema.optionalWith(Schema.Literal("upcoming", "live", "sold_out", "ended"), { exact: true }),
    ...Page.query,
  }),
)
