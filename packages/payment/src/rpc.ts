/** The gRPC face of payment: thin, from messages to Payments and back. */
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import { CloseOutcome } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { PaymentRpc } from "@floodgate/contracts/rpc/Services"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import * as CallerAccess from "@floodgate/runtime/grpc/CallerAccess"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Vitals from "@floodgate/runtime/metrics/Vitals"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import * as Asked from "./Asked.ts"
import { Channels } from "./channels/Channel.ts"
import * as Messages from "./Messages.ts"
import * as PaymentMetrics from "./PaymentMetrics.ts"
import { Payments } from "./Payments.ts"
import * as RecordsRpc from "./RecordsRpc.ts"
import { type LedgerQuery, LedgerStore } from "./store/LedgerStore.ts"
import { ProviderEventStore } from "./store/ProviderEventStore.ts"
import * as WebhooksRpc from "./WebhooksRpc.ts"
import { EventApplier } from "./workers/EventApplier.ts"

/** Rows of one page of the ledger, and names in one question. */
const MAX_LEDGER = 500

const PAYMENT_ID = /^[\x21-\x7e]{1,40}$/

/** The id after which a page of the ledger begins, wrapped so that nobody builds on it. */
const ledgerToken = (paymentId: string): string => Buffer.from(`l1.${paymentId}`).toString("base64url")

const ledgerStart = (token: string): Effect.Effect<string, InvalidInput> => {
  if (token === "") return Effect.succeed("")
  const text = Buffer.from(token, "base64url").toString("latin1")
  const paymentId = text.startsWith("l1.") ? text.slice(3) : ""
  return PAYMENT_ID.test(paymentId) && ledgerToken(paymentId) === token
    ? Effect.succeed(paymentId)
    : Effect.fail(InvalidInput.at("page_token", "not a token of this list"))
}

/** The largest top-up, minor units. */
const MAX_TOP_UP = 10_000_000_000n

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
          keyHash: Asked.keyHash(request.idempotencyKey),
          bodyHash: request.bodyHash,
        },
      }),
    )
    return Messages.payment(answer.intent, answer.replayed)
  }),

  createTopUp: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requireSelf(context, request.userId)
    if (request.idempotencyKey === "") return yield* InvalidInput.at("idempotency-key", "is required")
    if (request.amount <= 0n || request.amount > MAX_TOP_UP)
      return yield* InvalidInput.at("amount", `must be 1 to ${MAX_TOP_UP} minor units`)
    const payments = yield* Payments
    const answer = yield* orBusy(
      payments.topUp({
        userId: Number(request.userId),
        amount: Number(request.amount),
        channel: request.channel,
        key: {
          scope: `topup:${request.userId}`,
          keyHash: Asked.keyHash(request.idempotencyKey),
          bodyHash: request.bodyHash,
        },
      }),
    )
    return Messages.payment(answer.intent, answer.replayed)
  }),

  getPayment: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requireSelf(context, request.userId, "payment:read")
    const payments = yield* Payments
    return Messages.payment(yield* orBusy(payments.get(request.paymentId, Number(request.userId))))
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
    const event = yield* channel.callback({ headers: request.headers, body: request.body }).pipe(
      Effect.tapErrorTag("Unauthenticated", () =>
        Effect.logWarning("callback signature refused").pipe(
          Effect.annotateLogs({ channel: channel.name, bytes: request.body.length }),
        ),
      ),
      Effect.tapError((error) =>
        PaymentMetrics.callback(
          channel.name,
          error._tag === "Unauthenticated" ? "bad_signature" : "malformed",
        ),
      ),
    )
    const taken = channel.acknowledgement ?? {}
    if (event === undefined) {
      yield* PaymentMetrics.callback(channel.name, "ignored")
      return taken
    }
    const store = yield* ProviderEventStore
    const { known, replayed } = yield* orBusy(store.receive(channel.name, event, request.body)).pipe(
      Effect.tapErrorTag("PaymentMismatch", () =>
        Effect.logError("callback does not match its payment").pipe(
          Effect.annotateLogs({
            channel: channel.name,
            payment_id: event.paymentId,
            event_id: event.eventId,
          }),
          Effect.zipRight(PaymentMetrics.callback(channel.name, "mismatch")),
        ),
      ),
    )
    yield* PaymentMetrics.callback(channel.name, replayed ? "replayed" : known ? "accepted" : "unknown")
    yield* (yield* EventApplier).nudge
    return { ...taken, replayed }
  }),

  getLedger: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "payment:read")
    const { orderNums, paymentIds } = request
    for (const [path, n] of [
      ["order_nums", orderNums.length],
      ["payment_ids", paymentIds.length],
      ["page_size", request.pageSize],
    ] as const) {
      if (n > MAX_LEDGER) return yield* InvalidInput.at(path, `at most ${MAX_LEDGER}`)
    }
    const ledger = yield* LedgerStore
    const limit = request.pageSize === 0 ? MAX_LEDGER : request.pageSize
    const paged = orderNums.length === 0 && paymentIds.length === 0
    const queries: ReadonlyArray<LedgerQuery> = paged
      ? [{ _tag: "page", afterId: yield* ledgerStart(request.pageToken), limit: limit + 1 }]
      : [
          { _tag: "orders", orderNums },
          { _tag: "intents", paymentIds },
        ]
    const found = (yield* orBusy(Effect.forEach(queries, ledger.read))).flat()
    const page = paged ? found.slice(0, limit) : found
    const last = page.at(-1)
    return {
      intents: page.map((intent) => ({
        paymentId: intent.paymentId,
        orderNum: intent.orderNum,
        userId: BigInt(intent.userId),
        channel: intent.channel,
        amount: BigInt(intent.amount),
        currency: intent.currency,
        state: intent.state,
        ageMs: BigInt(intent.ageMs),
        captures: intent.captures.map((capture) => ({
          captureId: capture.captureId,
          amount: BigInt(capture.amount),
          state: capture.state,
          ageMs: BigInt(capture.ageMs),
          refunded: BigInt(capture.refunded),
          refunding: BigInt(capture.refunding),
        })),
      })),
      nextPageToken: paged && found.length > limit && last !== undefined ? ledgerToken(last.paymentId) : "",
      outboxOldestMs: BigInt(yield* orBusy(ledger.outboxOldestMs)),
    }
  }),

  ...RecordsRpc.handlers,
  ...WebhooksRpc.handlers,

  listAudit: AuditList.handler,

  getVitals: Vitals.handler,
})
