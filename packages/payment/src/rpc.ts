/** The gRPC face of payment: thin, from messages to Payments and back. */
import { createHash } from "node:crypto"
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import { CloseOutcome, PaymentStatus } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { PaymentRpc } from "@floodgate/contracts/rpc/Services"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import * as CallerAccess from "@floodgate/runtime/grpc/CallerAccess"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import { Channels } from "./channels/Channel.ts"
import { type Intent, publicStatus } from "./domain/Intent.ts"
import { Payments } from "./Payments.ts"
import { PaymentStore } from "./store/PaymentStore.ts"
import { EventApplier } from "./workers/EventApplier.ts"

const status: Record<ReturnType<typeof publicStatus>, PaymentStatus> = {
  processing: PaymentStatus.PROCESSING,
  requires_action: PaymentStatus.REQUIRES_ACTION,
  succeeded: PaymentStatus.SUCCEEDED,
  declined: PaymentStatus.DECLINED,
  closed: PaymentStatus.CLOSED,
}

const message = (intent: Intent, replayed = false) => ({
  paymentId: intent.paymentId,
  orderNum: intent.orderNum,
  userId: BigInt(intent.userId),
  channel: intent.channel,
  amount: BigInt(intent.amount),
  currency: intent.currency,
  status: status[publicStatus(intent)],
  payUrl: intent.payUrl ?? "",
  clientParams: { ...intent.clientParams },
  createdAtMs: BigInt(intent.createdAtMs),
  updatedAtMs: BigInt(intent.updatedAtMs),
  replayed,
})

export const rpc = GrpcServer.service(PaymentRpc, {
  createIntent: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requireSelf(context, request.userId)
    if (request.idempotencyKey === "") return yield* InvalidInput.at("idempotency-key", "is required")
    const payments = yield* Payments
    const answer = yield* orBusy(
      payments.pay({
        orderNum: request.orderNum,
        userId: Number(request.userId),
        channel: request.channel,
        key: {
          scope: `pay:${request.userId}:${request.orderNum}`,
          keyHash: createHash("sha256").update(request.idempotencyKey).digest("hex"),
          bodyHash: request.bodyHash,
        },
      }),
    )
    return message(answer.intent, answer.replayed)
  }),

  getPayment: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requireSelf(context, request.userId, "payment:read")
    const payments = yield* Payments
    return message(yield* orBusy(payments.get(request.paymentId, Number(request.userId))))
  }),

  closeOrder: Effect.fnUntraced(function* (request) {
    const payments = yield* Payments
    const outcome = yield* orBusy(payments.closeOrder(request.orderNum))
    return {
      outcome: {
        closed: CloseOutcome.CLOSED,
        captured: CloseOutcome.CAPTURED,
        pending: CloseOutcome.PENDING,
      }[outcome],
    }
  }),

  acceptCallback: Effect.fnUntraced(function* (request) {
    const channel = (yield* Channels).get(request.channel)
    if (channel === undefined) return yield* new NotFound()
    const event = yield* channel.verify({ headers: request.headers, body: request.body })
    const store = yield* PaymentStore
    const { replayed } = yield* orBusy(store.receive(channel.name, event, request.body)).pipe(
      Effect.tapErrorTag("PaymentMismatch", () =>
        Effect.logError("callback does not match its payment").pipe(
          Effect.annotateLogs({
            channel: channel.name,
            payment_id: event.paymentId,
            event_id: event.eventId,
          }),
        ),
      ),
    )
    yield* (yield* EventApplier).nudge
    return { replayed }
  }),

  listAudit: AuditList.handler,
})
