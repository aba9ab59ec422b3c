/**
 * The sandbox provider's HTTP server. The merchant's API (`/payments…`) takes signed requests only; `/pay/<id>` is
 * the page where a person pays, and its POSTs do the same without a browser.
 */
import { randomUUID } from "node:crypto"
import * as Headers from "@effect/platform/Headers"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Signature from "@floodgate/contracts/payment/CallbackSignature"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SIGNATURE_HEADER } from "../channels/Sandbox.ts"
import { Callbacks } from "./Callbacks.ts"
import { Journal } from "./Journal.ts"
import type { ProviderPayment } from "./Ledger.ts"
import * as Page from "./Page.ts"

class Refused extends Data.TaggedError("Refused")<{ readonly status: number; readonly error: string }> {}

const Id = Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9_-]{1,64}$/))

const CreatePayment = Schema.parseJson(
  Schema.Struct({
    payment_id: Id,
    order_num: Id,
    amount: Schema.Int.pipe(Schema.positive()),
    currency: Schema.String.pipe(Schema.length(3)),
    callback_url: Schema.String.pipe(Schema.maxLength(2048), Schema.pattern(/^https?:\/\//)),
  }),
)

const CreateRefund = Schema.parseJson(
  Schema.Struct({ refund_id: Id, amount: Schema.Int.pipe(Schema.positive()) }),
)

/** The largest request body, in bytes. */
const MAX_BODY = 64 * 1024

export const app = (options: { readonly secrets: ReadonlyArray<string>; readonly publicUrl: string }) => {
  const answer = (payment: ProviderPayment) =>
    HttpServerResponse.unsafeJson({
      payment_id: payment.payment_id,
      status: payment.status,
      amount: payment.amount,
      pay_url: `${options.publicUrl}/pay/${payment.payment_id}`,
      provider_txn_id: payment.provider_txn_id,
    })

  const id = HttpRouter.params.pipe(
    Effect.flatMap((params) => Schema.decodeUnknown(Id)(params["id"])),
    Effect.mapError(() => new Refused({ status: 404, error: "no such payment" })),
  )

  const known = Effect.gen(function* () {
    const payment = (yield* Journal).get(yield* id)
    return payment ?? (yield* new Refused({ status: 404, error: "no such payment" }))
  })

  /** The body of a request that the merchant signed. */
  const signed = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = new Uint8Array(yield* request.arrayBuffer)
    const header = Option.getOrUndefined(Headers.get(request.headers, SIGNATURE_HEADER))
    if (!Signature.verify(options.secrets, yield* Clock.currentTimeMillis, header, body))
      return yield* new Refused({ status: 401, error: "bad signature" })
    return new TextDecoder().decode(body)
  })

  const decode = <A, I>(schema: Schema.Schema<A, I>, text: I) =>
    Schema.decode(schema)(text).pipe(Effect.mapError((e) => new Refused({ status: 400, error: e.message })))

  const create = Effect.gen(function* () {
    const journal = yield* Journal
    const asked = yield* decode(CreatePayment, yield* signed)
    yield* journal.post({ _tag: "Created", ...asked })
    const payment = journal.get(asked.payment_id)!
    // A payment that was closed before it was asked for stays closed.
    const same =
      payment.order_num === "" || (payment.order_num === asked.order_num && payment.amount === asked.amount)
    return same
      ? answer(payment)
      : yield* new Refused({ status: 409, error: "payment_id is used for another payment" })
  })

  const close = Effect.gen(function* () {
    yield* signed
    const journal = yield* Journal
    const paymentId = yield* id
    yield* journal.post({ _tag: "Closed", payment_id: paymentId })
    return answer(journal.get(paymentId)!)
  })

  const refund = Effect.gen(function* () {
    const asked = yield* decode(CreateRefund, yield* signed)
    const journal = yield* Journal
    const before = yield* known
    const changed = yield* journal.post({ _tag: "Refunded", payment_id: before.payment_id, ...asked })
    const after = journal.get(before.payment_id)!
    if (after.refunds[asked.refund_id] !== asked.amount)
      return yield* new Refused({ status: 409, error: "more than was paid, or nothing was" })
    if (changed)
      yield* (yield* Callbacks).send(after, {
        type: "refund.succeeded",
        amount: asked.amount,
        refundId: asked.refund_id,
      })
    return HttpServerResponse.unsafeJson({
      refund_id: asked.refund_id,
      status: "succeeded",
      amount: asked.amount,
    })
  })

  const succeed = (payment: ProviderPayment, late: boolean) =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.post({
        _tag: "Succeeded",
        payment_id: payment.payment_id,
        provider_txn_id: `txn_${randomUUID()}`,
        late,
      })
      const after = journal.get(payment.payment_id)!
      if (after.status !== "succeeded")
        return yield* new Refused({ status: 409, error: `this payment is ${after.status}` })
      return after
    })

  const act = Effect.gen(function* () {
    const action = (yield* HttpRouter.params)["action"] ?? ""
    if (!Page.isAction(action)) return yield* new Refused({ status: 404, error: "no such action" })
    const journal = yield* Journal
    const callbacks = yield* Callbacks
    const payment = yield* known
    switch (action) {
      case "fail": {
        const failed = yield* journal.post({ _tag: "Failed", payment_id: payment.payment_id })
        // Asked again, a provider tells again; after a success it tells the failure all the same.
        const sent = failed ? journal.get(payment.payment_id)! : payment
        yield* callbacks.send(sent, { type: "payment.failed", amount: payment.amount })
        break
      }
      case "wrong-amount":
        yield* callbacks.send(payment, { type: "payment.succeeded", amount: payment.amount + 1 })
        break
      default: {
        const paid = yield* succeed(payment, action === "late")
        yield* callbacks.send(paid, {
          type: "payment.succeeded",
          amount: paid.amount,
          delay: action === "delay" ? "10 seconds" : 0,
          copies: action === "repeat" ? 3 : 1,
        })
      }
    }
    const request = yield* HttpServerRequest.HttpServerRequest
    // A browser goes back to the page; anyone else gets the payment.
    if ((request.headers["accept"] ?? "").includes("text/html"))
      return HttpServerResponse.redirect(`/pay/${payment.payment_id}`, { status: 303 })
    return answer(journal.get(payment.payment_id)!)
  })

  const pages = known.pipe(
    Effect.map((payment) =>
      HttpServerResponse.text(Page.page(payment), {
        contentType: "text/html; charset=utf-8",
        headers: {
          "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
          "cache-control": "no-store",
        },
      }),
    ),
  )

  return HttpRouter.empty.pipe(
    HttpRouter.post("/payments", create),
    HttpRouter.post("/payments/:id/close", close),
    HttpRouter.post("/payments/:id/refunds", refund),
    HttpRouter.get("/payments/:id", known.pipe(Effect.map(answer))),
    HttpRouter.get("/pay/:id", pages),
    HttpRouter.post("/pay/:id/:action", act),
    HttpRouter.get("/livez", HttpServerResponse.unsafeJson({ status: "ok" })),
    Effect.catchTags({
      Refused: ({ status, error }) => Effect.succeed(HttpServerResponse.unsafeJson({ error }, { status })),
      RouteNotFound: () =>
        Effect.succeed(HttpServerResponse.unsafeJson({ error: "not found" }, { status: 404 })),
      RequestError: () =>
        Effect.succeed(HttpServerResponse.unsafeJson({ error: "bad request" }, { status: 400 })),
    }),
    HttpServerRequest.withMaxBodySize(Option.some(MAX_BODY)),
  )
}
