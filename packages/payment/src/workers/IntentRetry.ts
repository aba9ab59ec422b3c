/**
 * Goes on where a caller couldn't: an undecided step is repeated until it is definite, a silent provider is asked, what
 * a shut gate left open is closed. Each channel has a sweep of its own, so that one that hangs delays no other.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Channels } from "../channels/Channel.ts"
import { Payments } from "../Payments.ts"
import { IntentStore } from "../store/IntentStore.ts"
import * as Sweep from "./Sweep.ts"

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* IntentStore
    const payments = yield* Payments
    const channels = yield* Channels
    for (const name of channels.keys())
      yield* Sweep.ofRows(`payments by ${name}`, store.claimDue(name, Sweep.CONCURRENCY), payments.goOn)
  }),
)
