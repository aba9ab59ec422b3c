/** What the reconciler found, as the console shows it. */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Instant.ts"
import { Id } from "./PathId.ts"

const Said = Schema.NullOr(Schema.Int)

/**
 * A difference between the stores. `kind` is one of the guide's table. `redis`, `mysql` and `ledger` are what each of
 * them says, in units of goods, minor units or milliseconds, by kind; null where it isn't asked.
 */
export const Drift = Schema.Struct({
  kind: Schema.String,
  product_id: Schema.optionalWith(Id, { exact: true }),
  order_num: Schema.optionalWith(Schema.String, { exact: true }),
  redis: Said,
  mysql: Said,
  ledger: Said,
  repaired: Schema.Boolean,
}).annotations({ identifier: "Drift" })
export type Drift = typeof Drift.Type

/**
 * `checked_at` is when the last round ended; null before the first. `drift` has the open differences and those repaired
 * within a day, the open ones first, at most 500. `ledgers_ok`: the last round could read every ledger, and none is
 * open.
 */
export const Reconciliation = Schema.Struct({
  checked_at: Schema.NullOr(Timestamp),
  drift: Schema.Array(Drift),
  ledgers_ok: Schema.Boolean,
}).annotations({ identifier: "Reconciliation" })
export type Reconciliation = typeof Reconciliation.Type
