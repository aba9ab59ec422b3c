/**
 * Who calls: the credential of a service, and the user for whom it calls.
 *
 * Both travel as short-lived tokens `base64url(JSON).base64url(HMAC-SHA256)`, signed with a key that only Floodgate's
 * services hold. The service's own is `authorization: Bearer …` and carries `{svc, exp}`; the user's is
 * `x-floodgate-caller` and carries `{user_id, username, roles, exp}`. The kind of a token is part of what is signed,
 * so neither can be passed off as the other.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/** The user on whose behalf a call is made. */
export interface Caller {
  readonly user_id: number
  readonly username: string
  readonly roles: ReadonlyArray<string>
}

/** Metadata keys of the two tokens. */
export const authorizationKey = "authorization"
export const callerKey = "x-floodgate-caller"

/** How long a token is good for. */
export const ttlMs = 60_000

/** A key shorter than this could be guessed. */
export const minKeyLength = 32

/** How many service tokens a verifier remembers: two for each process that calls it, many times over. */
const maxRemembered = 256

type Kind = "floodgate-service-v1" | "floodgate-caller-v1"

const mac = (key: KeyObject, kind: Kind, payload: string): Buffer =>
  createHmac("sha256", key).update(kind).update(".").update(payload).digest()

const sign = (key: KeyObject, kind: Kind, claims: object): string => {
  const payload = Buffer.from(JSON.stringify(claims)).toString("base64url")
  return `${payload}.${mac(key, kind, payload).toString("base64url")}`
}

const verify = (
  keys: ReadonlyArray<KeyObject>,
  kind: Kind,
  token: string,
  nowMs: number,
): Record<string, unknown> | undefined => {
  const dot = token.indexOf(".")
  if (dot <= 0) return undefined
  const payload = token.slice(0, dot)
  const given = Buffer.from(token.slice(dot + 1), "base64url")
  if (given.length !== 32) return undefined
  // Every key is tried whatever the first ones say, so that time tells nothing about which one fits.
  const genuine = keys.reduce((found, key) => timingSafeEqual(mac(key, kind, payload), given) || found, false)
  if (!genuine) return undefined
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as Record<string, unknown>
  return typeof claims["exp"] === "number" && nowMs < claims["exp"] * 1000 ? claims : undefined
}

const expiry = (nowMs: number): number => Math.ceil((nowMs + ttlMs) / 1000)

/** A service's token, good for 60 s from `nowMs`. */
export const signService = (key: KeyObject, service: string, nowMs: number): string =>
  sign(key, "floodgate-service-v1", { svc: service, exp: expiry(nowMs) })

/** A service's name, and until when (Unix seconds) its token says so. */
export interface ServiceClaims {
  readonly svc: string
  readonly exp: number
}

/** What a service's token says; undefined where it is malformed, forged or past its time. */
export const verifyService = (
  keys: ReadonlyArray<KeyObject>,
  token: string,
  nowMs: number,
): ServiceClaims | undefined => {
  const claims = verify(keys, "floodgate-service-v1", token, nowMs)
  return typeof claims?.["svc"] === "string"
    ? { svc: claims["svc"], exp: claims["exp"] as number }
    : undefined
}

/** A user's token, good for 60 s from `nowMs`. */
export const signCaller = (key: KeyObject, caller: Caller, nowMs: number): string =>
  sign(key, "floodgate-caller-v1", {
    user_id: caller.user_id,
    username: caller.username,
    roles: caller.roles,
    exp: expiry(nowMs),
  })

/** The user that a token speaks for; undefined where it is malformed, forged or past its time. */
export const verifyCaller = (
  keys: ReadonlyArray<KeyObject>,
  token: string,
  nowMs: number,
): Caller | undefined => {
  const claims = verify(keys, "floodgate-caller-v1", token, nowMs)
  if (claims === undefined) return undefined
  const { user_id, username, roles } = claims
  return Number.isSafeInteger(user_id) &&
    typeof username === "string" &&
    Array.isArray(roles) &&
    roles.every((role) => typeof role === "string")
    ? { user_id: user_id as number, username, roles }
    : undefined
}

export interface ServiceCredentialShape {
  /** The name under which this process calls others. */
  readonly service: string
  /** The value of `authorization` for a call made now. Kept and renewed at half its life. */
  readonly authorization: () => string
  /** The value of `x-floodgate-caller` for a call made now on this user's behalf. */
  readonly callerToken: (caller: Caller) => string
  /** The calling service's name; undefined where the header is missing, malformed, forged or expired. */
  readonly verifyAuthorization: (header: string | undefined) => string | undefined
  /** The user on whose behalf the call came; undefined where the token is malformed, forged or expired. */
  readonly verifyCaller: (token: string) => Caller | undefined
}

/** The shared secret of the services, as the power to sign and to verify. */
export class ServiceCredential extends Context.Tag("@floodgate/contracts/rpc/ServiceCredential")<
  ServiceCredential,
  ServiceCredentialShape
>() {}

/**
 * `keys`: the first signs, all verify, so a key is rotated by putting the new one second everywhere, then first, then
 * dropping the old. `nowMs` is Unix time in milliseconds. Throws a RangeError when there is no key or one has under
 * 32 characters: a programmer's error, since configuration is checked before.
 */
export const make = (options: {
  readonly service: string
  readonly keys: ReadonlyArray<Redacted.Redacted<string>>
  readonly nowMs?: () => number
}): ServiceCredentialShape => {
  const now = options.nowMs ?? Date.now
  const keys = options.keys.map(Redacted.value).map((text) => {
    if (text.length < minKeyLength) throw new RangeError(`a service key has under ${minKeyLength} characters`)
    return createSecretKey(text, "utf8")
  })
  const [signing] = keys
  if (signing === undefined) throw new RangeError("there is no service key")
  let header = ""
  let renewAtMs = 0
  // A service sends the same token for half a minute, thousands of times: one found genuine is remembered until it
  // expires. Looking it up tells nothing by its time, since whatever isn't already equal differs in its hash.
  const genuine = new Map<string, ServiceClaims>()
  const verifyAuthorization = (value: string | undefined): string | undefined => {
    if (value === undefined || !value.startsWith("Bearer ")) return undefined
    const nowMs = now()
    const known = genuine.get(value)
    if (known !== undefined && nowMs < known.exp * 1000) return known.svc
    genuine.delete(value)
    const claims = verifyService(keys, value.slice(7), nowMs)
    if (claims === undefined) return undefined
    if (genuine.size >= maxRemembered) genuine.clear()
    genuine.set(value, claims)
    return claims.svc
  }
  return {
    service: options.service,
    authorization: () => {
      const nowMs = now()
      if (nowMs >= renewAtMs) {
        header = `Bearer ${signService(signing, options.service, nowMs)}`
        renewAtMs = nowMs + ttlMs / 2
      }
      return header
    },
    callerToken: (caller) => signCaller(signing, caller, now()),
    verifyAuthorization,
    verifyCaller: (token) => verifyCaller(keys, token, now()),
  }
}

/** The credential of `service`, from its keys. */
export const layer = (options: {
  readonly service: string
  readonly keys: ReadonlyArray<Redacted.Redacted<string>>
}): Layer.Layer<ServiceCredential> => Layer.sync(ServiceCredential, () => make(options))
