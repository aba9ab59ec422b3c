/**
 * The signature scheme of the sandbox provider's callbacks: `t=<unix seconds>,v1=<hex>[,v1=<hex>]`, HMAC-SHA-256 of
 * `<t>.<raw body>`. Several `v1` and several secrets let either side rotate. Comparison takes constant time.
 */
import { createHmac, timingSafeEqual } from "node:crypto"

/** How far `t` may be off, either way, in seconds. */
export const TOLERANCE_S = 300

const digest = (secret: string, t: string, body: Uint8Array): Buffer =>
  createHmac("sha256", secret).update(`${t}.`).update(body).digest()

/** The header's value for a body, signed by each of the secrets. */
export const sign = (secrets: ReadonlyArray<string>, nowMs: number, body: Uint8Array): string => {
  const t = String(Math.floor(nowMs / 1000))
  return [`t=${t}`, ...secrets.map((s) => `v1=${digest(s, t, body).toString("hex")}`)].join(",")
}

/** Whether any signature in the header is that of any active secret, and its time near enough. */
export const verify = (
  secrets: ReadonlyArray<string>,
  nowMs: number,
  header: string | undefined,
  body: Uint8Array,
): boolean => {
  if (header === undefined || header.length > 2048) return false
  let t: string | undefined
  const given: Array<Buffer> = []
  for (const part of header.split(",")) {
    const [name, value] = [part.slice(0, part.indexOf("=")).trim(), part.slice(part.indexOf("=") + 1).trim()]
    if (name === "t" && t === undefined && /^\d{1,12}$/.test(value)) t = value
    else if (name === "v1" && /^[0-9a-f]{64}$/.test(value)) given.push(Buffer.from(value, "hex"))
  }
  if (t === undefined || Math.abs(nowMs / 1000 - Number(t)) > TOLERANCE_S) return false
  let good = false
  for (const secret of secrets) {
    const expected = digest(secret, t, body)
    for (const g of given) good = timingSafeEqual(expected, g) || good
  }
  return good
}
