/** Paying an order or filling a wallet, and closing what is open: the gate first, then the channel, then what it answered. */
import { Busy, InvalidInput, NotFound, PaymentDeclined, WrongState } from "@floodgate/contracts/errors/Errors"
import { OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { CallDeadline } from "@floodgate/contracts/rpc/CallDeadline"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import * as Bounded from "@floodgate/runtime/resilience/Bounded"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Channel, type ChannelState, Channels, ChannelUnavailable } from "./channels/Channel.ts"
import type { Intent } from "./domain/Intent.ts"
import * as Pause from "./domain/Pause.ts"
import { type DueIntent, IntentStore, type OpenRequest } from "./store/IntentStore.ts"
import type { Key } from "./store/Keys.ts"

export interface PayRequest {
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly key: Key
}

export interface TopUpRequest {
  readonly userId: number
  /** Minor units. */
  readonly amount: number
  readonly channel: string
  readonly key: Key
}

export interface PayAnswer {
  readonly intent: Intent
  /** The answer was first given to an earlier request with the same key. */
  readonly replayed: boolean
}

/** What wallets hold. */
const WALLET_CURRENCY = "CNY"

/** How long a caller waits for a channel, ms; then the payment is `processing`, and the worker goes on. */
const STEP_MS = 2_000
/** What is left of a caller's time for the database and the way back, ms. */
const RESERVE_MS = 500
const LEAST_STEP_MS = 100

/** A channel that said nothing is asked again after this, then twice as long each time, s. */
const REPEAT_S = 1
const MAX_REPEAT_S = 30
/** The same, for a payment that waits for a person. */
const QUERY_S = 10
const MAX_QUERY_S = 300

const stateName = (state: OrderState) => (OrderState[state] ?? "UNSPECIFIED").toLowerCase()

