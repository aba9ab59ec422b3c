/** Messages that failed by themselves, as the console shows and settles them. */
import * as Schema from "effect/Schema"
import * as AdminList from "./AdminList.ts"
import * as AdminWrite from "./AdminWrite.ts"
import { Timestamp } from "./Instant.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

export const deadLetterStates = ["open", "replayed", "discarded"] as const
export const DeadLetterState = Schema.Literal(...deadLetterStates)
export type DeadLetterState = typeof DeadLetterState.Type

/**
 * `payload` is the beginning of the message (2 KiB in a list, 64 KiB by itself), of `payload_bytes` in all; in base64
 * where it isn't text. `order_num` is the number that the message names, issued or not. `discards_at` is when an open
 * letter of a reservation is discarded if nobody settles it. `settled_by` is null where the system did it.
 */
export const DeadLetter = Schema.Struct({
  id: Id,
  topic: Schema.String,
  partition: Schema.Int,
  offset: Schema.String,
  key: Schema.String,
  reason: Schema.String,
  attempts: Schema.Int,
  payload: Schema.String,
  payload_encoding: Schema.Literal("utf8", "base64"),
  payload_bytes: Schema.Int,
  order_num: Schema.NullOr(Schema.String),
  first_at: Timestamp,
  last_at: Timestamp,
  state: DeadLetterState,
  discards_at: Schema.NullOr(Timestamp),
  settled_at: Schema.NullOr(Timestamp),
  settled_by: Schema.NullOr(Id),
  settled_reason: Schema.NullOr(Schema.String),
}).annotations({ identifier: "DeadLetter" })
export type DeadLetter = typeof DeadLetter.Type

/** `from` and `to` are about when the message was first met. */
export const ListDeadLettersQuery = strict(
  Schema.Struct({
    state: Schema.optionalWith(DeadLetterState, { exact: true }),
    topic: Schema.optionalWith(
      Schema.String.pipe(Schema.filter((text) => /^[a-z0-9.-]{1,120}$/.test(text) || "is not a topic")),
      { exact: true },
    ),
    order_num: Schema.optionalWith(
      Schema.String.pipe(
        Schema.filter((text) => /^[0-9A-Za-z]{1,40}$/.test(text) || "is not an order number"),
      ),
      { exact: true },
    ),
    ...AdminList.query,
  }),
)

export const SettlePayload = strict(Schema.Struct({ ...AdminWrite.reason })).annotations({
  identifier: "SettlePayload",
})
