/** Ids as they stand in paths and queries: positive, decimal, exact in a JavaScript number; never `1e3` or `+1`. */
import * as Schema from "effect/Schema"

const SHAPE = /^[1-9]\d{0,15}$/

/** A positive id inside a body or an answer. */
export const Id = Schema.Int.pipe(Schema.between(1, Number.MAX_SAFE_INTEGER)).annotations({
  description: "A positive integer that a JavaScript number holds exactly",
})

export const PathId = Schema.transform(
  Schema.String.pipe(
    Schema.filter((text) => SHAPE.test(text) && Number.isSafeInteger(Number(text)), {
      message: () => "must be a positive whole number",
      jsonSchema: { pattern: SHAPE.source },
    }),
  ),
  Schema.Int,
  { strict: true, decode: Number, encode: String },
)
