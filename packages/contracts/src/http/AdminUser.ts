/** Accounts as the console shows and changes them. */
import * as Schema from "effect/Schema"
import { type Role, roles } from "../Roles.ts"
import * as AdminList from "./AdminList.ts"
import * as AdminWrite from "./AdminWrite.ts"
import * as InertText from "./InertText.ts"
import { Instant, Timestamp } from "./Instant.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

/** `username` is null once the account is erased. `balance` in minor units. `ban_until` null: until it is lifted. */
export const AdminUser = Schema.Struct({
  id: Id,
  username: Schema.NullOr(Schema.String),
  roles: Schema.Array(Schema.String),
  state: Schema.Literal("active", "banned", "erased"),
  banned: Schema.Boolean,
  banned_reason: Schema.NullOr(Schema.String),
  ban_until: Schema.NullOr(Timestamp),
  balance: Schema.Int,
  version: Schema.Int,
  created_at: Timestamp,
  updated_at: Timestamp,
}).annotations({ identifier: "AdminUser" })
export type AdminUser = typeof AdminUser.Type

/** `q` is the start of a name, or an id. `from` and `to` are about registration. */
export const ListUsersQuery = strict(
  Schema.Struct({
    q: Schema.optionalWith(InertText.line(1, 64), { exact: true }),
    banned: Schema.optionalWith(Schema.Literal("true", "false"), { exact: true }),
    ...AdminList.query,
  }),
)

/** `until` decodes to Unix ms; left out: until it is lifted. */
export const BanPayload = strict(
  Schema.Struct({
    ...AdminWrite.reason,
    ...AdminWrite.version,
    until: Schema.optionalWith(Instant, { exact: true }),
  }),
).annotations({ identifier: "BanPayload" })

export const UnbanPayload = strict(
  Schema.Struct({ ...AdminWrite.reason, ...AdminWrite.version }),
).annotations({ identifier: "UnbanPayload" })

/** All the roles that the account shall have. */
export const RolesPayload = strict(
  Schema.Struct({
    roles: Schema.Array(Schema.Literal(...(roles as readonly [Role, ...Array<Role>]))).pipe(
      Schema.maxItems(roles.length),
      Schema.filter((names) => new Set(names).size === names.length || "must not repeat a role"),
    ),
    ...AdminWrite.reason,
    ...AdminWrite.version,
  }),
).annotations({ identifier: "RolesPayload" })
