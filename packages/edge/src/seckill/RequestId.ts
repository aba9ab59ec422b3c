/**
 * The id under which inventory knows a wish: 16 characters of base64url. The same user, product and `Idempotency-Key`
 * give the same id; without a key each request is a wish of its own.
 */
import { createHash, randomBytes } from "node:crypto"

const BYTES = 12
const POOL_BYTES = BYTES * 256
let pool = Buffer.alloc(0)
let poolAt = 0

/** A wish of its own. */
export const random = (): string => {
  if (poolAt === pool.length) {
    pool = randomBytes(POOL_BYTES)
    poolAt = 0
  }
  const id = pool.toString("base64url", poolAt, poolAt + BYTES)
  poolAt += BYTES
  return id
}

/** The id of a key, in the scope of user and product. */
export const ofKey = (userId: number, productId: number, key: string): string =>
  createHash("sha256").update(`${userId}|${productId}|${key}`).digest("base64url").slice(0, 16)
