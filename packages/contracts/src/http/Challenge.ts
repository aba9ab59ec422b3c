/** A challenge: work that a person's machine does once and a bot's must do for every account. */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Instant.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"
import { MAX_TICKET_LENGTH } from "./Seckill.ts"

/** The longest answer to a challenge, characters. */
export const MAX_SOLUTION_LENGTH = 2_048

export const ChallengePayload = strict(Schema.Struct({ product_id: Id })).annotations({
  identifier: "ChallengePayload",
})

/**
 * `pow-sha256`: find a text `solution` for which SHA-256 of `nonce` followed by `solution`, both as they stand, begins
 * with `bits` zero bits; before `expires_at`. Counting up from "0" will do.
 */
export const Challenge = Schema.Struct({
  id: Schema.String,
  kind: Schema.String,
  nonce: Schema.String,
  bits: Schema.Int,
  expires_at: Timestamp,
}).annotations({ identifier: "Challenge" })
export type Challenge = typeof Challenge.Type

/** `ticket` is an earlier one for the same product, whose proofs go over into the new one. */
export const SolutionPayload = strict(
  Schema.Struct({
    solution: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(MAX_SOLUTION_LENGTH)),
    ticket: Schema.optionalWith(
      Schema.String.pipe(Schema.minLength(1), Schema.maxLength(MAX_TICKET_LENGTH)),
      { exact: true },
    ),
  }),
).annotations({ identifier: "SolutionPayload" })

/** Goes into `POST /seckill`, or into the waiting room. */
export const ChallengeTicket = Schema.Struct({
  ticket: Schema.String,
  expires_at: Timestamp,
}).annotations({ identifier: "ChallengeTicket" })
export type ChallengeTicket = typeof ChallengeTicket.Type
