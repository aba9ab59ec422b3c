/** Payments, and what providers tell about them. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { Channel, Payment } from "./Payment.ts"
import { RawBody } from "./RawBody.ts"

export const PaymentApi = HttpApiGroup.make("payments")
  .add(
    HttpApiEndpoint.get("get", "/payments/:payment_id")
      .setPath(Schema.Struct({ payment_id: Schema.String }))
      .addSuccess(Envelope(Payment))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "One payment of mine"),
  )
  .add(
    HttpApiEndpoint.post("callback", "/payment/callback/:channel")
      .setPath(Schema.Struct({ channel: Channel }))
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("UNAUTHENTICATED"))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("PAYMENT_MISMATCH"))
      .annotate(RawBody, true)
      .annotate(
        OpenApi.Summary,
        "A provider's signed message; answered with the bytes its protocol asks for",
      ),
  )
  .add(
    HttpApiEndpoint.post("sandboxCallback", "/payment/callback")
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("UNAUTHENTICATED"))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("PAYMENT_MISMATCH"))
      .annotate(RawBody, true)
      .annotate(OpenApi.Summary, "As /payment/callback/sandbox"),
  )
