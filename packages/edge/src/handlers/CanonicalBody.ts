/**
 * The fingerprint by which a repeated `Idempotency-Key` is compared: of what a body means, not of how it was written.
 * Field order, blanks and spelled-out defaults make no difference.
 */
import { createHash } from "node:crypto"

const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== "object" || value === null) return value
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(fields.map(([key, field]) => [key, canonical(field)]))
}

/** SHA-256, hex, of a decoded payload. */
export const hash = (payload: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(canonical(payload)))
    .digest("hex")
