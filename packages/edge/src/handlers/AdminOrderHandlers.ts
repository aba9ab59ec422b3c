/** The console's orders: ordering decides and keeps the audit. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { CancelReason, OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import type { Order } from "@floodgate/contracts/http/Order"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as Effect from "effect/Effect"
import * as AdminLists from "./AdminLists.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import * as OrderView from "./OrderView.ts"
import { callerOf, fromPeer } from "./Peer.ts"

/** The columns of an export, in order. */
const columns: ReadonlyArray<keyof Order> = [
  "id",
  "order_num",
  "user_id",
  "product_id",
  "product_name",
  "quantity",
  "amount",
  "currency",
  "status",
  "state",
  "reject_reason",
  "cancel_reason",
  "expires_at",
  "paid_at",
  "cancelled_at",
  "payment",
  "refund",
  "created_at",
  "updated_at",
]

const checked = (text: string): Effect.Effect<string, NotFound> =>
  OrderNum.parse(text) === undefined ? Effect.fail(new NotFound({})) : Effect.succeed(text)

export const layer = HttpApiBuilder.group(RestApi, "adminOrders", (handlers) =>
  Effect.gen(function* () {
    const ordering = yield* OrderingClient
    return handlers
      .handle(
        "list",
        Effect.fn("AdminOrderHandlers.list")(function* ({ request, urlParams }) {
          const user = yield* CurrentUser
          const { order_num, product_id, state, user_id } = urlParams
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "orders",
            columns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  ordering.listOrders(
                    {
                      anyUser: true,
                      userId: BigInt(user_id ?? 0),
                      productId: BigInt(product_id ?? 0),
                      orderNum: order_num ?? "",
                      state: state === undefined ? OrderState.UNSPECIFIED : OrderView.wireStateOf[state],
                      ...AdminLists.spanOf(urlParams),
                      ...pageOf(at),
                    },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ nextPageToken, orders }) => ({
                  items: orders.map(OrderView.of),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
      .handle(
        "get",
        Effect.fn("AdminOrderHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          const orderNum = yield* checked(path.order_num)
          return OrderView.of(yield* fromPeer(ordering.getOrder({ orderNum }, callerOf(user))))
        }),
      )
      .handle(
        "cancel",
        Effect.fn("AdminOrderHandlers.cancel")(function* ({ path, payload }) {
          const user = yield* CurrentUser
          const orderNum = yield* checked(path.order_num)
          const order = yield* fromPeer(
            ordering.cancelOrder(
              { orderNum, reason: CancelReason.OPERATOR, note: payload.reason },
              callerOf(user),
            ),
          )
          return OrderView.of(order)
        }),
        { uninterruptible: true },
      )
  }),
)
