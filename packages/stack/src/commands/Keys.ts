/** `stack keys rotate`: a new key for access tokens. */
import { randomUUID } from "node:crypto"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { ServiceCredential } from "@floodgate/contracts/rpc/ServiceCredential"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as Effect from "effect/Effect"
import { type Environment, given } from "../Engines.ts"
import { runEffect } from "../RunEffect.ts"
import * as Secrets from "../Secrets.ts"
import { StackError } from "../StackError.ts"
import * as Control from "../supervisor/Control.ts"
import type { Status } from "../supervisor/Status.ts"
import { print, type Setting } from "./Setting.ts"

/** IDENTITY_URL and SERVICE_CREDENTIAL_FILE as the environment says, else, in dev, the running stack's. */
const settings = async ({ env, dataDir, root }: Setting): Promise<Environment> => {
  const said = { FLOODGATE_ROOT: root, ...env }
  const isDev = (given(env, "APP_ENV") ?? "dev") === "dev"
  if (!isDev || given(env, "IDENTITY_URL") !== undefined) return said
  const { identity } = (await Control.ask(dataDir, "GET", "/status")) as Status
  if (identity?.url === undefined) throw new StackError(`The stack in ${dataDir} runs no identity service.`)
  return {
    ...said,
    IDENTITY_URL: identity.url.replace(/^grpc:\/\//, ""),
    SERVICE_CREDENTIAL_FILE: Secrets.load(dataDir).SERVICE_CREDENTIAL_FILE,
  }
}

/** Asks identity for a new signing key, and says from when on it signs. While one waits to sign, that one is told. */
export const rotate = async (setting: Setting): Promise<number> => {
  const env = await settings(setting)
  const made = await runEffect(
    Effect.gen(function* () {
      const url = yield* AppConfig.load(AppConfig.peer("identity"))
      const credential = yield* ServiceCredential
      return yield* IdentityClient.pipe(
        Effect.flatMap((identity) =>
          identity.rotateKeys({ reason: "pnpm stack keys rotate", requestId: randomUUID() }),
        ),
        Effect.provide(IdentityClient.layer({ url, credential })),
      )
    }).pipe(Effect.provide(Credential.layer("stack")), Effect.withConfigProvider(Provider.make(env))),
  )
  const at = new Date(Number(made.signsFromMs)).toISOString()
  print(`Key ${made.kid} is published, and signs from ${at} on.`)
  return 0
}
