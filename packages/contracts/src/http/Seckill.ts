/** The rush: what `POST /seckill` takes and promises. */
import * as Schema from "effect/Schema"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

/** No product may be bought in larger numbers by one buyer. */
export const MAX_QUANTITY = 100

export const MAX_TICKET_LENGTH = 2048

/** `quantity` is 1 unless said; `ticket` carries what a challenge or a waiting room proved. */
export const SeckillPayload = strict(
  Schema.Struct({
    product_id: Id,
    quantity: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, MAX_QUANTITY)), {
      exact: true,
      default: () => 1,
    }),
    ticket: Schema.optionalWith(
      Schema.String.pipe(Schema.minLength(1), Schema.maxLength(MAX_TICKET_LENGTH)),
      { exact: true },
    ),
  }),
).annotations({ identifier: "SeckillPayload" })
export type SeckillPayload = typeof SeckillPayload.Type

/** A promise of an answer, not of goods: ask for the number after `poll_after_ms`. */
export const Queued = Schema.Struct({
  order_num: Schema.String,
  status: Schema.Literal("queued"),
  poll_after_ms: Schema.Int,
}).annotations({ identifier: "Queued" })
export type Queued = typeof Queued.Type
