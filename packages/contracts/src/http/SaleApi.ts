/** The console: the switch of all sales. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import * as AdminWrite from "./AdminWrite.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { Timestamp } from "./Instant.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

/** `changed_at`, `changed_by` and `reason` are of the last change; null where there was none. */
export const SaleState = Schema.Struct({
  paused: Schema.Boolean,
  revision: Schema.Int,
  reason: Schema.NullOr(Schema.String),
  changed_by: Schema.NullOr(Id),
  changed_at: Schema.NullOr(Timestamp),
}).annotations({ identifier: "SaleState" })
export type SaleState = typeof SaleState.Type

export const SalePayload = strict(Schema.Struct({ ...AdminWrite.reason })).annotations({
  identifier: "SalePayload",
})

export const SaleApi = HttpApiGroup.make("sale")
  .add(
    HttpApiEndpoint.get("get", "/admin/sale")
      .addSuccess(Envelope(SaleState))
      .middleware(permission("sale:read"))
      .annotate(OpenApi.Summary, "Whether all sales are paused"),
  )
  .add(
    HttpApiEndpoint.post("pause", "/admin/sale/pause")
      .setHeaders(OptionalKey)
      .setPayload(SalePayload)
      .addSuccess(Envelope(SaleState))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("sale:write"))
      .annotate(OpenApi.Summary, "Refuse every new reservation; orders and payments go on"),
  )
  .add(
    HttpApiEndpoint.post("resume", "/admin/sale/resume")
      .setHeaders(OptionalKey)
      .setPayload(SalePayload)
      .addSuccess(Envelope(SaleState))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("sale:write"))
      .annotate(OpenApi.Summary, "Take reservations again"),
  )
