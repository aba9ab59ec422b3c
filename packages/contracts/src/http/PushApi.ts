/** Live changes. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { NoFields, withOptionalBody } from "./Payload.ts"
import { EventTicket, StreamPath, StreamQuery, SubscribePayload } from "./Push.ts"

/** What the HttpApi server answers. */
export const PushApi = HttpApiGroup.make("push")
  .add(
    HttpApiEndpoint.post("ticket", "/events/ticket")
      .setHeaders(OptionalKey)
      .setPayload(NoFields)
      .addSuccess(Envelope(EventTicket))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "A one-use ticket for an EventSource, which can't set headers")
      .annotate(OpenApi.Transform, withOptionalBody),
  )
  .add(
    // Without a guard: a stream of stock alone needs no sign-in. Another's stream is not found.
    HttpApiEndpoint.put("subscribe", "/events/:stream_id")
      .setPath(StreamPath)
      .setPayload(SubscribePayload)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("UNAUTHENTICATED"))
      .addError(Failure("BANNED"))
      .annotate(OpenApi.Summary, "Change what an open stream tells"),
  )

/** The streams themselves have a listener of their own. */
export const StreamApi = HttpApiGroup.make("streams").add(
  HttpApiEndpoint.get("events", "/events")
    .setUrlParams(StreamQuery)
    .addSuccess(HttpApiSchema.withEncoding(Schema.String, { kind: "Text", contentType: "text/event-stream" }))
    .addError(Failure("UNAUTHENTICATED"))
    .addError(Failure("BANNED"))
    .annotate(
      OpenApi.Summary,
      "Live changes as server-sent events: ready, order.updated, stock.updated, queue.updated, heartbeat, reset, bye",
    ),
)
