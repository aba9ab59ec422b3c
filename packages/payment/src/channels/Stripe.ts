/**
 * Stripe, through its own library. A payment is a PaymentIntent whose client secret the buyer's page confirms; its
 * metadata carries our ids. Amounts are minor units on both sides (CNY has two decimals at Stripe, too).
 *
 * A PaymentIntent is made under the payment's id as idempotency key, so asking again finds it where its first answer
 * was lost. It is captured at most once, so its id names the movement of money. This module is loaded only where the
 * channel is on.
 */
import { randomUUID } from "node:crypto"
import { InvalidInput, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import { Deadlines } from "@floodgate/runtime/resilience/Deadlines"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import Stripe from "stripe"
import type { Intent } from "../domain/Intent.ts"
import type { ProviderEvent } from "../domain/ProviderEvent.ts"
import { type Channel, type ChannelRefund, type ChannelState, ChannelUnavailable } from "./Channel.ts"

export const NAME = "stripe"

const SIGNATURE_HEADER = "stripe-signature"

/** How far a callback's time may be off, s. */
const TOLERANCE_S = 300

/** `STRIPE_API_URL`: another server that speaks Stripe's protocol, for tests; https outside dev. */
const apiUrl = Config.all({
  env: AppConfig.appEnv,
  text: Config.option(Config.string("STRIPE_API_URL")),
}).pipe(
  Config.mapOrFail(({ env, text }) => {
    if (Option.isNone(text)) return Either.right(undefined)
    const url = URL.canParse(text.value) ? new URL(text.value) : undefined
    const good =
      url !== undefined &&
      url.pathname === "/" &&
      (url.protocol === "https:" || (url.protocol === "http:" && env === "dev"))
    return good
      ? Either.right(url)
      : Either.left(
          ConfigError.InvalidData(
            ["STRIPE_API_URL"],
            "must be https://host[:port], without a path (http in dev)",
          ),
        )
  }),
)

/** `STRIPE_SECRET_KEY`, `PAYMENT_CALLBACK_SECRETS_STRIPE` (a comma list, any one verifies), `STRIPE_API_URL`. */
export const config = Config.all({
  key: AppConfig.secret("STRIPE_SECRET_KEY"),
  secrets: AppConfig.secretList("PAYMENT_CALLBACK_SECRETS_STRIPE"),
  url: apiUrl,
})

export interface Settings {
  readonly key: Redacted.Redacted<string>
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
  readonly url: URL | undefined
}

const Metadata = Schema.Struct({
  payment_id: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(40)),
  order_num: Schema.String.pipe(Schema.maxLength(40)),
})

const Id = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128))

const PaymentIntentObject = Schema.Struct({
  object: Schema.Literal("payment_intent"),
  id: Id,
  amount: Schema.Int,
  amount_received: Schema.optional(Schema.Int),
  currency: Schema.String.pipe(Schema.length(3)),
  metadata: Metadata,
})

const RefundObject = Schema.Struct({
  object: Schema.Literal("refund"),
  id: Id,
  amount: Schema.Int,
  currency: Schema.String.pipe(Schema.length(3)),
  payment_intent: Id,
  status: Schema.NullOr(Schema.String),
  metadata: Schema.Struct({ ...Metadata.fields, refund_id: Schema.String }),
})

const EventBody = Schema.parseJson(
  Schema.Struct({
    object: Schema.Literal("event"),
    id: Id,
    type: Schema.String,
    data: Schema.Struct({ object: Schema.Unknown }),
  }),
)

const decodeEvent = Schema.decodeUnknown(EventBody)
const decodePayment = Schema.decodeUnknownOption(PaymentIntentObject)
const decodeRefund = Schema.decodeUnknownOption(RefundObject)

/** What a payment's message means. A card that was refused (`payment_failed`) may be followed by one that isn't. */
const paymentTypes: Readonly<Record<string, ProviderEvent["type"]>> = {
  "payment_intent.succeeded": "payment.succeeded",
  "payment_intent.canceled": "payment.closed",
}