const make = Effect.gen(function* () {
  const store = yield* IntentStore
  const channels = yield* Channels
  const ordering = yield* OrderingClient

  /** Writes down what the channel answered about an intent. */
  const settle = Effect.fn("Payments.settle")(function* (intent: Intent, state: ChannelState) {
    switch (state._tag) {
      case "Captured":
        return yield* store.captured(intent, state.providerTxnId, state.amount)
      case "Declined":
        return yield* store.ended(intent, "declined")
      case "Closed":
        return yield* store.ended(intent, "closed")
      case "Waiting":
        return yield* store.started(intent, {
          payUrl: state.payUrl,
          clientParams: state.clientParams,
          providerRef: state.providerRef ?? null,
          accepted: true,
        })
    }
  })

  /** One step at a channel while a caller waits: in time for the caller, whatever the channel does. */
  const step = <A>(channel: Channel, call: Effect.Effect<A, ChannelUnavailable>) =>
    Effect.gen(function* () {
      const left = (yield* CallDeadline) - (yield* Clock.currentTimeMillis) - RESERVE_MS
      const ms = Math.max(LEAST_STEP_MS, Math.min(STEP_MS, left))
      return yield* call.pipe(
        Bounded.failAfter(
          ms,
          () => new ChannelUnavailable({ channel: channel.name, cause: `no answer within ${ms} ms` }),
        ),
      )
    }).pipe(
      Effect.tapError((error) => Effect.logWarning("a channel gave no definite answer", error)),
      Effect.option,
    )

  /** Asks the intent's channel for the money; without an answer the intent stays, and the worker asks again. */
  const start = Effect.fn("Payments.start")(function* (intent: Intent) {
    const channel = channels.get(intent.channel)
    if (channel === undefined) return intent
    const state = yield* step(channel, channel.pay(intent))
    if (state._tag === "Some") return yield* settle(intent, state.value)
    return yield* store.started(intent, {
      payUrl: null,
      clientParams: {},
      providerRef: null,
      accepted: false,
    })
  })

  const close = Effect.fn("Payments.close")(function* (intent: Intent) {
    const channel = channels.get(intent.channel)
    if (channel === undefined) return undefined
    const state = yield* step(channel, channel.close(intent))
    return state._tag === "Some" && state.value._tag !== "Waiting"
      ? yield* settle(intent, state.value)
      : undefined
  })

  /** What the worker does about an intent that is due: have it closed, ask how it stands, or ask for the money again. */
  const goOn = Effect.fn("Payments.goOn")(function* (due: DueIntent) {
    const { intent } = due
    const channel = channels.get(intent.channel)
    if (channel === undefined) return intent
    const asked = due.closing
      ? channel.close(intent)
      : intent.accepted
        ? channel.query(intent)
        : channel.pay(intent)
    const again = intent.accepted
      ? Pause.growing(QUERY_S, MAX_QUERY_S, due.tries)
      : Pause.growing(REPEAT_S, MAX_REPEAT_S, due.tries)
    const state = yield* asked.pipe(Effect.tapError(() => store.postpone(intent.paymentId, again)))
    // Still waiting for a person, or not to be closed just now.
    if (state._tag === "Waiting" && (due.closing || intent.accepted)) {
      yield* store.postpone(intent.paymentId, again)
      return intent
    }
    return yield* settle(intent, state)
  })

  /** A stored decline is an error each time it is told; everything else is the payment as it is. */
  const answer = (intent: Intent, replayed: boolean): Effect.Effect<PayAnswer, PaymentDeclined> =>
    intent.state === "declined"
      ? Effect.fail(new PaymentDeclined({ payment_id: intent.paymentId }))
      : Effect.succeed({ intent, replayed })

  const pay = Effect.fn("Payments.pay")(function* (request: PayRequest) {
    if (!channels.has(request.channel)) return yield* InvalidInput.at("channel", "unknown payment channel")
    const order = yield* ordering.getOrder({ orderNum: request.orderNum, userId: BigInt(request.userId) })
    const open: OpenRequest = {
      ...request,
      amount: Number(order.amount),
      currency: order.currency,
    }
    if (order.state !== OrderState.UNPAID) {
      // A key that was answered while the order was unpaid still gets that answer.
      const seen = yield* store.replay(open.key)
      if (seen === undefined) return yield* new WrongState({ state: stateName(order.state) })
      return yield* answer(seen, true)
    }
    const first = yield* store.open(open)
    // Another channel's intent is closed where it is open; a second look then finds the gate free.
    const result =
      first._tag === "OtherChannel" && (yield* close(first.intent)) !== undefined
        ? yield* store.open(open)
        : first
    if (result._tag === "OtherChannel") return yield* new Busy({ retry_after_ms: 1000 })
    if (globalThis.__FLOODGATE_FAULTS__ && result._tag === "Opened") yield* CrashPoint.hit("payment.opened")
    const intent = result._tag === "Opened" ? yield* start(result.intent) : result.intent
    yield* store.answered(open.key)
    return yield* answer(intent, result._tag === "Existing" && result.replayed)
  })

  /** Money into the caller's wallet, by a channel from outside. */
  const topUp = Effect.fn("Payments.topUp")(function* (request: TopUpRequest) {
    if (channels.get(request.channel)?.topsUp !== true)
      return yield* InvalidInput.at("channel", "is not a channel that fills a wallet")
    const result = yield* store.openTopUp({ ...request, currency: WALLET_CURRENCY })
    const intent = result._tag === "Opened" ? yield* start(result.intent) : result.intent
    if (result._tag === "Opened") yield* store.answered(request.key)
    return yield* answer(intent, result._tag === "Existing")
  })

  /** Shuts the order's gate for good, and closes at the channel what is open there. */
  const closeOrder = Effect.fn("Payments.closeOrder")(function* (orderNum: string) {
    const shut = yield* store.shut(orderNum)
    if (shut.captured) return "captured" as const
    for (const intent of shut.open) {
      const after = yield* close(intent)
      if (after === undefined) return "pending" as const
      if (after.state === "captured" || after.state === "applied") return "captured" as const
    }
    return "closed" as const
  })

  const get = Effect.fn("Payments.get")(function* (paymentId: string, userId: number) {
    const intent = yield* store.find(paymentId)
    if (intent === undefined || (userId !== 0 && intent.userId !== userId)) return yield* new NotFound()
    return intent
  })

  return { pay, topUp, start, goOn, closeOrder, get } as const
})

export class Payments extends Context.Tag("@floodgate/payment/Payments")<
  Payments,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Payments, make)
}
