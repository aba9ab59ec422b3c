/**
 * Devices, as far as they can be believed. The edge issues ids that nobody else can make, in the cookie `fg_device`; a
 * client without cookies sends the same text as `x-device-id`. Any other `x-device-id` is a hint: it is counted where
 * that makes a limit tighter, and believed nowhere. A request without either has no device, which is not the same as
 * sharing one with all others that have none.
 *
 * Text of an id: `<22 characters at random>.<22 characters of HMAC-SHA256>`.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { Generations } from "../limits/Generations.ts"

export const COOKIE = "fg_device"
export const HEADER = "x-device-id"

export interface Device {
  /** What stands for it in counters and records: its id where that is signed; of a hint only a hash. */
  readonly key: string
  /** Whether the edge issued it. */
  readonly signed: boolean
}

/** A request's headers, lower case: Node's, or the platform's. */
export type Headers = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

export interface Devices {
  /** The device of a request; undefined where it has none. A signed id goes before a hint, the cookie before the header. */
  readonly of: (headers: Headers) => Device | undefined
  /** The id that tickets are bound to; undefined where there is only a hint, or nothing. */
  readonly signedIdOf: (headers: Headers) => string | undefined
  /** A new id, signed. */
  readonly issue: () => string
}

const SHAPE = /^([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})$/
const HINT = /^[\x21-\x7e]{1,128}$/
/** What programs write where they have no id: it is nobody's. */
const NOBODY = new Set(["null", "undefined", "unknown", "none", "0", "-"])
/** Texts whose meaning is remembered; twice as many at most. */
const REMEMBERED = 20_000

/** The cookie's value; the last of several, as that of the narrowest path can't be told apart. */
const cookieOf = (header: Headers[string]): string | undefined => {
  if (typeof header !== "string") return undefined
  const at = header.lastIndexOf(`${COOKIE}=`)
  if (at < 0 || (at > 0 && header[at - 1] !== " " && header[at - 1] !== ";")) return undefined
  const end = header.indexOf(";", at)
  return header.slice(at + COOKIE.length + 1, end < 0 ? undefined : end).trim()
}

/** The first key signs, all of them verify. At least one. */
export const make = (keys: ReadonlyArray<string>): Devices => {
  if (keys.length === 0) throw new Error("device ids need a key")
  // Apart from whatever else these keys sign.
  const derived = keys.map((key) => createHmac("sha256", key).update("fg_device").digest())
  const mac = (key: Buffer, id: string): Buffer =>
    createHmac("sha256", key).update(id).digest().subarray(0, 16)
  const remembered = new Generations<string, Device>(REMEMBERED)

  const verify = (text: string): Device | undefined => {
    const match = SHAPE.exec(text)
    if (match === null) return undefined
    const given = Buffer.from(match[2]!, "base64url")
    const good = given.length === 16 && derived.some((key) => timingSafeEqual(given, mac(key, match[1]!)))
    return good ? { key: match[1]!, signed: true } : undefined
  }

  const read = (text: string): Device | undefined => {
    const known = remembered.get(text)
    if (known !== undefined) return known
    if (!HINT.test(text) || NOBODY.has(text.toLowerCase())) return undefined
    const device = verify(text) ?? {
      key: `~${createHash("sha256").update(text).digest("base64url").slice(0, 22)}`,
      signed: false,
    }
    remembered.set(text, device)
    return device
  }

  const of = (headers: Headers): Device | undefined => {
    const cookie = cookieOf(headers["cookie"])
    const device = cookie === undefined ? undefined : read(cookie)
    if (device?.signed === true) return device
    const header = headers[HEADER]
    return typeof header === "string" ? read(header) : undefined
  }

  return {
    of,
    signedIdOf: (headers) => {
      const device = of(headers)
      return device?.signed === true ? device.key : undefined
    },
    issue: () => {
      const id = randomBytes(17).toString("base64url").slice(0, 22)
      return `${id}.${mac(derived[0]!, id).toString("base64url")}`
    },
  }
}
