/** One's orders. An `order_num` that can't be one is not found, without asking anybody. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { CancelReason, OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as Effect from "effect/Effect"
import * as Exchange from "../http/Exchange.ts"
import * as CanonicalBody from "./CanonicalBody.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import * as OrderView from "./OrderView.ts"
import * as PaymentView from "./PaymentView.ts"
import { callerOf, fromPeer } from "./Peer.ts"

const checked = (text: string): Effect.Effect<string, NotFound> =>
  OrderNum.parse(text) === undefined ? Effect.fail(new NotFound({})) : Effect.succeed(text)

export const layer = HttpApiBuilder.group(RestApi, "orders", (handlers) =>
  Effect.gen(function* () {
    const ordering = yield* OrderingClient
    const payment = yield* PaymentClient
    return handlers
      .handle(
        "list",
        Effect.fn("OrderHandlers.list")(function* ({ urlParams }) {
          const user = yield* CurrentUser
          const { state, status } = urlParams
          const page = yield* withQueryNames(
            fromPeer(
              ordering.listOrders(
                {
                  userId: BigInt(user.userId),
                  ...(status === undefined ? undefined : { status: Number(status) }),
                  state: state === undefined ? OrderState.UNSPECIFIED : OrderView.wireStateOf[state],
                  ...pageOf(urlParams),
                },
                callerOf(user),
              ),
            ),
          )
          return { items: page.orders.map(OrderView.of), next_cursor: nextCursor(page.nextPageToken) }
        }),
      )
      .handle(
        "get",
        Effect.fn("OrderHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          const orderNum = yield* checked(path.order_num)
          const order = yield* fromPeer(
            ordering.getOrder({ orderNum, userId: BigInt(user.userId) }, callerOf(user)),
          )
          return OrderView.of(order)
        }),
      )
      .handle(
        "pay",
        Effect.fn("OrderHandlers.pay")(function* ({ headers, path, payload, request }) {
          const user = yield* CurrentUser
          const orderNum = yield* checked(path.order_num)
          const paid = yield* fromPeer(
            payment.createIntent(
              {
                orderNum,
                userId: BigInt(user.userId),
                channel: payload.channel,
                idempotencyKey: headers[HEADER],
                bodyHash: CanonicalBody.hash(payload),
              },
              callerOf(user),
            ),
          )
          if (paid.replayed) Exchange.of(request).answerHeaders["idempotent-replayed"] = "true"
          return PaymentView.of(paid)
        }),
        { uninterruptible: true },
      )
      .handle(
        "cancel",
        Effect.fn("OrderHandlers.cancel")(function* ({ path }) {
          const user = yield* CurrentUser
          const orderNum = yield* checked(path.order_num)
          const order = yield* fromPeer(
            ordering.cancelOrder(
              { orderNum, userId: BigInt(user.userId), reason: CancelReason.USER },
              callerOf(user),
            ),
          )
          return OrderView.of(order)
        }),
        { uninterruptible: true },
      )
  }),
)
