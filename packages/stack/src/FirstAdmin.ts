/**
 * The first administrator of an installation: dev has its own accounts, everywhere else somebody must be told. Whoever
 * has the service credential may say it, once; every further one is made by an administrator.
 */
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { ServiceCredential } from "@floodgate/contracts/rpc/ServiceCredential"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as Effect from "effect/Effect"
import type { Environment } from "./Engines.ts"
import { runEffect } from "./RunEffect.ts"
import { StackError } from "./StackError.ts"

/** Hashing passwords keeps an identity that is busy from answering at once. */
const DEADLINE_MS = 10_000

const why = (username: string, state: string): string =>
  state === "administered"
    ? "There is an administrator already: who is one makes others, in the console under Users."
    : `The account ${username} is ${state}.`

/** What a person can do about a failure. */
const messageOf = (
  username: string,
  error: { readonly _tag: string; readonly message: string; readonly state?: string },
): string => {
  switch (error._tag) {
    case "NotFound":
      return `There is no account ${username}: register it first, as any customer does.`
    case "WrongState":
      return why(username, error.state ?? "")
    case "Busy":
      return "Identity can't be reached, or is busy (IDENTITY_URL): try again."
    case "Unauthenticated":
    case "Forbidden":
      return "Identity doesn't know this credential (SERVICE_CREDENTIAL_FILE)."
    case "ConfigInvalid":
      return error.message
    default:
      return `Identity failed (${error._tag}): its log says why.`
  }
}

/**
 * Makes a registered account an administrator, as long as there is none; answers a line that says so. IDENTITY_URL and
 * SERVICE_CREDENTIAL_FILE say where and with what right. Fails with a StackError where there is an administrator or no
 * such account, where identity isn't there, and where it doesn't know the credential.
 */
export const grant = (env: Environment, username: string): Promise<string> =>
  runEffect(
    Effect.gen(function* () {
      const url = yield* AppConfig.load(AppConfig.peer("identity"))
      const credential = yield* ServiceCredential
      const user = yield* IdentityClient.pipe(
        Effect.flatMap((identity) => identity.grantFirstAdmin({ username })),
        Effect.provide(IdentityClient.layer({ url, credential, deadlineMs: () => DEADLINE_MS })),
      )
      return `${user.username} is an administrator, from the next sign-in on.`
    }).pipe(
      Effect.mapError((error) => new StackError(messageOf(username, error))),
      Effect.provide(Credential.layer("stack")),
      Effect.withConfigProvider(Provider.make(env)),
    ),
  )
