/** What every write of the console carries: why it is done, and for edits, what the editor saw. */
import * as Schema from "effect/Schema"
import * as InertText from "./InertText.ts"

/** Kept in the audit trail. */
export const reason = { reason: InertText.line(1, 500) }

/** The object's `version` as the editor saw it: 525 when it has moved on. Left out: whatever it is by now. */
export const version = {
  version: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, Number.MAX_SAFE_INTEGER)), { exact: true }),
}
