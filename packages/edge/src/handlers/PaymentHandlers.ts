/** Payments, and providers' messages: those are verified, stored and answered by payment; the edge hands on the bytes. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as Effect from "effect/Effect"
import * as Exchange from "../http/Exchange.ts"
import * as PaymentView from "./PaymentView.ts"
import { callerOf, fromPeer } from "./Peer.ts"

/** What can be the id of a payment; anything else is not found without asking anybody. */
export const PAYMENT_ID = /^[A-Za-z0-9_-]{1,64}$/
const SANDBOX = "sandbox"

// Ours and the hop's: no provider's protocol needs them.
const KEPT_BACK = new Set([
  "authorization",
  "cookie",
  "connection",
  "host",
  "transfer-encoding",
  "te",
  "upgrade",
])

const headersOf = (request: HttpServerRequest.HttpServerRequest): Record<string, string> => {
  const entries = Object.entries(request.headers as Record<string, unknown>).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string" && !KEPT_BACK.has(entry[0]),
  )
  return Object.fromEntries(entries)
}

export const layer = HttpApiBuilder.group(RestApi, "payments", (handlers) =>
  Effect.gen(function* () {
    const payment = yield* PaymentClient

    const accept = Effect.fn("PaymentHandlers.accept")(function* (
      request: HttpServerRequest.HttpServerRequest,
      channel: string,
    ) {
      const body = new Uint8Array(yield* Effect.orDie(request.arrayBuffer))
      // Here the refusal is the signature's, and the provider's to hear.
      const accepted = yield* payment.acceptCallback({ channel, body, headers: headersOf(request) })
      if (accepted.replayed) Exchange.of(request).answerHeaders["idempotent-replayed"] = "true"
      return accepted.body.length === 0
        ? null
        : HttpServerResponse.uint8Array(accepted.body, {
            contentType: accepted.contentType === "" ? "text/plain; charset=utf-8" : accepted.contentType,
          })
    })

    return handlers
      .handle(
        "get",
        Effect.fn("PaymentHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          if (!PAYMENT_ID.test(path.payment_id)) return yield* new NotFound({})
          const found = yield* fromPeer(
            payment.getPayment({ paymentId: path.payment_id, userId: BigInt(user.userId) }, callerOf(user)),
          )
          return PaymentView.of(found)
        }),
      )
      .handleRaw("callback", ({ path, request }) => accept(request, path.channel), { uninterruptible: true })
      .handleRaw("sandboxCallback", ({ request }) => accept(request, SANDBOX), { uninterruptible: true })
  }),
)