const refundTypes: ReadonlySet<string> = new Set(["refund.updated", "refund.failed", "charge.refund.updated"])

/** Undefined for what isn't ours, or means nothing to us. */
const eventOf = (event: typeof EventBody.Type): ProviderEvent | undefined => {
  const type = paymentTypes[event.type]
  if (type !== undefined) {
    const found = decodePayment(event.data.object)
    if (Option.isNone(found)) return undefined
    const { amount, amount_received, currency, id, metadata } = found.value
    return {
      eventId: event.id,
      type,
      paymentId: metadata.payment_id,
      orderNum: metadata.order_num,
      amount: type === "payment.succeeded" ? (amount_received ?? amount) : amount,
      currency: currency.toUpperCase(),
      providerTxnId: id,
    }
  }
  if (!refundTypes.has(event.type)) return undefined
  const found = decodeRefund(event.data.object)
  if (Option.isNone(found)) return undefined
  const { amount, currency, metadata, payment_intent, status } = found.value
  return {
    eventId: event.id,
    type: status === "failed" || status === "canceled" ? "refund.failed" : "refund.succeeded",
    paymentId: metadata.payment_id,
    orderNum: metadata.order_num,
    amount,
    currency: currency.toUpperCase(),
    providerTxnId: payment_intent,
    refundId: metadata.refund_id,
  }
}

/** What Stripe says no to now, it says no to always: it knows us, and read what we asked. */
const isRefusal = (cause: unknown): cause is Stripe.errors.StripeError =>
  cause instanceof Stripe.errors.StripeInvalidRequestError || cause instanceof Stripe.errors.StripeCardError

const refundStateOf = (refund: Stripe.Refund): ChannelRefund => {
  switch (refund.status) {
    case "succeeded":
      return { _tag: "Succeeded" }
    case "failed":
    case "canceled":
      return { _tag: "Failed", reason: refund.failure_reason ?? refund.status }
    default:
      return { _tag: "Pending" }
  }
}

