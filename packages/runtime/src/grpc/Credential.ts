/** This process's service credential, from the file that `SERVICE_CREDENTIAL_FILE` names. */
import { make, minKeyLength, ServiceCredential } from "@floodgate/contracts/rpc/ServiceCredential"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as AppConfig from "../config/AppConfig.ts"
import { ServerTime } from "../mysql/ServerTime.ts"

const key = "SERVICE_CREDENTIAL_FILE"

/** `{"environment": "dev", "keys": ["<32 characters or more>", …]}`: the first key signs, every one verifies. */
const keys: Config.Config<ReadonlyArray<Redacted.Redacted<string>>> = AppConfig.secretJsonFile(key).pipe(
  Config.mapOrFail((json) => {
    const list = typeof json === "object" && json !== null && "keys" in json ? json.keys : undefined
    return Array.isArray(list) &&
      list.length > 0 &&
      list.every((each): each is string => typeof each === "string" && each.length >= minKeyLength)
      ? Either.right(list.map((text) => Redacted.make(text)))
      : Either.left(
          ConfigError.InvalidData([key], `needs "keys": one or more of at least ${minKeyLength} characters`),
        )
  }),
)

/**
 * The credential under which `service` calls others, and by which it knows its callers. Its tokens last a minute by the
 * time that all agree on, not by this machine's.
 */
export const layer = (service: string): Layer.Layer<ServiceCredential, AppConfig.ConfigInvalid> =>
  Layer.effect(
    ServiceCredential,
    Effect.zipWith(AppConfig.load(keys), ServerTime, (loaded, { nowMs }) =>
      make({ service, keys: loaded, nowMs }),
    ),
  )
