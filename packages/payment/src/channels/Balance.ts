/** The wallet: identity decides a debit once per payment_id, and answers the same for ever after. */
import { InvalidInput, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import { WalletEntryKind, WalletOutcome } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as Effect from "effect/Effect"
import { type Channel, type ChannelState, ChannelUnavailable } from "./Channel.ts"

export const NAME = "balance"

const unavailable = (cause: unknown) => new ChannelUnavailable({ channel: NAME, cause })

export const make = Effect.gen(function* () {
  const identity = yield* IdentityClient

  const stateOf = (
    decision: { readonly outcome: WalletOutcome },
    intent: { readonly paymentId: string; readonly amount: number },
  ): Effect.Effect<ChannelState, ChannelUnavailable> => {
    switch (decision.outcome) {
      case WalletOutcome.DEBITED:
        return Effect.succeed({ _tag: "Captured", providerTxnId: intent.paymentId, amount: intent.amount })
      case WalletOutcome.DECLINED:
        return Effect.succeed({ _tag: "Declined" })
      case WalletOutcome.VOID:
        return Effect.succeed({ _tag: "Closed" })
      default:
        return Effect.fail(unavailable(new Error(`wallet answered ${decision.outcome}`)))
    }
  }

  return {
    name: NAME,
    start: (intent) =>
      identity
        .debitWallet({
          paymentId: intent.paymentId,
          userId: BigInt(intent.userId),
          amount: BigInt(intent.amount),
          currency: intent.currency,
          orderNum: intent.orderNum,
        })
        .pipe(
          Effect.mapError(unavailable),
          Effect.flatMap((d) => stateOf(d, intent)),
        ),
    close: (intent) =>
      identity.voidDebit({ paymentId: intent.paymentId, userId: BigInt(intent.userId) }).pipe(
        Effect.mapError(unavailable),
        Effect.flatMap((d) => stateOf(d, intent)),
        // A stored decline is as final as a void: no money comes.
        Effect.map((state): ChannelState => (state._tag === "Declined" ? { _tag: "Closed" } : state)),
      ),
    refund: (refund) =>
      identity
        .creditWallet({
          creditId: refund.refundId,
          userId: BigInt(refund.userId),
          amount: BigInt(refund.amount),
          currency: refund.currency,
          kind: WalletEntryKind.REFUND,
          orderNum: refund.orderNum,
        })
        .pipe(Effect.mapError(unavailable), Effect.asVoid),
    read: () => Effect.fail(InvalidInput.at("", "the wallet has no callbacks")),
    verify: () => Effect.fail(new Unauthenticated()),
  } satisfies Channel
})
