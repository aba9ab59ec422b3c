/** Accounts and sessions as the HTTP contract shows them. */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Instant.ts"
import { Order } from "./Order.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

const Username = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9_]{3,32}$/, {
    message: () => "must be 3 to 32 letters, digits or underscores",
  }),
)

const characters = (min: number, max: number) =>
  Schema.String.pipe(
    Schema.filter(
      (text) => {
        const length = text.length <= max ? text.length : [...text].length
        if (length < min || length > max) return `must have ${min} to ${max} characters`
        return !/[\0\p{Cs}]/u.test(text) || "must be text"
      },
      { jsonSchema: { minLength: min, maxLength: max } },
    ),
  )

export const RegisterPayload = strict(
  Schema.Struct({ username: Username, password: characters(8, 128) }),
).annotations({ identifier: "RegisterPayload" })

// Bounds only: a name that can't exist gets the same 401 as a wrong password.
export const LoginPayload = strict(
  Schema.Struct({ username: characters(1, 256), password: characters(1, 256) }),
).annotations({ identifier: "LoginPayload" })

export const RefreshPayload = strict(Schema.Struct({ refresh_token: characters(1, 1024) })).annotations({
  identifier: "RefreshPayload",
})

/** The old password within bounds only: what can't be one is wrong, like any other wrong one. */
export const PasswordPayload = strict(
  Schema.Struct({ old_password: characters(1, 256), new_password: characters(8, 128) }),
).annotations({ identifier: "PasswordPayload" })

export const ErasePayload = strict(Schema.Struct({ password: characters(1, 256) })).annotations({
  identifier: "ErasePayload",
})

export const Registered = Schema.Struct({ id: Id, username: Schema.String }).annotations({
  identifier: "Registered",
})

/** `expires_in` is the access token's life in seconds. */
export const Session = Schema.Struct({
  access_token: Schema.String,
  refresh_token: Schema.String,
  token_type: Schema.Literal("Bearer"),
  expires_in: Schema.Int,
  user: Schema.Struct({ id: Id, username: Schema.String, roles: Schema.Array(Schema.String) }),
}).annotations({ identifier: "Session" })
export type Session = typeof Session.Type

/** `balance` is the wallet's, in minor units. */
export const Profile = Schema.Struct({
  id: Id,
  username: Schema.String,
  roles: Schema.Array(Schema.String),
  balance: Schema.Int,
  created_at: Timestamp,
  updated_at: Timestamp,
}).annotations({ identifier: "Profile" })
export type Profile = typeof Profile.Type

/**
 * Everything that is kept about a user: `account` as identity tells it (name, roles, sessions, wallet), and the orders
 * with their payments and refunds, newest first. `orders_next_cursor` is null unless there are more orders than one
 * answer holds: the rest is at `GET /orders`.
 */
export const Export = Schema.Struct({
  exported_at: Timestamp,
  account: Schema.Unknown,
  orders: Schema.Array(Order),
  orders_next_cursor: Schema.NullOr(Schema.String),
}).annotations({ identifier: "Export" })
export type Export = typeof Export.Type
