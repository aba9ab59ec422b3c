/**
 * Private keys at rest: AES-256-GCM under a key-encryption key that is derived from a secret of `KEY_ENCRYPTION_KEY`
 * (HKDF-SHA256), with the key's id authenticated, so that a sealed key can't be passed off as another.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Redacted from "effect/Redacted"

/** `KEY_ENCRYPTION_KEY`: a comma list; the first secret seals, every one opens. */
export const config = AppConfig.secretList("KEY_ENCRYPTION_KEY")

const NONCE_BYTES = 12
const TAG_BYTES = 16

export interface Sealed {
  /** Which secret it takes: 16 hex digits that tell nothing about it. */
  readonly kekId: string
  /** Nonce, tag, ciphertext. */
  readonly bytes: Buffer
}

export interface SealedKeys {
  readonly seal: (kid: string, privateJwk: object) => Sealed
  /** The private JWK; undefined where none of the secrets opens it, or it was tampered with. */
  readonly open: (kid: string, sealed: Sealed) => object | undefined
}

/** At least one secret. */
export const make = (secrets: ReadonlyArray<Redacted.Redacted<string>>): SealedKeys => {
  const keks = secrets.map((secret) => {
    const key = Buffer.from(
      hkdfSync("sha256", Redacted.value(secret), "", "floodgate signing keys, aes-256-gcm", 32),
    )
    return { key, id: createHash("sha256").update(key).digest("hex").slice(0, 16) }
  })
  const [first] = keks
  if (first === undefined) throw new RangeError("there is no key-encryption key")
  return {
    seal: (kid, privateJwk) => {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv("aes-256-gcm", first.key, nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(Buffer.from(kid, "latin1"))
      const text = Buffer.concat([cipher.update(JSON.stringify(privateJwk), "utf8"), cipher.final()])
      return { kekId: first.id, bytes: Buffer.concat([nonce, cipher.getAuthTag(), text]) }
    },
    open: (kid, { kekId, bytes }) => {
      const kek = keks.find(({ id }) => id === kekId)
      if (kek === undefined || bytes.length <= NONCE_BYTES + TAG_BYTES) return undefined
      try {
        const cipher = createDecipheriv("aes-256-gcm", kek.key, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        })
        cipher.setAAD(Buffer.from(kid, "latin1"))
        cipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
        const text = Buffer.concat([cipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), cipher.final()])
        return JSON.parse(text.toString("utf8")) as object
      } catch {
        return undefined
      }
    },
  }
}
