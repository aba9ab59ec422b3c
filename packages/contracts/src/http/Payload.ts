/** How requests are read: a field that the contract doesn't know is an error, and all errors are told at once. */
import type * as Schema from "effect/Schema"

/** Marks a body or query schema as strict. */
export const strict = <S extends Schema.Schema.Any>(schema: S): S =>
  schema.annotations({ parseOptions: { onExcessProperty: "error", errors: "all" } }) as S
