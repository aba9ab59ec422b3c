/**
 * Where a product's picture may come from: our own `/media/…`, or a public https address. Browsers of buyers fetch it,
 * so it must not point into anyone's private network, and never carry a script or a credential.
 */
import * as Schema from "effect/Schema"
import { ProductBounds } from "../sale/ProductBounds.ts"

const MEDIA = /^\/media\/[A-Za-z0-9_-]+(\.[A-Za-z0-9]+)?$/
const IPV4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/
const PRIVATE_NAMES =
  /(^|\.)(localhost|local|localdomain|internal|intranet|lan|home|corp|test|invalid|onion|home\.arpa)\.?$/

const isPublicV4 = (a: number, b: number, c: number): boolean =>
  !(
    a === 0 ||
    a === 10 ||
    a === 127 ||
    a >= 224 ||
    (a === 100 && b >= 64 && b <= 127) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b <= 31) ||
    (a === 192 && b === 168) ||
    (a === 192 && b === 0 && (c === 0 || c === 2)) ||
    (a === 198 && (b === 18 || b === 19)) ||
    (a === 198 && b === 51 && c === 100) ||
    (a === 203 && b === 0 && c === 113)
  )

const isPublicHost = (host: string): boolean => {
  // Address literals in brackets have no use for a shop's pictures, and too many private spellings.
  if (host.startsWith("[")) return false
  const v4 = IPV4.exec(host)
  if (v4 !== null) return isPublicV4(Number(v4[1]), Number(v4[2]), Number(v4[3]))
  return host.includes(".") && !PRIVATE_NAMES.test(host)
}

/** Whether buyers' browsers may be sent there. Host names are not resolved. */
export const isImageUrl = (text: string): boolean => {
  if (text.startsWith("/")) return MEDIA.test(text)
  // The parser forgives blanks and control characters; a stored text must not hold them.
  if (/[\s\p{Cc}\\]/u.test(text) || !URL.canParse(text)) return false
  const url = new URL(text)
  return url.protocol === "https:" && url.username === "" && url.password === "" && isPublicHost(url.hostname)
}

export const ImageUrl = Schema.String.pipe(
  Schema.maxLength(ProductBounds.image),
  Schema.filter((text) => isImageUrl(text) || "must be a public https URL or /media/…"),
)
