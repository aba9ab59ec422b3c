/**
 * Text that people write and other people read. NUL, control and bidirectional-override characters are refused,
 * because they change what a reader sees; lone surrogates, because they are not text. Anything else is stored as it
 * came: SQL, Lua and markup are just letters here.
 */
import * as Schema from "effect/Schema"

// Bidirectional embeddings, overrides and isolates, and the invisible marks that steer them.
const BIDI = "\\u061C\\u200E\\u200F\\u202A-\\u202E\\u2066-\\u2069"
const LINE = new RegExp(`[\\p{Cc}\\p{Cs}\\u2028\\u2029${BIDI}]`, "u")
// As LINE, but tabs and line ends are what paragraphs are made of.
const PARAGRAPHS = new RegExp(`(?![\\t\\n\\r])[\\p{Cc}\\p{Cs}${BIDI}]`, "u")

const bounded = (min: number, max: number, refused: RegExp) =>
  Schema.String.pipe(
    Schema.filter(
      (text) => {
        // Characters as MySQL counts them, not UTF-16 units.
        const length = text.length <= max ? text.length : [...text].length
        if (length < min || length > max) return `must have ${min} to ${max} characters`
        if (min > 0 && text.trim() === "") return "must not be blank"
        return !refused.test(text) || "must not hold control or bidirectional characters"
      },
      { jsonSchema: { minLength: min, maxLength: max } },
    ),
  )

/** One line of text, in characters. */
export const line = (min: number, max: number) => bounded(min, max, LINE)

/** Text that may have several lines, in characters. */
export const paragraphs = (max: number) => bounded(0, max, PARAGRAPHS)
