/** Gives back money that ordering refused, once per refund_id, until the channel has confirmed it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Channels } from "../channels/Channel.ts"
import { PaymentStore } from "../store/PaymentStore.ts"
import * as Sweep from "./Sweep.ts"

const BATCH = 50

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* PaymentStore
    const channels = yield* Channels
    yield* Sweep.ofRows("refunds", store.claimRefunds(BATCH), (refund) =>
      Effect.gen(function* () {
        const channel = channels.get(refund.channel)
        if (channel === undefined) return
        yield* channel.refund(refund)
        yield* store.refunded(refund)
        yield* Effect.logInfo("refunded").pipe(
          Effect.annotateLogs({
            order_num: refund.orderNum,
            user_id: refund.userId,
            refund_id: refund.refundId,
          }),
        )
      }),
    )
  }),
)
