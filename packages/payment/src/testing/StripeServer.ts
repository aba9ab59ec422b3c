/**
 * A server that speaks the part of Stripe's protocol that the channel uses: form-encoded requests with a bearer key,
 * idempotency keys whose first answer is replayed, Stripe's errors, and events signed in `stripe-signature`. For tests:
 * `pay` and the like stand for what a person does on Stripe's page.
 */
import { createHmac, randomBytes } from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"

export interface PaymentIntent {
  readonly id: string
  readonly object: "payment_intent"
  readonly amount: number
  amount_received: number
  readonly currency: string
  readonly client_secret: string
  readonly metadata: Record<string, string>
  status: "requires_payment_method" | "processing" | "succeeded" | "canceled"
}

export interface StripeRefund {
  readonly id: string
  readonly object: "refund"
  readonly amount: number
  readonly currency: string
  readonly payment_intent: string
  readonly metadata: Record<string, string>
  status: "succeeded" | "pending" | "failed"
  readonly failure_reason?: string
}

export interface SignedEvent {
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

const id = (prefix: string) => `${prefix}_${randomBytes(12).toString("hex")}`

/** `metadata[payment_id]=x` as `{metadata: {payment_id: "x"}}`. */
const parse = (text: string): Record<string, any> => {
  const out: Record<string, any> = {}
  for (const [name, value] of new URLSearchParams(text)) {
    const [, outer, inner] = /^([^[]+)(?:\[([^\]]+)\])?$/.exec(name) ?? []
    if (outer === undefined) continue
    if (inner === undefined) out[outer] = value
    else out[outer] = { ...out[outer], [inner]: value }
  }
  return out
}

class StripeFailure extends Error {
  readonly status: number
  readonly error: object
  constructor(status: number, error: object) {
    super("stripe")
    this.status = status
    this.error = error
  }
}

const refuse = (code: string, message: string, status = 400) =>
  new StripeFailure(status, { type: "invalid_request_error", code, message })

const missing = (what: string) => refuse("resource_missing", `No such ${what}`, 404)

export const make = (options: { readonly key: string; readonly secret: string }) =>
  Effect.gen(function* () {
    const payments = new Map<string, PaymentIntent>()
    const refunds = new Map<string, StripeRefund>()
    const replays = new Map<
      string,
      { readonly body: string; readonly status: number; readonly answer: string }
    >()
    const server = {
      payments,
      refunds,
      /** Requests by method and path, in order. */
      asked: [] as Array<string>,
      /** `lost`: does what it is asked, and never answers. */
      mode: "answers" as "answers" | "lost" | "down",
      refundsAs: "succeeded" as StripeRefund["status"] | "refused",
      url: "",
      byPaymentId: (paymentId: string): PaymentIntent =>
        [...payments.values()].find((p) => p.metadata["payment_id"] === paymentId)!,
      pay: (payment: PaymentIntent) => {
        if (payment.status === "canceled") throw new Error("this payment is canceled")
        payment.status = "succeeded"
        payment.amount_received = payment.amount
      },
      event: (
        type: string,
        object: object,
        how: { readonly secret?: string; readonly ageS?: number } = {},
      ): SignedEvent => {
        const body = JSON.stringify({
          id: id("evt"),
          object: "event",
          api_version: "2025-01-01",
          created: Math.floor(Date.now() / 1000),
          livemode: false,
          type,
          data: { object },
        })
        const t = Math.floor(Date.now() / 1000) - (how.ageS ?? 0)
        const v1 = createHmac("sha256", how.secret ?? options.secret)
          .update(`${t}.${body}`)
          .digest("hex")
        return {
          body: new TextEncoder().encode(body),
          headers: { "stripe-signature": `t=${t},v1=${v1}`, "content-type": "application/json" },
        }
      },
    }

    const answer = (
      method: string,
      path: string,
      form: Record<string, any>,
      query: URLSearchParams,
    ): object => {
      const [, , resource, name, action] = path.split("/")
      if (resource === "payment_intents") {
        if (method === "POST" && name === undefined) {
          const made: PaymentIntent = {
            id: id("pi"),
            object: "payment_intent",
            amount: Number(form["amount"]),
            amount_received: 0,
            currency: form["currency"],
            client_secret: id("secret"),
            metadata: form["metadata"] ?? {},
            status: "requires_payment_method",
          }
          payments.set(made.id, made)
          return made
        }
        const found = payments.get(name ?? "")
        if (found === undefined) throw missing("payment_intent")
        if (method === "GET") return found
        if (action === "cancel") {
          if (found.status !== "requires_payment_method")
            throw refuse("payment_intent_unexpected_state", `it is ${found.status}`)
          found.status = "canceled"
          return found
        }
      }
      if (resource === "refunds") {
        if (method === "GET") {
          const of = query.get("payment_intent")
          const data = [...refunds.values()].filter((r) => r.payment_intent === of)
          return { object: "list", data, has_more: false, url: "/v1/refunds" }
        }
        const payment = payments.get(form["payment_intent"])
        if (payment === undefined) throw missing("payment_intent")
        if (server.refundsAs === "refused") throw refuse("charge_disputed", "there is a dispute")
        const given = [...refunds.values()]
          .filter((r) => r.payment_intent === payment.id && r.status !== "failed")
          .reduce((sum, r) => sum + r.amount, 0)
        if (given >= payment.amount_received) throw refuse("charge_already_refunded", "it is back")
        const made: StripeRefund = {
          id: id("re"),
          object: "refund",
          amount: Number(form["amount"]),
          currency: payment.currency,
          payment_intent: payment.id,
          metadata: form["metadata"] ?? {},
          status: server.refundsAs,
        }
        refunds.set(made.id, made)
        return made
      }
      throw missing("resource")
    }

    const handle = (request: Http.IncomingMessage, response: Http.ServerResponse, body: string): void => {
      const url = new URL(request.url ?? "/", "http://stripe")
      const method = request.method ?? "GET"
      server.asked.push(`${method} ${url.pathname}`)
      const send = (status: number, text: string, more: Record<string, string> = {}): void => {
        if (server.mode === "lost") {
          request.socket.destroy()
          return
        }
        response.writeHead(status, { "content-type": "application/json", "request-id": id("req"), ...more })
        response.end(text)
      }
      if (server.mode === "down") {
        send(503, JSON.stringify({ error: { type: "api_error", message: "down" } }))
        return
      }
      if (request.headers.authorization !== `Bearer ${options.key}`) {
        send(401, JSON.stringify({ error: { type: "invalid_request_error", message: "Invalid API Key" } }))
        return
      }
      const key = request.headers["idempotency-key"] as string | undefined
      const known = key === undefined ? undefined : replays.get(key)
      if (known !== undefined) {
        if (known.body === body) send(known.status, known.answer, { "idempotent-replayed": "true" })
        else send(400, JSON.stringify({ error: { type: "idempotency_error", message: "another request" } }))
        return
      }
      let status = 200
      let text: string
      try {
        text = JSON.stringify(answer(method, url.pathname, parse(body), url.searchParams))
      } catch (cause) {
        if (!(cause instanceof StripeFailure)) throw cause
        status = cause.status
        text = JSON.stringify({ error: cause.error })
      }
      if (key !== undefined) replays.set(key, { body, status, answer: text })
      send(status, text)
    }

    const http = Http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => handle(request, response, Buffer.concat(chunks).toString("utf8")))
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        http.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          http.closeAllConnections()
          http.close(() => resume(Effect.void))
        }),
    )
    server.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    return server
  })

export type StripeServer = Effect.Effect.Success<ReturnType<typeof make>>
