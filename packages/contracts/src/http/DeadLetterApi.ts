/** The console: dead letters, and what becomes of them. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AdminList, withCsv } from "./AdminList.ts"
import { permission } from "./Auth.ts"
import { DeadLetter, ListDeadLettersQuery, SettlePayload } from "./DeadLetter.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { PathId } from "./PathId.ts"

const path = Schema.Struct({ id: PathId })

export const DeadLetterApi = HttpApiGroup.make("deadLetters")
  .add(
    HttpApiEndpoint.get("list", "/admin/dead-letters")
      .setUrlParams(ListDeadLettersQuery)
      .addSuccess(AdminList(DeadLetter))
      .middleware(permission("queue:read"))
      .annotate(OpenApi.Summary, "Messages that failed by themselves, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/dead-letters/:id")
      .setPath(path)
      .addSuccess(Envelope(DeadLetter))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("queue:read"))
      .annotate(OpenApi.Summary, "One dead letter"),
  )
  .add(
    HttpApiEndpoint.post("replay", "/admin/dead-letters/:id/replay")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(SettlePayload)
      .addSuccess(Envelope(DeadLetter))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("queue:write"))
      .annotate(OpenApi.Summary, "Apply the message after all; `state: open` where it still fails"),
  )
  .add(
    HttpApiEndpoint.post("discard", "/admin/dead-letters/:id/discard")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(SettlePayload)
      .addSuccess(Envelope(DeadLetter))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("queue:write"))
      .annotate(OpenApi.Summary, "Give the message up: its reservation is rejected and the stock goes back"),
  )
