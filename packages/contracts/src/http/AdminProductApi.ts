/** The console: products, their stock, and what a sale depends on. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AdminList, withCsv } from "./AdminList.ts"
import {
  AdminProduct,
  CloneProductPayload,
  EditProductPayload,
  ListAdminProductsQuery,
  ListStockLogQuery,
  ProductCommandPayload,
  ProductReadiness,
  Rebuilt,
  StockLogEntry,
  StockPayload,
} from "./AdminProduct.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey, RequiredKey } from "./IdempotencyKey.ts"
import { PathId } from "./PathId.ts"
import { Product } from "./Product.ts"

const path = Schema.Struct({ id: PathId })

export const AdminProductApi = HttpApiGroup.make("adminProducts")
  .add(
    HttpApiEndpoint.get("list", "/admin/products")
      .setUrlParams(ListAdminProductsQuery)
      .addSuccess(AdminList(AdminProduct))
      .middleware(permission("product:read"))
      .annotate(OpenApi.Summary, "All products, drafts and withdrawn ones too, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/products/:id")
      .setPath(path)
      .addSuccess(Envelope(AdminProduct))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("product:read"))
      .annotate(OpenApi.Summary, "One product"),
  )
  .add(
    HttpApiEndpoint.get("readiness", "/admin/products/:id/readiness")
      .setPath(path)
      .addSuccess(Envelope(ProductReadiness))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("product:read"))
      .annotate(OpenApi.Summary, "What its sale depends on, checked now"),
  )
  .add(
    HttpApiEndpoint.patch("edit", "/admin/products/:id")
      .setPath(path)
      .setPayload(EditProductPayload)
      .addSuccess(Envelope(Product))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("STALE_VERSION"))
      .middleware(permission("product:write"))
      .annotate(OpenApi.Summary, "Edit; price, times and limit only before the sale starts"),
  )
  .add(
    HttpApiEndpoint.post("warmUp", "/admin/products/:id/warmup")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(ProductCommandPayload)
      .addSuccess(Envelope(Product))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("product:write"))
      .annotate(OpenApi.Summary, "Warm up a draft whose publication failed, and put it on sale"),
  )
  .add(
    HttpApiEndpoint.post("withdraw", "/admin/products/:id/withdraw")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(ProductCommandPayload)
      .addSuccess(Envelope(Product))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("product:write"))
      .annotate(OpenApi.Summary, "Close to new reservations for good; queued and unpaid orders go on"),
  )
  .add(
    HttpApiEndpoint.post("rebuild", "/admin/products/:id/rebuild")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(ProductCommandPayload)
      .addSuccess(Envelope(Rebuilt))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("product:write"))
      .annotate(OpenApi.Summary, "Close the product's shard, prove it equal to MySQL, open it again"),
  )
  .add(
    HttpApiEndpoint.post("clone", "/admin/products/:id/clone")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(CloneProductPayload)
      .addSuccess(Envelope(Product, { status: 201 }))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("product:write"))
      .annotate(OpenApi.Summary, "Publish a copy at another time"),
  )
  .add(
    HttpApiEndpoint.post("stock", "/admin/products/:id/stock")
      .setPath(path)
      .setHeaders(RequiredKey)
      .setPayload(StockPayload)
      .addSuccess(Envelope(Product))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .middleware(permission("stock:write"))
      .annotate(OpenApi.Summary, "Add stock or take it away, once per key"),
  )
  .add(
    HttpApiEndpoint.get("stockLog", "/admin/stock-log")
      .setUrlParams(ListStockLogQuery)
      .addSuccess(AdminList(StockLogEntry))
      .middleware(permission("stock:read"))
      .annotate(OpenApi.Summary, "Every change of a product's stock, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
