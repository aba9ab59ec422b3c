/**
 * An endpoint's secret at rest: AES-256-GCM under a key derived (HKDF-SHA256) from `KEY_ENCRYPTION_KEY`, with the
 * endpoint's URL authenticated, so that whoever may write to the table can't have another's messages signed.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto"
import * as Redacted from "effect/Redacted"

const NONCE_BYTES = 12
const TAG_BYTES = 16
const INFO = "floodgate webhook secrets, aes-256-gcm"

export interface Sealed {
  /** Which key it takes: 16 hex digits that tell nothing about it. */
  readonly kekId: string
  /** Nonce, tag, ciphertext. */
  readonly bytes: Buffer
}

/** A new secret of an endpoint, 256 bits. */
export const generate = (): string => `whsec_${randomBytes(32).toString("base64url")}`

/** At least one secret: the first seals, every one opens. */
export const make = (secrets: ReadonlyArray<Redacted.Redacted<string>>) => {
  const keks = secrets.map((secret) => {
    const key = Buffer.from(hkdfSync("sha256", Redacted.value(secret), "", INFO, 32))
    return { key, id: createHash("sha256").update(key).digest("hex").slice(0, 16) }
  })
  return {
    seal: (url: string, secret: string): Sealed => {
      const { id, key } = keks[0]!
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(Buffer.from(url, "latin1"))
      const text = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()])
      return { kekId: id, bytes: Buffer.concat([nonce, cipher.getAuthTag(), text]) }
    },
    /** Undefined where no key opens it, or it was tampered with. */
    open: (url: string, { kekId, bytes }: Sealed): string | undefined => {
      const kek = keks.find(({ id }) => id === kekId)
      if (kek === undefined || bytes.length <= NONCE_BYTES + TAG_BYTES) return undefined
      try {
        const cipher = createDecipheriv("aes-256-gcm", kek.key, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        })
        cipher.setAAD(Buffer.from(url, "latin1"))
        cipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
        const text = Buffer.concat([cipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), cipher.final()])
        return text.toString("utf8")
      } catch {
        return undefined
      }
    },
  }
}
