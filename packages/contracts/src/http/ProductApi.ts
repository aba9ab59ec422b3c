/** What is for sale. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { Page } from "./Page.ts"
import { PathId } from "./PathId.ts"
import { ListProductsQuery, Product, PublishPayload } from "./Product.ts"

const path = Schema.Struct({ id: PathId })

export const ProductApi = HttpApiGroup.make("products")
  .add(
    HttpApiEndpoint.get("list", "/products")
      .setUrlParams(ListProductsQuery)
      .addSuccess(Envelope(Page(Product)))
      .annotate(OpenApi.Summary, "Products by status"),
  )
  .add(
    HttpApiEndpoint.get("get", "/product/:id")
      .setPath(path)
      .addSuccess(Envelope(Product))
      .addError(Failure("NOT_FOUND"))
      .annotate(OpenApi.Summary, "One product; answers 304 to a current If-None-Match"),
  )
  .add(
    HttpApiEndpoint.get("getAlias", "/products/:id")
      .setPath(path)
      .addSuccess(Envelope(Product))
      .addError(Failure("NOT_FOUND"))
      .annotate(OpenApi.Summary, "As /product/:id"),
  )
  .add(
    HttpApiEndpoint.post("publish", "/products")
      .setHeaders(OptionalKey)
      .setPayload(PublishPayload)
      .addSuccess(Envelope(Product, { status: 201 }))
      .addError(Failure("IN_FLIGHT"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .middleware(permission("product:write"))
      .annotate(OpenApi.Summary, "Publish a product: answered when its warm-up is confirmed"),
  )
