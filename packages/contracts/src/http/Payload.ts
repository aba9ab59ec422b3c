/** How requests are read: a field that the contract doesn't know is an error, and all errors are told at once. */
import * as Schema from "effect/Schema"

/** Marks a body or query schema as strict. */
export const strict = <S extends Schema.Schema.Any>(schema: S): S =>
  schema.annotations({ parseOptions: { onExcessProperty: "error", errors: "all" } }) as S

/** A body without fields. (A struct without fields takes any value, whatever its options say.) */
export const NoFields = Schema.Record({ key: Schema.String, value: Schema.Unknown }).pipe(
  Schema.filter((fields) =>
    Object.keys(fields).map((name) => ({ path: [name], message: "is not a field of this request" })),
  ),
  Schema.annotations({ jsonSchema: { type: "object", additionalProperties: false } }),
)

/** For documents: a body that a client may leave out. */
export const withOptionalBody = (operation: Record<string, any>): Record<string, any> => ({
  ...operation,
  requestBody: { ...operation["requestBody"], required: false },
})
