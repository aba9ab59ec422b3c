/** Lists: `limit` and an opaque `cursor` in, `{items, next_cursor}` out; null at the end. */
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

export const DEFAULT_LIMIT = 20
export const MAX_LIMIT = 100

/** A `limit` as it stands in a query. */
export const Limit = Schema.transformOrFail(
  Schema.String.annotations({ jsonSchema: { type: "integer", minimum: 1, maximum: MAX_LIMIT } }),
  Schema.Int,
  {
    strict: true,
    decode: (text, _options, ast) => {
      const n = /^[1-9]\d{0,2}$/.test(text) ? Number(text) : 0
      return n >= 1 && n <= MAX_LIMIT
        ? ParseResult.succeed(n)
        : ParseResult.fail(new ParseResult.Type(ast, text, `must be a whole number from 1 to ${MAX_LIMIT}`))
    },
    encode: (n) => ParseResult.succeed(String(n)),
  },
)

const Cursor = Schema.String.pipe(
  Schema.filter((text) => /^[A-Za-z0-9_.~=-]{1,512}$/.test(text) || "is not a cursor of this list"),
)

/** The query fields that every list takes. */
export const query = {
  limit: Schema.optionalWith(Limit, { exact: true, default: () => DEFAULT_LIMIT }),
  cursor: Schema.optionalWith(Cursor, { exact: true }),
}

export const Page = <A, I>(item: Schema.Schema<A, I>) =>
  Schema.Struct({ items: Schema.Array(item), next_cursor: Schema.NullOr(Schema.String) })
