/** `stack keys rotate`: a new key for access tokens. */
import { randomUUID } from "node:crypto"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { ServiceCredential } from "@floodgate/contracts/rpc/ServiceCredential"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as Effect from "effect/Effect"
import { runEffect } from "../RunEffect.ts"
import * as IdentityAccess from "./IdentityAccess.ts"
import { print, type Setting } from "./Setting.ts"

/** Asks identity for a new signing key, and says from when on it signs. While one waits to sign, that one is told. */
export const rotate = async (setting: Setting): Promise<number> => {
  const env = await IdentityAccess.environment(setting)
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
