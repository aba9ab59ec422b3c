/**
 * Signed heads: once an hour the sealer says, under its signature and outside MySQL, how far the chain has come and
 * with which hash. Whoever recomputes the chain in the database can't make it fit the heads that were signed before.
 *
 * A head is one line of JSON. Its signature is Ed25519 over the other fields, so that whoever verifies need not be able
 * to sign; the key is made from the secret AUDIT_KEY. Each line carries the SHA-256 of the same service's line before
 * it: a line that was taken out is missed.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  sign as signWith,
  verify as verifyWith,
} from "node:crypto"
import * as Redacted from "effect/Redacted"

export interface AuditHead {
  readonly service: string
  /** Links in the chain, and the last one's hash; 0 and the genesis before the first. */
  readonly seq: number
  readonly hash: string
  /** Unix ms by the database's clock, at a moment when every committed row was in the chain. */
  readonly at_ms: number
  /** The SHA-256 of this service's line before it, hex; "" where it is the first. */
  readonly previous: string
}

/** A line of a head file. */
export interface HeadLine {
  /** Counted from 1. */
  readonly number: number
  readonly text: string
  /** Undefined for a line that isn't a head. */
  readonly head: (AuditHead & { readonly key: string; readonly signature: string }) | undefined
}

/** The DER prefix of an Ed25519 private key (RFC 8410, PKCS #8); its 32 bytes follow. */
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex")
/** The DER prefix of an Ed25519 public key (RFC 8410); its 32 bytes follow. */
const SPKI = Buffer.from("302a300506032b6570032100", "hex")

export interface SigningKey {
  readonly privateKey: KeyObject
  /** The public key, 32 bytes as base64url: what a verifier trusts. */
  readonly publicKey: string
}

/** The signing key that a secret stands for; the same for the same secret. */
export const signingKey = (secret: Redacted.Redacted): SigningKey => {
  const seed = Buffer.from(hkdfSync("sha256", Redacted.value(secret), "", "floodgate audit head 1", 32))
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" })
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" })
  return { privateKey, publicKey: spki.subarray(SPKI.length).toString("base64url") }
}

const signed = (head: AuditHead): Buffer =>
  Buffer.from(
    JSON.stringify(["floodgate audit head 1", head.service, head.seq, head.hash, head.at_ms, head.previous]),
  )

/** A head as a line, without its line break. */
export const format = (head: AuditHead, key: SigningKey): string =>
  JSON.stringify({
    ...head,
    key: key.publicKey,
    signature: signWith(null, signed(head), key.privateKey).toString("base64url"),
  })

const HEX = /^[0-9a-f]{64}$/
const PUBLIC_KEY = /^[A-Za-z0-9_-]{43}$/

/** Whether this text is a public key as `HeadLine.key` has it. */
export const isPublicKey = (text: string): boolean => PUBLIC_KEY.test(text)

const parseLine = (text: string): HeadLine["head"] => {
  let value: Record<string, unknown>
  try {
    value = JSON.parse(text) as Record<string, unknown>
  } catch {
    return undefined
  }
  const { service, seq, hash, at_ms, previous, key, signature } = value ?? {}
  return typeof service === "string" &&
    Number.isSafeInteger(seq) &&
    typeof hash === "string" &&
    HEX.test(hash) &&
    Number.isSafeInteger(at_ms) &&
    typeof previous === "string" &&
    typeof key === "string" &&
    isPublicKey(key) &&
    typeof signature === "string"
    ? { service, seq: seq as number, hash, at_ms: at_ms as number, previous, key, signature }
    : undefined
}

/** The lines of a head file; blank ones are left out. */
export const parse = (content: string): ReadonlyArray<HeadLine> =>
  content
    .split("\n")
    .map((text, index) => ({ number: index + 1, text, head: text === "" ? undefined : parseLine(text) }))
    .filter(({ text }) => text !== "")

/** What the next line of the same service carries as `previous`. */
export const fingerprint = (line: string): string => createHash("sha256").update(line).digest("hex")

/** Whether a line was signed by the key that it names. Whether that key is trusted is the caller's to say. */
export const isGenuine = (head: NonNullable<HeadLine["head"]>): boolean => {
  const key = createPublicKey({
    key: Buffer.concat([SPKI, Buffer.from(head.key, "base64url")]),
    format: "der",
    type: "spki",
  })
  return verifyWith(null, signed(head), key, Buffer.from(head.signature, "base64url"))
}
