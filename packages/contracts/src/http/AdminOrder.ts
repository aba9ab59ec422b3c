/** Orders as the console finds and cancels them. */
import * as Schema from "effect/Schema"
import * as AdminList from "./AdminList.ts"
import * as AdminWrite from "./AdminWrite.ts"
import { OrderState } from "./Order.ts"
import { PathId } from "./PathId.ts"
import { strict } from "./Payload.ts"

/** `from` and `to` are about creation. A state of `queued` finds nothing: what is queued has no order yet. */
export const ListAdminOrdersQuery = strict(
  Schema.Struct({
    user_id: Schema.optionalWith(PathId, { exact: true }),
    product_id: Schema.optionalWith(PathId, { exact: true }),
    state: Schema.optionalWith(OrderState, { exact: true }),
    order_num: Schema.optionalWith(
      Schema.String.pipe(
        Schema.filter((text) => /^[0-9A-Za-z]{1,40}$/.test(text) || "is not an order number"),
      ),
      { exact: true },
    ),
    ...AdminList.query,
  }),
)

export const CancelOrderPayload = strict(Schema.Struct({ ...AdminWrite.reason })).annotations({
  identifier: "CancelOrderPayload",
})
