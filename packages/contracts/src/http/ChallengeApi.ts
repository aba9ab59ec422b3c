/** Challenges. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { signedIn } from "./Auth.ts"
import { Challenge, ChallengePayload, ChallengeTicket, SolutionPayload } from "./Challenge.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"

const path = Schema.Struct({
  id: Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9_.-]{1,100}$/)),
})

export const ChallengeApi = HttpApiGroup.make("challenge")
  .add(
    HttpApiEndpoint.post("begin", "/challenge")
      .setHeaders(OptionalKey)
      .setPayload(ChallengePayload)
      .addSuccess(Envelope(Challenge))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "A challenge for one product"),
  )
  .add(
    HttpApiEndpoint.post("solve", "/challenge/:id")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(SolutionPayload)
      .addSuccess(Envelope(ChallengeTicket))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(
        OpenApi.Summary,
        "Its solution, for a ticket; 404 once it has expired, and for anybody else's",
      ),
  )
