/** Gives money back, once per refund_id, until the channel has confirmed or refused it. One sweep a channel. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Channel, Channels } from "../channels/Channel.ts"
import * as Pause from "../domain/Pause.ts"
import * as PaymentMetrics from "../PaymentMetrics.ts"
import { type DueRefund, RefundStore } from "../store/RefundStore.ts"
import * as Sweep from "./Sweep.ts"

/** Between two asks, s. */
const AGAIN_S = 1
const MAX_AGAIN_S = 60

/** Takes one refund as far as its channel lets it go now. */
export const handle = (channel: Channel, refund: DueRefund) =>
  Effect.gen(function* () {
    const store = yield* RefundStore
    const again = store.postpone(refund.refundId, Pause.growing(AGAIN_S, MAX_AGAIN_S, refund.tries))
    const how = yield* channel.refund(refund).pipe(Effect.tapError(() => again))
    switch (how._tag) {
      case "Pending":
        return yield* again
      case "Succeeded":
        yield* store.succeeded(refund)
        PaymentMetrics.refunded(channel.name, "succeeded")
        return yield* Effect.logInfo("refunded")
      case "Failed":
        yield* store.failed(refund, how.reason)
        PaymentMetrics.refunded(channel.name, "failed")
        return yield* Effect.logError(`a refund was refused for good: ${how.reason}`)
    }
  }).pipe(
    Effect.annotateLogs({
      order_num: refund.orderNum,
      user_id: refund.userId,
      refund_id: refund.refundId,
      channel: channel.name,
    }),
  )

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* RefundStore
    const channels = yield* Channels
    for (const channel of channels.values())
      yield* Sweep.ofRows(
        `refunds by ${channel.name}`,
        store.claim(channel.name, Sweep.CONCURRENCY),
        (refund) => handle(channel, refund),
      )
  }),
)
