/** The waiting room. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { PathId } from "./PathId.ts"
import { withOptionalBody } from "./Payload.ts"
import { QueuePayload, QueuePlace } from "./Queue.ts"

const path = Schema.Struct({ id: PathId })

export const QueueApi = HttpApiGroup.make("queue")
  .add(
    HttpApiEndpoint.post("join", "/products/:id/queue")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(QueuePayload)
      .addSuccess(Envelope(QueuePlace))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("SOLD_OUT"))
      .addError(Failure("ENDED"))
      .addError(Failure("NOT_ON_SALE"))
      .addError(Failure("CHALLENGE_REQUIRED"))
      .middleware(signedIn)
      .annotate(
        OpenApi.Summary,
        "Get in line; whoever is in it keeps their place. 510 where more wait than can buy",
      )
      .annotate(OpenApi.Transform, withOptionalBody),
  )
  .add(
    HttpApiEndpoint.get("place", "/products/:id/queue")
      .setPath(path)
      .addSuccess(Envelope(QueuePlace))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("SOLD_OUT"))
      .addError(Failure("ENDED"))
      .addError(Failure("NOT_ON_SALE"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Where one stands; the ticket, once one is admitted"),
  )
