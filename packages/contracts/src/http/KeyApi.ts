/** The console: the keys that sign access tokens. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import * as AdminWrite from "./AdminWrite.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { Timestamp } from "./Instant.ts"
import { strict } from "./Payload.ts"

/** Published at once; signs from `signs_from` on, when every edge knows it. */
export const SigningKey = Schema.Struct({
  kid: Schema.String,
  created_at: Timestamp,
  signs_from: Timestamp,
}).annotations({ identifier: "SigningKey" })

export const RotatePayload = strict(Schema.Struct({ ...AdminWrite.reason })).annotations({
  identifier: "RotatePayload",
})

export const KeyApi = HttpApiGroup.make("keys").add(
  HttpApiEndpoint.post("rotate", "/admin/keys/rotate")
    .setHeaders(OptionalKey)
    .setPayload(RotatePayload)
    .addSuccess(Envelope(SigningKey))
    .addError(Failure("IDEMPOTENCY_MISMATCH"))
    .addError(Failure("IN_FLIGHT"))
    .middleware(permission("key:write"))
    .annotate(OpenApi.Summary, "Make a new signing key; while one waits to sign, answers that one"),
)
