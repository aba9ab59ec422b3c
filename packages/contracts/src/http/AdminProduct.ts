/** Products as the console shows and changes them, and the log of their stock. */
import * as Schema from "effect/Schema"
import { ProductBounds } from "../sale/ProductBounds.ts"
import * as AdminList from "./AdminList.ts"
import * as AdminWrite from "./AdminWrite.ts"
import { ImageUrl } from "./ImageUrl.ts"
import * as InertText from "./InertText.ts"
import { Instant, Timestamp } from "./Instant.ts"
import { Id, PathId } from "./PathId.ts"
import { strict } from "./Payload.ts"
import { fields, Product, ProductStatus } from "./Product.ts"

/**
 * A product with what only operators see. `remaining` is what orders may still take (`stock` is what can be reserved
 * now); `adjusted` the sum of operators' stock changes; `unfinished_adjustments` those that are half done.
 */
export const AdminProduct = Schema.Struct({
  ...Product.fields,
  publisher_id: Schema.NullOr(Id),
  generation: Schema.Int,
  remaining: Schema.Int,
  adjusted: Schema.Int,
  unfinished_adjustments: Schema.Int,
}).annotations({ identifier: "AdminProduct" })
export type AdminProduct = typeof AdminProduct.Type

/** `q` is the start of a name, or an id. `from` and `to` are about creation. */
export const ListAdminProductsQuery = strict(
  Schema.Struct({
    status: Schema.optionalWith(ProductStatus, { exact: true }),
    q: Schema.optionalWith(InertText.line(1, 64), { exact: true }),
    ...AdminList.query,
  }),
)

const optional = <S extends Schema.Schema.Any>(schema: S) => Schema.optionalWith(schema, { exact: true })

/**
 * What isn't given stays as it is; at least one field must be. Price, times and limit only of a draft or an upcoming
 * product. `version` is the one that the editor saw. Times decode to Unix ms.
 */
export const EditProductPayload = strict(
  Schema.Struct({
    name: optional(fields.name),
    description: optional(fields.description),
    image: optional(Schema.NullOr(ImageUrl)),
    original_price: optional(Schema.NullOr(fields.price)),
    access: optional(
      Schema.Struct({ challenge: optional(Schema.Boolean), waiting_room: optional(Schema.Boolean) }),
    ),
    price: optional(fields.price),
    start_time: optional(Instant),
    end_time: optional(Schema.NullOr(Instant)),
    per_user_limit: optional(fields.per_user_limit),
    ...AdminWrite.reason,
    version: Schema.Int.pipe(Schema.between(1, Number.MAX_SAFE_INTEGER)),
  }).pipe(
    Schema.filter(({ reason: _reason, version: _version, ...edit }) =>
      Object.keys(edit).length > 0 ? undefined : "must change something",
    ),
  ),
).annotations({ identifier: "EditProductPayload" })
export type EditProductPayload = typeof EditProductPayload.Type

/** Of withdraw, rebuild and warm-up. */
export const ProductCommandPayload = strict(Schema.Struct({ ...AdminWrite.reason })).annotations({
  identifier: "ProductCommandPayload",
})

/** Times decode to Unix ms. Name and stock are the source's unless given: its stock as it was published. */
export const CloneProductPayload = strict(
  Schema.Struct({
    start_time: Instant,
    end_time: Schema.optionalWith(Schema.NullOr(Instant), { exact: true, default: () => null }),
    name: optional(fields.name),
    stock: optional(fields.stock),
    ...AdminWrite.reason,
  }).pipe(
    Schema.filter((p) =>
      p.end_time !== null && p.end_time <= p.start_time
        ? { path: ["end_time"], message: "must be after start_time" }
        : undefined,
    ),
  ),
).annotations({ identifier: "CloneProductPayload" })

/** Above 0 adds stock, below takes it away. */
export const StockPayload = strict(
  Schema.Struct({
    delta: Schema.Int.pipe(
      Schema.between(-ProductBounds.stock, ProductBounds.stock),
      Schema.filter((n) => n !== 0 || "must not be 0"),
    ),
    ...AdminWrite.reason,
  }),
).annotations({ identifier: "StockPayload" })

/** `state` is `recovering` where it takes longer than the answer may: ask for the readiness, or again. */
export const Rebuilt = Schema.Struct({
  product_id: Id,
  shard: Schema.Int,
  epoch: Schema.Int,
  state: Schema.Literal("open", "recovering"),
}).annotations({ identifier: "Rebuilt" })

/** `ready` is true where every check is ok. `detail` is for people. */
export const ProductReadiness = Schema.Struct({
  product_id: Id,
  ready: Schema.Boolean,
  checks: Schema.Array(Schema.Struct({ check: Schema.String, ok: Schema.Boolean, detail: Schema.String })),
}).annotations({ identifier: "ProductReadiness" })

export const stockLogKinds = ["initial", "order", "cancel", "adjust"] as const

/** `ref` is the order number, or the id of the operator's change, whose reason and actor are given. */
export const StockLogEntry = Schema.Struct({
  id: Id,
  product_id: Id,
  kind: Schema.String,
  ref: Schema.String,
  delta: Schema.Int,
  reason: Schema.NullOr(Schema.String),
  actor_id: Schema.NullOr(Id),
  created_at: Timestamp,
}).annotations({ identifier: "StockLogEntry" })
export type StockLogEntry = typeof StockLogEntry.Type

export const ListStockLogQuery = strict(
  Schema.Struct({
    product_id: PathId,
    kind: optional(Schema.Literal(...stockLogKinds)),
    ...AdminList.query,
  }),
)
