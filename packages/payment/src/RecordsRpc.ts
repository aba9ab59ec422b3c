/** The console's calls about payments and refunds. */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import type { PaymentRpc } from "@floodgate/contracts/rpc/Services"
import type { CallContext, Handlers } from "@floodgate/runtime/grpc/GrpcServer"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import * as Asked from "./Asked.ts"
import type { RefundStatus } from "./domain/Refund.ts"
import * as Messages from "./Messages.ts"
import { PaymentLists } from "./store/PaymentLists.ts"
import { RefundStore } from "./store/RefundStore.ts"

type Method = "refund" | "listPayments" | "getPaymentRecord" | "listRefunds"

const refundStatuses: ReadonlyArray<string> = ["pending", "succeeded", "failed"] satisfies Array<RefundStatus>

export const handlers = {
  refund: Effect.fnUntraced(function* (request, context: CallContext) {
    const actorId = yield* Asked.operator(context, "payment:write")
    if (request.idempotencyKey === "") return yield* InvalidInput.at("idempotency-key", "is required")
    const reason = yield* Asked.reason(request.reason)
    const { refund, replayed } = yield* orBusy(
      (yield* RefundStore).request({
        orderNum: request.orderNum,
        actorId,
        reason,
        key: {
          scope: `refund:${actorId}:${request.orderNum.slice(0, 41)}`,
          keyHash: Asked.keyHash(request.idempotencyKey),
          bodyHash: request.bodyHash,
        },
      }),
    )
    return Messages.refund(refund, replayed)
  }),

  listPayments: Effect.fnUntraced(function* (request, context: CallContext) {
    yield* Asked.operator(context, "payment:read")
    const span = yield* Asked.span(request)
    const found = yield* orBusy(
      (yield* PaymentLists).payments({
        ...span,
        orderNum: Asked.orderNum(request.orderNum),
        status: Messages.statusOf(request.status),
      }),
    )
    const { items, nextPageToken } = Asked.page(found, span.limit, ({ intent }) => ({
      atMs: intent.createdAtMs,
      id: intent.paymentId,
    }))
    return { payments: items.map(Messages.paymentRecord), nextPageToken }
  }),

  getPaymentRecord: Effect.fnUntraced(function* (request, context: CallContext) {
    yield* Asked.operator(context, "payment:read")
    return Messages.paymentRecord(yield* orBusy((yield* PaymentLists).payment(request.paymentId)))
  }),

  listRefunds: Effect.fnUntraced(function* (request, context: CallContext) {
    yield* Asked.operator(context, "payment:read")
    if (request.status !== "" && !refundStatuses.includes(request.status))
      return yield* InvalidInput.at("status", `must be one of ${refundStatuses.join(", ")}`)
    const span = yield* Asked.span(request)
    const found = yield* orBusy(
      (yield* PaymentLists).refunds({
        ...span,
        orderNum: Asked.orderNum(request.orderNum),
        status: request.status === "" ? undefined : (request.status as RefundStatus),
      }),
    )
    const { items, nextPageToken } = Asked.page(found, span.limit, (refund) => ({
      atMs: refund.createdAtMs,
      id: refund.refundId,
    }))
    return { refunds: items.map((refund) => Messages.refund(refund)), nextPageToken }
  }),
} satisfies Pick<Handlers<typeof PaymentRpc, RefundStore | PaymentLists>, Method>
