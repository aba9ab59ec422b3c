/**
 * The order number: 38 sortable characters that say when it was made, for which product and generation, and whether
 * it was ever issued to this user.
 *
 * | field | characters (base 62) | holds |
 * |---|---|---|
 * | time | 7 | Unix ms, until the year 2081 |
 * | product | 9 | product id, ≤ 2^53 − 1 |
 * | generation | 3 | ≤ 238,327 |
 * | random | 7 | 41.7 bits |
 * | mac | 12 | 71 bits of HMAC-SHA-256 over all before and the user id |
 *
 * The alphabet is in ASCII order, so numbers sort by time wherever bytes are compared (columns are `ascii_bin`).
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
const VALUE = new Map([...ALPHABET].map((c, i) => [c, i]))
const BASE = ALPHABET.length

const TIME = 7
const PRODUCT = 9
const GENERATION = 3
const RANDOM = 7
const MAC = 12
const BODY = TIME + PRODUCT + GENERATION + RANDOM

export const LENGTH = BODY + MAC

export const MAX_GENERATION = BASE ** GENERATION - 1

const encode = (n: number, width: number): string => {
  let text = ""
  for (let i = 0; i < width; i++) {
    text = ALPHABET[n % BASE] + text
    n = Math.floor(n / BASE)
  }
  return text
}

const decode = (text: string): number => {
  let n = 0
  for (const c of text) n = n * BASE + VALUE.get(c)!
  return n
}

// One system call serves many numbers.
const POOL_BYTES = 6 * 512
let pool = Buffer.alloc(0)
let poolAt = 0

const random48 = (): number => {
  if (poolAt + 6 > pool.length) {
    pool = randomBytes(POOL_BYTES)
    poolAt = 0
  }
  const n = pool.readUIntBE(poolAt, 6)
  poolAt += 6
  return n
}

const mac = (key: string, body: string, userId: number): string => {
  const digest = createHmac("sha256", key).update(`${body}.${userId}`).digest()
  return encode(digest.readUIntBE(0, 6), MAC / 2) + encode(digest.readUIntBE(6, 6), MAC / 2)
}

export interface OrderNumFields {
  /** Unix ms at which it was made. */
  readonly timeMs: number
  readonly productId: number
  readonly generation: number
}

/** Makes a number for one reservation; `key` is ORDER_NUM_KEY, shared by inventory and ordering. */
export const make = (key: string, userId: number, fields: OrderNumFields): string => {
  const body =
    encode(fields.timeMs, TIME) +
    encode(fields.productId, PRODUCT) +
    encode(fields.generation, GENERATION) +
    encode(random48() % BASE ** RANDOM, RANDOM)
  return body + mac(key, body, userId)
}

const SHAPE = new RegExp(`^[0-9A-Za-z]{${LENGTH}}$`)

/** The fields of a number, or undefined where the text isn't one. Doesn't check the MAC. */
export const parse = (text: string): OrderNumFields | undefined => {
  if (!SHAPE.test(text)) return undefined
  const productId = decode(text.slice(TIME, TIME + PRODUCT))
  if (!Number.isSafeInteger(productId)) return undefined
  return {
    timeMs: decode(text.slice(0, TIME)),
    productId,
    generation: decode(text.slice(TIME + PRODUCT, TIME + PRODUCT + GENERATION)),
  }
}

/** The fields of a number that was issued to this user; undefined for any other text. Constant time in the MAC. */
export const verify = (key: string, text: string, userId: number): OrderNumFields | undefined => {
  const fields = parse(text)
  if (fields === undefined) return undefined
  const expected = Buffer.from(mac(key, text.slice(0, BODY), userId))
  return timingSafeEqual(expected, Buffer.from(text.slice(BODY))) ? fields : undefined
}
