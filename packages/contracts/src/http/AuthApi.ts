/** Accounts and sessions. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { NoFields, withOptionalBody } from "./Payload.ts"
import {
  ErasePayload,
  Export,
  LoginPayload,
  PasswordPayload,
  Profile,
  RefreshPayload,
  Registered,
  RegisterPayload,
  Session,
} from "./Session.ts"

export const AuthApi = HttpApiGroup.make("auth")
  .add(
    HttpApiEndpoint.post("register", "/register")
      .setHeaders(OptionalKey)
      .setPayload(RegisterPayload)
      .addSuccess(Envelope(Registered, { status: 201 }))
      .addError(Failure("USERNAME_TAKEN"))
      .annotate(OpenApi.Summary, "Open an account"),
  )
  .add(
    HttpApiEndpoint.post("login", "/login")
      .setHeaders(OptionalKey)
      .setPayload(LoginPayload)
      .addSuccess(Envelope(Session))
      .addError(Failure("WRONG_CREDENTIALS"))
      .addError(Failure("BANNED"))
      .annotate(OpenApi.Summary, "Sign in"),
  )
  .add(
    HttpApiEndpoint.post("refresh", "/token/refresh")
      .setHeaders(OptionalKey)
      .setPayload(RefreshPayload)
      .addSuccess(Envelope(Session))
      .addError(Failure("UNAUTHENTICATED"))
      .addError(Failure("BANNED"))
      .annotate(OpenApi.Summary, "Spend a refresh token for its successor and a new access token"),
  )
  .add(
    HttpApiEndpoint.post("logout", "/logout")
      .setHeaders(OptionalKey)
      .setPayload(RefreshPayload)
      .addSuccess(Envelope(Schema.Null))
      .annotate(OpenApi.Summary, "End the session of a refresh token"),
  )
  .add(
    HttpApiEndpoint.get("profile", "/profile")
      .addSuccess(Envelope(Profile))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Who am I"),
  )
  .add(
    HttpApiEndpoint.post("password", "/password")
      .setHeaders(OptionalKey)
      .setPayload(PasswordPayload)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_CREDENTIALS"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Change the password: every session ends, this one too"),
  )
  .add(
    HttpApiEndpoint.post("logoutAll", "/logout/all")
      .setHeaders(OptionalKey)
      .setPayload(NoFields)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "End every session, live access tokens included")
      .annotate(OpenApi.Transform, withOptionalBody),
  )
  .add(
    HttpApiEndpoint.get("export", "/profile/export")
      .addSuccess(Envelope(Export))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Everything that is kept about me"),
  )
  .add(
    HttpApiEndpoint.del("erase", "/profile")
      .setPayload(ErasePayload)
      .addSuccess(Envelope(Schema.Null))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_CREDENTIALS"))
      .addError(Failure("WRONG_STATE"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Erase the account: orders stay, without a name"),
  )
