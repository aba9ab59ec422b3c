/** What stands outside the envelope: keys, the contract itself, and the pages that explain each error. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { Failure } from "./Envelope.ts"

export const DocumentApi = HttpApiGroup.make("documents")
  .add(HttpApiEndpoint.get("jwks", "/.well-known/jwks.json").addSuccess(Schema.Unknown))
  .add(HttpApiEndpoint.get("openapi", "/openapi.json").addSuccess(Schema.Unknown))
  .add(
    HttpApiEndpoint.get("error", "/docs/errors/:code")
      .setPath(Schema.Struct({ code: Schema.String }))
      .addSuccess(HttpApiSchema.Text({ contentType: "text/html; charset=utf-8" }))
      .addError(Failure("NOT_FOUND")),
  )
  .annotate(OpenApi.Exclude, true)
