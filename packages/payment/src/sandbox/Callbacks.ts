/** The provider's signed callbacks: sent at once, and again with growing delay until the merchant answers 200. */
import { randomUUID } from "node:crypto"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Signature from "@floodgate/contracts/payment/CallbackSignature"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { SIGNATURE_HEADER } from "../channels/Sandbox.ts"
import type { ProviderPayment } from "./Ledger.ts"

/** 1 s, 2 s, 4 s … at most a minute apart, 20 times: about 15 minutes. */
const again = Schedule.exponential("1 second").pipe(
  Schedule.union(Schedule.spaced("60 seconds")),
  Schedule.intersect(Schedule.recurs(20)),
)

const TIMEOUT = Duration.seconds(5)

/** Callbacks that may be under way at once; one over it waits for the next ask of the merchant. */
const MAX_UNDER_WAY = 10_000

/** The merchant answered, but with a status that asks for another try. */
class NotTaken extends Data.TaggedError("NotTaken")<{ readonly status: number }> {}

export interface Callback {
  readonly type: "payment.succeeded" | "payment.failed" | "refund.succeeded"
  /** What the callback claims, minor units: the wrong amount is one of the provider's tricks. */
  readonly amount: number
  readonly delay?: Duration.DurationInput
  readonly copies?: number
  readonly refundId?: string
}

export class Callbacks extends Context.Tag("@floodgate/payment/sandbox/Callbacks")<
  Callbacks,
  { readonly send: (payment: ProviderPayment, callback: Callback) => Effect.Effect<void> }
>() {
  static readonly layer = (secret: string) =>
    Layer.scoped(
      Callbacks,
      Effect.gen(function* () {
        const http = yield* HttpClient.HttpClient
        const underWay = yield* FiberSet.make()

        const deliver = (url: string, text: string) =>
          Effect.gen(function* () {
            const bytes = new TextEncoder().encode(text)
            const now = yield* Clock.currentTimeMillis
            const request = HttpClientRequest.post(url).pipe(
              HttpClientRequest.setHeader(SIGNATURE_HEADER, Signature.sign([secret], now, bytes)),
              HttpClientRequest.bodyUint8Array(bytes, "application/json"),
            )
            const response = yield* http.execute(request)
            if (response.status === 200) return
            // A plain refusal (another amount, say) is final; anything else is asked again.
            if (
              response.status >= 400 &&
              response.status < 500 &&
              response.status !== 408 &&
              response.status !== 429
            ) {
              return yield* Effect.logWarning(`the merchant refused a callback with ${response.status}`)
            }
            return yield* new NotTaken({ status: response.status })
          }).pipe(
            Effect.scoped,
            Effect.timeout(TIMEOUT),
            Effect.retry(again),
            Effect.catchAllCause((cause) => Effect.logError("a callback was given up", cause)),
          )

        return {
          send: Effect.fn("Callbacks.send")(function* (payment, callback) {
            if ((yield* FiberSet.size(underWay)) >= MAX_UNDER_WAY)
              return yield* Effect.logWarning("too many callbacks under way; one is dropped")
            const text = JSON.stringify({
              event_id: `evt_${randomUUID()}`,
              type: callback.type,
              payment_id: payment.payment_id,
              order_num: payment.order_num,
              amount: callback.amount,
              currency: payment.currency,
              provider_txn_id: payment.provider_txn_id ?? payment.payment_id,
              occurred_at: new Date(yield* Clock.currentTimeMillis).toISOString(),
              ...(callback.refundId === undefined ? {} : { refund_id: callback.refundId }),
            })
            const copies = Effect.replicateEffect(deliver(payment.callback_url, text), callback.copies ?? 1)
            yield* FiberSet.run(underWay, Effect.delay(copies, callback.delay ?? 0))
          }),
        }
      }),
    )
}
