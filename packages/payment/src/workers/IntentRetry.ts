/** Repeats a channel's step until its answer is definite: a time-out is not a decline. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Payments } from "../Payments.ts"
import { PaymentStore } from "../store/PaymentStore.ts"
import * as Sweep from "./Sweep.ts"

const BATCH = 50

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* PaymentStore
    const payments = yield* Payments
    yield* Sweep.ofRows("undecided payments", store.claimIntents(BATCH), payments.start)
  }),
)
