/** Pictures as they are taken and served. */
import * as Schema from "effect/Schema"

/** What is taken. What is served is always WebP. */
export const MEDIA_TYPES = ["image/png", "image/jpeg", "image/webp"] as const
export type MediaType = (typeof MEDIA_TYPES)[number]

/** Where a picture is served: its name is the SHA-256 of its bytes, so it never changes. */
export const MEDIA_PATH = /^\/media\/([0-9a-f]{64})\.webp$/

export const Media = Schema.Struct({
  url: Schema.String.pipe(Schema.pattern(MEDIA_PATH)),
  /** Of the picture that is served, pixels. */
  width: Schema.Int,
  height: Schema.Int,
  bytes: Schema.Int,
}).annotations({ identifier: "Media" })
export type Media = typeof Media.Type

const starts = (bytes: Uint8Array, at: number, text: string): boolean =>
  bytes.length >= at + text.length && [...text].every((char, i) => bytes[at + i] === char.charCodeAt(0))

/** What the bytes say they are, by their first few; undefined for anything else. */
export const typeOf = (bytes: Uint8Array): MediaType | undefined => {
  if (starts(bytes, 0, "\u0089PNG\r\n\u001a\n")) return "image/png"
  if (starts(bytes, 0, "\u00ff\u00d8\u00ff")) return "image/jpeg"
  return starts(bytes, 0, "RIFF") && starts(bytes, 8, "WEBP") ? "image/webp" : undefined
}