/** The channel over these settings. */
export const make = Effect.fn("Stripe.make")(function* ({ key, secrets, url }: Settings) {
  const deadlines = yield* Deadlines
  const timeout = deadlines.ms("provider.call")
  const stripe = new Stripe(Redacted.value(key), {
    timeout,
    // Repeating is the workers' business: they know for how long, and by which key.
    maxNetworkRetries: 0,
    telemetry: false,
    ...(url === undefined
      ? {}
      : {
          host: url.hostname,
          port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port),
          protocol: url.protocol === "https:" ? ("https" as const) : ("http" as const),
        }),
  })

  const unavailable = (cause: unknown) => new ChannelUnavailable({ channel: NAME, cause })

  /** One request. Fails with the library's own error, or when the deadline is over. */
  const call = <A>(op: string, ask: () => Promise<A>) =>
    Effect.tryPromise({ try: ask, catch: (cause) => cause }).pipe(
      deadlines.within("provider.call"),
      Effect.withSpan(`Stripe.${op}`, { kind: "client", captureStackTrace: false }),
    )

  const stateOf = (payment: Stripe.PaymentIntent): ChannelState => {
    switch (payment.status) {
      case "succeeded":
        return { _tag: "Captured", providerTxnId: payment.id, amount: payment.amount_received }
      case "canceled":
        return { _tag: "Closed" }
      default:
        return {
          _tag: "Waiting",
          payUrl: null,
          clientParams: payment.client_secret === null ? {} : { client_secret: payment.client_secret },
          providerRef: payment.id,
        }
    }
  }

  const made = (intent: Intent) =>
    call("paymentIntents.create", () =>
      stripe.paymentIntents.create(
        {
          amount: intent.amount,
          currency: intent.currency.toLowerCase(),
          automatic_payment_methods: { enabled: true },
          metadata: { payment_id: intent.paymentId, order_num: intent.orderNum },
        },
        { idempotencyKey: intent.paymentId },
      ),
    )

  /** The answer to a repeated creation is the first one, however long ago: how it stands now has to be asked. */
  const current = Effect.fnUntraced(function* (intent: Intent) {
    const id = intent.providerRef ?? (yield* made(intent)).id
    return yield* call("paymentIntents.retrieve", () => stripe.paymentIntents.retrieve(id))
  })

  const read = Effect.fnUntraced(function* (body: Uint8Array) {
    const event = yield* decodeEvent(new TextDecoder().decode(body)).pipe(
      Effect.mapError(() => InvalidInput.at("", "is not an event of Stripe")),
    )
    return eventOf(event)
  })

  const isGenuine = (body: Uint8Array, header: string | undefined): boolean =>
    header !== undefined &&
    secrets.some((secret) => {
      try {
        stripe.webhooks.constructEvent(Buffer.from(body), header, Redacted.value(secret), TOLERANCE_S)
        return true
      } catch {
        return false
      }
    })

  return {
    name: NAME,
    topsUp: true,
    pay: Effect.fn("StripeChannel.pay")(function* (intent: Intent) {
      const payment = yield* made(intent)
      return stateOf(payment)
    }, Effect.mapError(unavailable)),
    query: Effect.fn("StripeChannel.query")(function* (intent: Intent) {
      return stateOf(yield* current(intent))
    }, Effect.mapError(unavailable)),
    close: Effect.fn("StripeChannel.close")(function* (intent: Intent) {
      const state = stateOf(yield* current(intent))
      if (state._tag !== "Waiting") return state
      const id = state.providerRef!
      return yield* call("paymentIntents.cancel", () =>
        stripe.paymentIntents.cancel(
          id,
          { cancellation_reason: "abandoned" },
          // A key of its own each time: under one key a refusal would be replayed after its reason is gone.
          { idempotencyKey: `${intent.paymentId}-cancel-${randomUUID()}` },
        ),
      ).pipe(
        Effect.map(stateOf),
        // It was paid, or is being paid, in between: asked again, it says which.
        Effect.catchIf(isRefusal, () => Effect.map(current({ ...intent, providerRef: id }), stateOf)),
      )
    }, Effect.mapError(unavailable)),
    refund: Effect.fn("StripeChannel.refund")(function* (refund) {
      // By its id of ours, because a key's replay ends after a day, and tells only what was.
      const known = yield* call("refunds.list", () =>
        stripe.refunds.list({ payment_intent: refund.providerTxnId, limit: 100 }),
      )
      const found = known.data.find((each) => each.metadata?.["refund_id"] === refund.refundId)
      if (found !== undefined) return refundStateOf(found)
      return yield* call("refunds.create", () =>
        stripe.refunds.create(
          {
            payment_intent: refund.providerTxnId,
            amount: refund.amount,
            metadata: {
              payment_id: refund.paymentId,
              order_num: refund.orderNum,
              refund_id: refund.refundId,
            },
          },
          { idempotencyKey: refund.refundId },
        ),
      ).pipe(
        Effect.map(refundStateOf),
        Effect.catchIf(isRefusal, (error) =>
          Effect.succeed<ChannelRefund>(
            // Somebody gave it back by Stripe's own pages: it is back.
            error.code === "charge_already_refunded"
              ? { _tag: "Succeeded" }
              : { _tag: "Failed", reason: error.code ?? error.message },
          ),
        ),
      )
    }, Effect.mapError(unavailable)),
    read,
    callback: Effect.fn("StripeChannel.callback")(function* ({ body, headers }) {
      if (!isGenuine(body, headers[SIGNATURE_HEADER])) return yield* new Unauthenticated()
      return yield* read(body)
    }),
    acknowledgement: {
      body: new TextEncoder().encode('{"received":true}'),
      contentType: "application/json",
    },
  } satisfies Channel
})
