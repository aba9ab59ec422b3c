/** Accounts and sessions. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { LoginPayload, Profile, RefreshPayload, Registered, RegisterPayload, Session } from "./Session.ts"

export const AuthApi = HttpApiGroup.make("auth")
  .add(
    HttpApiEndpoint.post("register", "/register")
      .setPayload(RegisterPayload)
      .addSuccess(Envelope(Registered, { status: 201 }))
      .addError(Failure("USERNAME_TAKEN"))
      .annotate(OpenApi.Summary, "Open an account"),
  )
  .add(
    HttpApiEndpoint.post("login", "/login")
      .setPayload(LoginPayload)
      .addSuccess(Envelope(Session))
      .addError(Failure("WRONG_CREDENTIALS"))
      .addError(Failure("BANNED"))
      .annotate(OpenApi.Summary, "Sign in"),
  )
  .add(
    HttpApiEndpoint.post("refresh", "/token/refresh")
      .setPayload(RefreshPayload)
      .addSuccess(Envelope(Session))
      .addError(Failure("UNAUTHENTICATED"))
      .addError(Failure("BANNED"))
      .annotate(OpenApi.Summary, "Spend a refresh token for its successor and a new access token"),
  )
  .add(
    HttpApiEndpoint.post("logout", "/logout")
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
