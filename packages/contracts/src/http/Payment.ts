/** Payments as the HTTP contract shows them. Money in minor units. */
import * as Schema from "effect/Schema"
import { strict } from "./Payload.ts"

/**
 * `order_num` of a payment into a wallet is its own reference, `topup_…`: no order is found by it. `pay_url` is where a person
 * pays; `client_params` is the provider's signed parameter set.
 */
export const Payment = Schema.Struct({
  payment_id: Schema.String,
  order_num: Schema.String,
  channel: Schema.String,
  amount: Schema.Int,
  currency: Schema.String,
  status: Schema.Literal("processing", "requires_action", "succeeded", "declined", "closed"),
  pay_url: Schema.optionalWith(Schema.String, { exact: true }),
  client_params: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), {
    exact: true,
  }),
}).annotations({ identifier: "Payment" })
export type Payment = typeof Payment.Type

/** Which channels exist is payment's to say; here only the name's shape. */
export const Channel = Schema.String.pipe(
  Schema.pattern(/^[a-z][a-z0-9_-]{0,31}$/, { message: () => "must be the name of a payment channel" }),
)

export const PayPayload = strict(Schema.Struct({ channel: Channel })).annotations({
  identifier: "PayPayload",
})
