/** Paying an order, and closing what is open for it: the gate first, then the channel, then what it answered. */
import { Busy, InvalidInput, NotFound, PaymentDeclined, WrongState } from "@floodgate/contracts/errors/Errors"
import { OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ChannelState, Channels } from "./channels/Channel.ts"
import type { Intent } from "./domain/Intent.ts"
import { type OpenRequest, PaymentStore } from "./store/PaymentStore.ts"

export interface PayRequest {
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly key: OpenRequest["key"]
}

export interface PayAnswer {
  readonly intent: Intent
  /** The answer was first given to an earlier request with the same key. */
  readonly replayed: boolean
}

const stateName = (state: OrderState) => (OrderState[state] ?? "UNSPECIFIED").toLowerCase()

const make = Effect.gen(function* () {
  const store = yield* PaymentStore
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
        return yield* store.started(intent, state.payUrl, state.clientParams)
    }
  })

  /** Asks the intent's channel for the money; without an answer the intent stays, and the worker asks again. */
  const start = Effect.fn("Payments.start")(function* (intent: Intent) {
    const channel = channels.get(intent.channel)
    if (channel === undefined) return intent
    const state = yield* channel.start(intent).pipe(
      Effect.tapError((error) => Effect.logWarning("channel did not answer", error)),
      Effect.option,
    )
    if (state._tag === "Some") return yield* settle(intent, state.value)
    return yield* store.started(intent, null, {})
  })

  const close = Effect.fn("Payments.close")(function* (intent: Intent) {
    const channel = channels.get(intent.channel)
    if (channel === undefined) return undefined
    const state = yield* channel.close(intent).pipe(
      Effect.tapError((error) => Effect.logWarning("channel did not close", error)),
      Effect.option,
    )
    return state._tag === "Some" && state.value._tag !== "Waiting"
      ? yield* settle(intent, state.value)
      : undefined
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
    const intent = yield* store.findPayment(paymentId)
    if (intent === undefined || (userId !== 0 && intent.userId !== userId)) return yield* new NotFound()
    return intent
  })

  return { pay, start, closeOrder, get } as const
})

export class Payments extends Context.Tag("@floodgate/payment/Payments")<
  Payments,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Payments, make)
}
