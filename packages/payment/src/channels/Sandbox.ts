/**
 * The sandbox provider, spoken to as any third party would be: signed HTTP requests out, signed callbacks in. Its
 * server is `src/sandbox/`.
 */

import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { InvalidInput, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import * as Signature from "@floodgate/contracts/payment/CallbackSignature"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import { Deadlines } from "@floodgate/runtime/resilience/Deadlines"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { ProviderEvent } from "../domain/ProviderEvent.ts"
import { type Channel, type ChannelRefund, type ChannelState, ChannelUnavailable } from "./Channel.ts"

export const NAME = "sandbox"

export const SIGNATURE_HEADER = "x-floodgate-signature"

/** Comma-separated, newest first: the first signs, any verifies. */
export const secretsConfig = AppConfig.secretList("PAYMENT_CALLBACK_SECRETS_SANDBOX")

/** A payment as the provider's API answers it. */
const ProviderPayment = Schema.Struct({
  payment_id: Schema.String,
  status: Schema.Literal("pending", "succeeded", "failed", "closed"),
  amount: Schema.Int,
  pay_url: Schema.String,
  provider_txn_id: Schema.NullOr(Schema.String),
})

const CallbackBody = Schema.parseJson(
  Schema.Struct({
    event_id: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128)),
    type: Schema.Literal("payment.succeeded", "payment.failed", "refund.succeeded"),
    payment_id: Schema.String.pipe(Schema.maxLength(40)),
    order_num: Schema.String.pipe(Schema.maxLength(40)),
    amount: Schema.Int,
    currency: Schema.String.pipe(Schema.length(3)),
    provider_txn_id: Schema.String.pipe(Schema.maxLength(128)),
    occurred_at: Schema.String,
    refund_id: Schema.optionalWith(Schema.String, { exact: true }),
  }),
)

const ProviderRefund = Schema.Struct({ status: Schema.Literal("succeeded", "pending", "failed") })

const decodeRefund = Schema.decodeUnknown(ProviderRefund)
const decodePayment = Schema.decodeUnknown(ProviderPayment)
const decodeCallback = Schema.decodeUnknown(CallbackBody, { errors: "all" })

const stateOf = (payment: typeof ProviderPayment.Type): ChannelState => {
  switch (payment.status) {
    case "pending":
      return { _tag: "Waiting", payUrl: payment.pay_url, clientParams: {} }
    case "succeeded":
      return {
        _tag: "Captured",
        providerTxnId: payment.provider_txn_id ?? payment.payment_id,
        amount: payment.amount,
      }
    case "failed":
      return { _tag: "Declined" }
    case "closed":
      return { _tag: "Closed" }
  }
}

/** What the provider says no to now, it says no to always: it knows us, and read what we asked. */
const isRefusal = (error: HttpClientError.ResponseError): boolean =>
  [400, 404, 409, 422].includes(error.response.status)

const MAX_FAILURE = 200

/** Where the provider's API is. */
export const sandboxUrl = AppConfig.httpUrl("SANDBOX_URL", "sandbox")

/** Where the provider's callbacks reach the edge. */
const publicUrl = AppConfig.httpUrl("PUBLIC_URL", "edge")

export const make = Effect.gen(function* () {
  const { provider, edge, secrets } = yield* AppConfig.load(
    Config.all({ provider: sandboxUrl, edge: publicUrl, secrets: secretsConfig }),
  )
  const http = yield* HttpClient.HttpClient
  const deadlines = yield* Deadlines
  const keys = secrets.map((s) => Redacted.value(s))

  const unavailable = (cause: unknown) => new ChannelUnavailable({ channel: NAME, cause })

  const execute = (request: HttpClientRequest.HttpClientRequest) =>
    http.execute(request).pipe(
      Effect.flatMap(HttpClientResponse.filterStatusOk),
      Effect.flatMap((response) => response.json),
      Effect.scoped,
      deadlines.within("provider.call"),
    )

  const call = Effect.fn("SandboxChannel.call")(function* (path: string, body: Record<string, unknown>) {
    const text = JSON.stringify(body)
    const bytes = new TextEncoder().encode(text)
    const now = yield* Clock.currentTimeMillis
    const request = HttpClientRequest.post(`${provider}${path}`).pipe(
      HttpClientRequest.setHeader(SIGNATURE_HEADER, Signature.sign(keys.slice(0, 1), now, bytes)),
      HttpClientRequest.bodyUint8Array(bytes, "application/json"),
    )
    return yield* execute(request)
  })

  const paymentOf = <E>(answer: Effect.Effect<unknown, E>) =>
    answer.pipe(Effect.flatMap(decodePayment), Effect.mapError(unavailable), Effect.map(stateOf))

  const read = Effect.fnUntraced(function* (body: Uint8Array) {
    const event = yield* decodeCallback(new TextDecoder().decode(body)).pipe(
      Effect.mapError(
        (error) =>
          new InvalidInput({
            issues: ParseResult.ArrayFormatter.formatErrorSync(error).map((issue) => ({
              path: issue.path.join("."),
              message: issue.message,
            })),
          }),
      ),
    )
    return {
      eventId: event.event_id,
      type: event.type,
      paymentId: event.payment_id,
      orderNum: event.order_num,
      amount: event.amount,
      currency: event.currency,
      providerTxnId: event.provider_txn_id,
      ...(event.refund_id === undefined ? {} : { refundId: event.refund_id }),
    } satisfies ProviderEvent
  })

  return {
    name: NAME,
    topsUp: true,
    pay: (intent) =>
      paymentOf(
        call("/payments", {
          payment_id: intent.paymentId,
          order_num: intent.orderNum,
          amount: intent.amount,
          currency: intent.currency,
          callback_url: `${edge}/payment/callback/sandbox`,
        }),
      ),
    query: (intent) => paymentOf(execute(HttpClientRequest.get(`${provider}/payments/${intent.paymentId}`))),
    close: (intent) => paymentOf(call(`/payments/${intent.paymentId}/close`, {})),
    refund: (refund) =>
      call(`/payments/${refund.paymentId}/refunds`, {
        refund_id: refund.refundId,
        amount: refund.amount,
      }).pipe(
        Effect.flatMap(decodeRefund),
        Effect.map(
          ({ status }): ChannelRefund =>
            status === "failed"
              ? { _tag: "Failed", reason: "the provider could not give it back" }
              : { _tag: status === "succeeded" ? "Succeeded" : "Pending" },
        ),
        Effect.catchTag("ResponseError", (error) =>
          isRefusal(error)
            ? error.response.text.pipe(
                Effect.map((text): ChannelRefund => ({ _tag: "Failed", reason: text.slice(0, MAX_FAILURE) })),
              )
            : Effect.fail(error),
        ),
        Effect.mapError(unavailable),
      ),
    read,
    callback: Effect.fn("SandboxChannel.callback")(function* ({ headers, body }) {
      const now = yield* Clock.currentTimeMillis
      if (!Signature.verify(keys, now, headers[SIGNATURE_HEADER], body)) return yield* new Unauthenticated()
      return yield* read(body)
    }),
  } satisfies Channel
})
