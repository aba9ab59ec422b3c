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
      Effect.catchTags({
        NotFound: () =>
          Effect.fail(
            new StackError(`There is no account ${username}: register it first, as any customer does.`),
          ),
        WrongState: ({ state }) => Effect.fail(new StackError(why(username, state))),
        Forbidden: () => Effect.fail(new StackError("Identity doesn't take this from a user's hand.")),
      }),
      Effect.mapError((error) => (error instanceof StackError ? error : new StackError(error.message))),
      Effect.provide(Credential.layer("stack")),
      Effect.withConfigProvider(Provider.make(env)),
    ),
  )
