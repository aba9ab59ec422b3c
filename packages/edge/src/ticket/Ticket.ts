/**
 * The ticket of a buyer for one product: everything that was proved before the click, in one short-lived signed text.
 * A challenge adds `challenge`, a waiting room adds `queue`; whoever issues one carries over what an earlier ticket of
 * the same buyer proved ({@link Signer.verify} first). It can't be passed on: user, product and device are inside.
 *
 * Text: `<base64url of the claims>.<base64url of HMAC-SHA256 over that>`, at most 2,048 characters.
 */
import { createHmac, timingSafeEqual } from "node:crypto"

/** What a ticket can prove. */
export const proofs = ["challenge", "queue"] as const
export type Proof = (typeof proofs)[number]

/** How long a ticket lives unless said (ms). */
export const LIFE_MS = 60_000

export interface Claims {
  readonly user: number
  readonly product: number
  /** The device that it was given to; left out, it isn't bound to one. */
  readonly device?: string
  readonly proved: ReadonlyArray<Proof>
  /** Unix ms. */
  readonly exp: number
}

/** Who presents a ticket, and for what. */
export interface Bearer {
  readonly user: number
  readonly product: number
  /** The request's device; undefined where it has none, which fits only tickets that are bound to none. */
  readonly device?: string | undefined
}

export interface Signer {
  readonly sign: (claims: Claims) => string
  /**
   * What the ticket proves for this bearer now; empty where it is expired, forged, somebody else's or none at all. One
   * HMAC, for the hot path.
   */
  readonly verify: (ticket: string | undefined, bearer: Bearer, nowMs: number) => ReadonlySet<Proof>
}

const NOTHING: ReadonlySet<Proof> = new Set()
const MAX_LENGTH = 2_048

const isClaims = (value: unknown): value is Claims => {
  if (typeof value !== "object" || value === null) return false
  const { user, product, device, proved, exp } = value as Record<string, unknown>
  return (
    Number.isSafeInteger(user) &&
    Number.isSafeInteger(product) &&
    Number.isSafeInteger(exp) &&
    (device === undefined || typeof device === "string") &&
    Array.isArray(proved)
  )
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString("utf8"))
  } catch {
    return undefined
  }
}

/** The first key signs, all of them verify: so that keys can be rotated. At least one. */
export const make = (keys: ReadonlyArray<string>): Signer => {
  const [signing] = keys
  if (signing === undefined) throw new Error("tickets need a key")
  const mac = (key: string, text: string): Buffer => createHmac("sha256", key).update(text).digest()
  return {
    sign: (claims) => {
      const text = Buffer.from(JSON.stringify(claims)).toString("base64url")
      return `${text}.${mac(signing, text).toString("base64url")}`
    },
    verify: (ticket, bearer, nowMs) => {
      if (ticket === undefined || ticket.length > MAX_LENGTH) return NOTHING
      const dot = ticket.indexOf(".")
      if (dot < 0) return NOTHING
      const text = ticket.slice(0, dot)
      const given = Buffer.from(ticket.slice(dot + 1), "base64url")
      if (given.length !== 32 || !keys.some((key) => timingSafeEqual(given, mac(key, text)))) return NOTHING
      const claims = parse(text)
      if (!isClaims(claims) || claims.exp <= nowMs) return NOTHING
      if (claims.user !== bearer.user || claims.product !== bearer.product) return NOTHING
      if (claims.device !== undefined && claims.device !== bearer.device) return NOTHING
      return new Set(claims.proved)
    },
  }
}
