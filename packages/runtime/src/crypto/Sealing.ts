/**
 * Secrets at rest: AES-256-GCM under a key-encryption key that is derived (HKDF-SHA256) from a secret of
 * `KEY_ENCRYPTION_KEY`, apart for each purpose. What a secret belongs to is authenticated with it, so that whoever may
 * write to the table can't pass one off as another's.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto"
import * as Redacted from "effect/Redacted"

const NONCE_BYTES = 12
const TAG_BYTES = 16

export interface Sealed {
  /** Which secret it takes: 16 hex digits that tell nothing about it. */
  readonly kekId: string
  /** Nonce, tag, ciphertext. */
  readonly bytes: Buffer
}

export interface Sealing {
  /** `owner`: what the text belongs to, Latin-1. */
  readonly seal: (owner: string, text: string) => Sealed
  /** Undefined where none of the secrets opens it, it belongs to another, or it was tampered with. */
  readonly open: (owner: string, sealed: Sealed) => string | undefined
}

/** At least one secret: the first seals, every one opens. `purpose` keeps the keys of different uses apart. */
export const make = (purpose: string, secrets: ReadonlyArray<Redacted.Redacted<string>>): Sealing => {
  const keks = secrets.map((secret) => {
    const key = Buffer.from(hkdfSync("sha256", Redacted.value(secret), "", purpose, 32))
    return { key, id: createHash("sha256").update(key).digest("hex").slice(0, 16) }
  })
  const [first] = keks
  if (first === undefined) throw new RangeError("there is no key-encryption key")
  return {
    seal: (owner, text) => {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv("aes-256-gcm", first.key, nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(Buffer.from(owner, "latin1"))
      const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()])
      return { kekId: first.id, bytes: Buffer.concat([nonce, cipher.getAuthTag(), sealed]) }
    },
    open: (owner, { kekId, bytes }) => {
      const kek = keks.find(({ id }) => id === kekId)
      if (kek === undefined || bytes.length <= NONCE_BYTES + TAG_BYTES) return undefined
      try {
        const cipher = createDecipheriv("aes-256-gcm", kek.key, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        })
        cipher.setAAD(Buffer.from(owner, "latin1"))
        cipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
        const text = Buffer.concat([cipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), cipher.final()])
        return text.toString("utf8")
      } catch {
        return undefined
      }
    },
  }
}
