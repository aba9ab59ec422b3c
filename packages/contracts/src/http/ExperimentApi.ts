/** The experiments that a signed-in user is in. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { Assignments, ExperimentKey } from "./Experiment.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { NoFields, withOptionalBody } from "./Payload.ts"

export const ExperimentApi = HttpApiGroup.make("experiments")
  .add(
    HttpApiEndpoint.get("list", "/experiments")
      .addSuccess(Envelope(Assignments))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "The caller's variants, with what the page needs of them"),
  )
  .add(
    HttpApiEndpoint.post("expose", "/experiments/:key/exposure")
      .setPath(Schema.Struct({ key: ExperimentKey }))
      .setHeaders(OptionalKey)
      .setPayload(NoFields)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "The caller has seen their variant; counts once")
      .annotate(OpenApi.Transform, withOptionalBody),
  )
