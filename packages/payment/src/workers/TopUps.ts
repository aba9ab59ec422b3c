/** Credits wallets with the money that top-ups brought, once per payment; what can't be credited goes back. */
import { WalletEntryKind } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Pause from "../domain/Pause.ts"
import { IntentStore } from "../store/IntentStore.ts"
import { RefundStore } from "../store/RefundStore.ts"
import { type DueCredit, TopUpStore } from "../store/TopUpStore.ts"
import * as Sweep from "./Sweep.ts"

/** Between two tries, s. */
const AGAIN_S = 1
const MAX_AGAIN_S = 60

/** Books one capture's money, or has it given back. */
export const handle = Effect.fn("TopUps.handle")(function* (due: DueCredit) {
  const topUps = yield* TopUpStore
  const refunds = yield* RefundStore
  const identity = yield* IdentityClient
  if (due.second) return yield* refunds.refused(due.paymentId, due.captureId, "paid")
  // The payment's id is the credit's key: asked again, identity answers the entry that is there.
  const credited = yield* identity
    .creditWallet({
      creditId: due.paymentId,
      userId: BigInt(due.userId),
      amount: BigInt(due.amount),
      currency: due.currency,
      kind: WalletEntryKind.TOPUP,
      orderNum: "",
    })
    .pipe(
      Effect.as(true),
      Effect.catchTags({
        NotFound: () => Effect.succeed(false),
        InvalidInput: () => Effect.succeed(false),
      }),
      Effect.tapError(() => topUps.postpone(due.captureId, Pause.growing(AGAIN_S, MAX_AGAIN_S, due.tries))),
    )
  if (credited) return yield* (yield* IntentStore).applied(due.paymentId, due.captureId)
  yield* Effect.logError("a wallet can't take a top-up; the money goes back").pipe(
    Effect.annotateLogs({ payment_id: due.paymentId, user_id: due.userId }),
  )
  yield* refunds.refused(due.paymentId, due.captureId, "wallet")
})

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const topUps = yield* TopUpStore
    yield* Sweep.ofRows("top-ups", topUps.claim(Sweep.CONCURRENCY), handle)
  }),
)
