/**
 * Reads access tokens: compact JWS, RS256 and nothing else, with the exact type, issuer and audience that identity
 * signs. Pure but for the RSA operation; the keys are an argument.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto"
import type { User } from "@floodgate/contracts/http/Auth"

export const ISSUER = "floodgate"
export const AUDIENCE = "floodgate-edge"
export const TYPE = "at+jwt"
const ALGORITHM = "RS256"

/** Ours have about 700 characters. */
const MAX_LENGTH = 4096

/** How far identity's clock may be ahead of ours, in seconds. */
const SKEW_S = 5

export interface Verified {
  readonly user: User
  /** Unix ms at which it was issued. */
  readonly issuedMs: number
  /** Unix ms from which it is no longer good. */
  readonly expiresMs: number
}

/** The keys by id. */
export type Keys = ReadonlyMap<string, KeyObject>

/** The RSA signing keys of a JWK set; anything else in it is passed over. Undefined where it isn't a key set. */
export const keysOf = (jwksJson: string): Keys | undefined => {
  try {
    const set = JSON.parse(jwksJson) as { keys?: unknown }
    if (!Array.isArray(set.keys)) return undefined
    const keys = new Map<string, KeyObject>()
    for (const jwk of set.keys as ReadonlyArray<Record<string, unknown>>) {
      if (jwk["kty"] !== "RSA" || typeof jwk["kid"] !== "string") continue
      if (jwk["use"] !== undefined && jwk["use"] !== "sig") continue
      if (jwk["alg"] !== undefined && jwk["alg"] !== ALGORITHM) continue
      const key = createPublicKey({ key: { kty: "RSA", n: jwk["n"], e: jwk["e"] } as never, format: "jwk" })
      if ((key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048) keys.set(jwk["kid"], key)
    }
    return keys
  } catch {
    return undefined
  }
}

const BASE64URL = /^[A-Za-z0-9_-]+$/

const json = (segment: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(Buffer.from(segment, "base64url").toString("utf8"))
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

// One header a key: read once, not once a token.
const MAX_HEADERS = 64
const kids = new Map<string, string | undefined>()

/** The key id that a header names, where the header is one of ours. */
const kidOf = (segment: string): string | undefined => {
  if (kids.has(segment)) return kids.get(segment)
  const header = json(segment)
  const ours =
    header !== undefined &&
    header["alg"] === ALGORITHM &&
    header["typ"] === TYPE &&
    header["crit"] === undefined &&
    typeof header["kid"] === "string"
  const kid = ours ? (header["kid"] as string) : undefined
  if (kids.size >= MAX_HEADERS) kids.clear()
  kids.set(segment, kid)
  return kid
}

const userOf = (claims: Record<string, unknown>): User | undefined => {
  const { sub, username, roles } = claims
  if (typeof sub !== "string" || !/^[1-9]\d{0,15}$/.test(sub) || !Number.isSafeInteger(Number(sub))) {
    return undefined
  }
  if (typeof username !== "string" || !Array.isArray(roles)) return undefined
  if (!roles.every((role): role is string => typeof role === "string")) return undefined
  return { userId: Number(sub), username, roles }
}

const isTime = (claim: unknown): claim is number => typeof claim === "number" && Number.isFinite(claim)

/** To the millisecond where the token says so; else the second's beginning: rather too early than too late. */
const issuedMsOf = ({ iat, iat_ms }: Record<string, unknown>): number | undefined => {
  if (isTime(iat_ms)) return iat_ms
  return isTime(iat) ? iat * 1000 : undefined
}

/** The token's bearer; `unknown_key` where only newer keys could tell; undefined where it is not good, whatever the keys. */
export const read = (token: string, keys: Keys, nowMs: number): Verified | "unknown_key" | undefined => {
  if (token.length > MAX_LENGTH) return undefined
  const first = token.indexOf(".")
  const second = token.indexOf(".", first + 1)
  if (first <= 0 || second < 0 || token.indexOf(".", second + 1) >= 0) return undefined
  const kid = kidOf(token.slice(0, first))
  if (kid === undefined) return undefined
  const signature = token.slice(second + 1)
  if (!BASE64URL.test(signature)) return undefined
  const key = keys.get(kid)
  if (key === undefined) return "unknown_key"
  const signed = Buffer.from(token.slice(0, second), "latin1")
  if (!verify("RSA-SHA256", signed, key, Buffer.from(signature, "base64url"))) return undefined
  const claims = json(token.slice(first + 1, second))
  if (claims === undefined || claims["iss"] !== ISSUER || claims["aud"] !== AUDIENCE) return undefined
  const { exp, nbf } = claims
  if (!isTime(exp) || exp * 1000 <= nowMs) return undefined
  if (!isTime(nbf) || (nbf - SKEW_S) * 1000 > nowMs) return undefined
  const user = userOf(claims)
  const issuedMs = issuedMsOf(claims)
  return user === undefined || issuedMs === undefined ? undefined : { user, issuedMs, expiresMs: exp * 1000 }
}

/** When a token was issued and when it ends, of one that was found good already: nothing is verified here. */
export const timesOf = (token: string): Pick<Verified, "issuedMs" | "expiresMs"> | undefined => {
  const claims = json(token.split(".")[1] ?? "")
  const issuedMs = claims === undefined ? undefined : issuedMsOf(claims)
  const exp = claims?.["exp"]
  return issuedMs === undefined || !isTime(exp) ? undefined : { issuedMs, expiresMs: exp * 1000 }
}
