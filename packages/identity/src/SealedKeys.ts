/** Private keys at rest, each bound to its id: a sealed key can't be passed off as another. */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Sealing from "@floodgate/runtime/crypto/Sealing"
import type * as Redacted from "effect/Redacted"

/** `KEY_ENCRYPTION_KEY`: a comma list; the first secret seals, every one opens. */
export const config = AppConfig.secretList("KEY_ENCRYPTION_KEY")

export type Sealed = Sealing.Sealed

export interface SealedKeys {
  readonly seal: (kid: string, privateJwk: object) => Sealed
  /** The private JWK; undefined where none of the secrets opens it, or it was tampered with. */
  readonly open: (kid: string, sealed: Sealed) => object | undefined
}

/** At least one secret. */
export const make = (secrets: ReadonlyArray<Redacted.Redacted<string>>): SealedKeys => {
  const sealing = Sealing.make("floodgate signing keys, aes-256-gcm", secrets)
  return {
    seal: (kid, privateJwk) => sealing.seal(kid, JSON.stringify(privateJwk)),
    open: (kid, sealed) => {
      const text = sealing.open(kid, sealed)
      return text === undefined ? undefined : (JSON.parse(text) as object)
    },
  }
}
