/** Points in time on the wire: RFC 3339. Answers are UTC with milliseconds; requests may carry any offset. */
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** As answered: `2026-01-31T08:00:00.000Z`. */
export const Timestamp = Schema.String.pipe(
  Schema.pattern(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/),
).annotations({ jsonSchema: { format: "date-time" }, description: "RFC 3339, UTC, milliseconds" })

/** Unix ms as answered. */
export const format = (unixMs: number): string => new Date(unixMs).toISOString()

const RFC3339 =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/

// Order numbers and DATETIME columns reach beyond this; nobody plans a sale there.
const LATEST_MS = Date.UTC(2080, 0, 1)

/** Unix ms of an RFC 3339 text, or undefined where it is none (also for 30 February) or out of range. */
export const parse = (text: string): number | undefined => {
  const match = RFC3339.exec(text)
  if (match === null) return undefined
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])]
  if (new Date(Date.UTC(year, month - 1, day)).getUTCDate() !== day) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) || ms < 0 || ms >= LATEST_MS ? undefined : ms
}

/** As asked for: RFC 3339 text, decoded to Unix ms. */
export const Instant = Schema.transformOrFail(
  Schema.String.annotations({ jsonSchema: { type: "string", format: "date-time" } }),
  Schema.Int,
  {
    strict: true,
    decode: (text, _options, ast) => {
      const ms = parse(text)
      return ms === undefined
        ? ParseResult.fail(new ParseResult.Type(ast, text, "must be an RFC 3339 date and time"))
        : ParseResult.succeed(ms)
    },
    encode: (ms) => ParseResult.succeed(format(ms)),
  },
)
