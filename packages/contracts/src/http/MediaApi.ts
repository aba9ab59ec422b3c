/** Pictures of products: uploaded by the console, and served to everybody under the name of their content. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import * as AdminWrite from "./AdminWrite.ts"
import { permission } from "./Auth.ts"
import { Envelope } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { MEDIA_TYPES, Media } from "./Media.ts"
import { BodyBytes, RawBody } from "./RawBody.ts"

export const PATH = "/admin/media"

/** The largest picture that is taken, bytes. */
export const MAX_BYTES = 2 * 1024 * 1024

/** The body is the picture itself. */
const withPicture = (spec: Record<string, any>): Record<string, any> => ({
  ...spec,
  requestBody: {
    required: true,
    content: Object.fromEntries(
      MEDIA_TYPES.map((type) => [
        type,
        { schema: { type: "string", format: "binary", maxLength: MAX_BYTES } },
      ]),
    ),
  },
})

export const MediaApi = HttpApiGroup.make("media").add(
  HttpApiEndpoint.post("upload", PATH)
    .setHeaders(OptionalKey)
    .setUrlParams(Schema.Struct({ reason: Schema.optionalWith(AdminWrite.reason.reason, { exact: true }) }))
    .addSuccess(Envelope(Media, { status: 201 }))
    .middleware(permission("product:write"))
    .annotate(RawBody, true)
    .annotate(BodyBytes, MAX_BYTES)
    .annotate(
      OpenApi.Summary,
      "Store a picture, at most 2 MiB: read by its content, encoded anew without what it said beside, named by its hash",
    )
    .annotate(OpenApi.Transform, withPicture),
)
