/** The console's payments and refunds: payment decides and keeps the audit. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { PaymentStatus } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"
import type { Payment } from "@floodgate/contracts/http/Payment"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as Effect from "effect/Effect"
import * as Exchange from "../http/Exchange.ts"
import * as AdminLists from "./AdminLists.ts"
import * as AdminPaymentView from "./AdminPaymentView.ts"
import * as CanonicalBody from "./CanonicalBody.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import { PAYMENT_ID } from "./PaymentHandlers.ts"
import { callerOf, fromPeer } from "./Peer.ts"

const wire: Record<Payment["status"], PaymentStatus> = {
  processing: PaymentStatus.PROCESSING,
  requires_action: PaymentStatus.REQUIRES_ACTION,
  succeeded: PaymentStatus.SUCCEEDED,
  declined: PaymentStatus.DECLINED,
  closed: PaymentStatus.CLOSED,
}

export const layer = HttpApiBuilder.group(RestApi, "adminPayments", (handlers) =>
  Effect.gen(function* () {
    const payment = yield* PaymentClient
    return handlers
      .handle(
        "list",
        Effect.fn("AdminPaymentHandlers.list")(function* ({ request, urlParams }) {
          const user = yield* CurrentUser
          const { order_num, status } = urlParams
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "payments",
            columns: AdminPaymentView.columns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  payment.listPayments(
                    {
                      orderNum: order_num ?? "",
                      status: status === undefined ? PaymentStatus.UNSPECIFIED : wire[status],
                      ...AdminLists.spanOf(urlParams),
                      ...pageOf(at),
                    },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ nextPageToken, payments }) => ({
                  items: payments.map(AdminPaymentView.of),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
      .handle(
        "get",
        Effect.fn("AdminPaymentHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          if (!PAYMENT_ID.test(path.payment_id)) return yield* new NotFound({})
          const found = yield* fromPeer(
            payment.getPaymentRecord({ paymentId: path.payment_id }, callerOf(user)),
          )
          return AdminPaymentView.of(found)
        }),
      )
      .handle(
        "refunds",
        Effect.fn("AdminPaymentHandlers.refunds")(function* ({ request, urlParams }) {
          const user = yield* CurrentUser
          const { order_num, status } = urlParams
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "refunds",
            columns: AdminPaymentView.refundColumns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  payment.listRefunds(
                    {
                      orderNum: order_num ?? "",
                      status: status ?? "",
                      ...AdminLists.spanOf(urlParams),
                      ...pageOf(at),
                    },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ nextPageToken, refunds }) => ({
                  items: refunds.map(AdminPaymentView.refund),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
      .handle(
        "refund",
        Effect.fn("AdminPaymentHandlers.refund")(function* ({ headers, path, payload, request }) {
          const user = yield* CurrentUser
          if (OrderNum.parse(path.order_num) === undefined) return yield* new NotFound({})
          const refund = yield* fromPeer(
            payment.refund(
              {
                orderNum: path.order_num,
                reason: payload.reason,
                idempotencyKey: headers[HEADER],
                bodyHash: CanonicalBody.hash(payload),
              },
              callerOf(user),
            ),
          )
          if (refund.replayed) Exchange.of(request).answerHeaders["idempotent-replayed"] = "true"
          return AdminPaymentView.refund(refund)
        }),
        { uninterruptible: true },
      )
  }),
)
