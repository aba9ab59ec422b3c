/** The `Idempotency-Key` header: 1 to 255 printable ASCII characters, scoped to user, method and path. */
import * as Schema from "effect/Schema"

/** Lower case, as headers are looked up. */
export const HEADER = "idempotency-key"

const SHAPE = /^[\x20-\x7e]{1,255}$/

export const isIdempotencyKey = (text: string): boolean => SHAPE.test(text)

export const IdempotencyKey = Schema.String.pipe(
  Schema.filter(isIdempotencyKey, {
    message: () => "must be 1 to 255 printable ASCII characters",
    jsonSchema: { minLength: 1, maxLength: 255, pattern: "^[\\x20-\\x7e]{1,255}$" },
  }),
)

/** Headers of a route that takes the key. */
export const OptionalKey = Schema.Struct({
  [HEADER]: Schema.optionalWith(IdempotencyKey, { exact: true }),
})

/** Headers of a route that demands it. */
export const RequiredKey = Schema.Struct({ [HEADER]: IdempotencyKey })
