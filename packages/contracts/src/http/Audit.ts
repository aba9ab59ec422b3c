/** The audit trail as the console shows it: what was changed, by whom and why, in whichever service. */
import * as Schema from "effect/Schema"
import * as AdminList from "./AdminList.ts"
import * as InertText from "./InertText.ts"
import { Timestamp } from "./Instant.ts"
import { Id, PathId } from "./PathId.ts"
import { strict } from "./Payload.ts"

export const auditServices = ["identity", "inventory", "ordering", "payment", "edge"] as const
export type AuditService = (typeof auditServices)[number]

/**
 * `id` names the service as well, since each counts its own. `actor_id` is null where the system acted for itself,
 * `actor_name` also where the actor's account was erased. `before` and `after` are what the change was about. `hash`
 * seals the entry into its service's chain, and is null for the second until it is sealed.
 */
export const AuditEntry = Schema.Struct({
  id: Schema.String,
  at: Timestamp,
  service: Schema.Literal(...auditServices),
  actor_id: Schema.NullOr(Id),
  actor_name: Schema.NullOr(Schema.String),
  action: Schema.String,
  target_type: Schema.String,
  target_id: Schema.String,
  before: Schema.Unknown,
  after: Schema.Unknown,
  reason: Schema.String,
  trace_id: Schema.NullOr(Schema.String),
  hash: Schema.NullOr(Schema.String),
}).annotations({ identifier: "AuditEntry" })
export type AuditEntry = typeof AuditEntry.Type

/** `target` is an id, or a type and an id: `user:7`. */
export const ListAuditQuery = strict(
  Schema.Struct({
    actor: Schema.optionalWith(PathId, { exact: true }),
    action: Schema.optionalWith(
      Schema.String.pipe(
        Schema.pattern(/^[a-z][a-z0-9_.-]{0,63}$/, { message: () => "must be the name of an action" }),
      ),
      { exact: true },
    ),
    target: Schema.optionalWith(InertText.line(1, 128), { exact: true }),
    ...AdminList.query,
  }),
)
