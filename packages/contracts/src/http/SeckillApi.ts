/** The rush. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { Queued, SeckillPayload } from "./Seckill.ts"

export const SeckillApi = HttpApiGroup.make("seckill").add(
  HttpApiEndpoint.post("seckill", "/seckill")
    .setHeaders(OptionalKey)
    .setPayload(SeckillPayload)
    .addSuccess(Envelope(Queued, { status: 202 }))
    .addError(Failure("NOT_FOUND"))
    .addError(Failure("SOLD_OUT"))
    .addError(Failure("ALREADY_BOUGHT"))
    .addError(Failure("NOT_STARTED"))
    .addError(Failure("ENDED"))
    .addError(Failure("NOT_ON_SALE"))
    .addError(Failure("IDEMPOTENCY_MISMATCH"))
    .addError(Failure("FREQUENCY_LIMITED"))
    .addError(Failure("CHALLENGE_REQUIRED"))
    .addError(Failure("WAITING_ROOM"))
    .middleware(signedIn)
    .annotate(OpenApi.Summary, "Reserve now; 202 promises an answer under order_num"),
)
