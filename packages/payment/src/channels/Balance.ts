/** The wallet: identity decides a debit once per payment_id, and answers the same for ever after. */
import { InvalidInput, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import { WalletEntryKind, WalletOutcome } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as Effect from "effect/Effect"
import type { Intent } from "../domain/Intent.ts"
import { type Channel, type ChannelRefund, type ChannelState, ChannelUnavailable } from "./Channel.ts"

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

  const debit = (intent: Intent) =>
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
      )

  return {
    name: NAME,
    // A wallet isn't filled from itself.
    topsUp: false,
    pay: debit,
    // The decision about a payment_id is made once: asked again, the debit says what it was.
    query: debit,
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
        .pipe(
          Effect.as<ChannelRefund>({ _tag: "Succeeded" }),
          // Refused before anything was booked, and it will be again: no such wallet, or one that is full.
          Effect.catchTags({
            NotFound: () => Effect.succeed<ChannelRefund>({ _tag: "Failed", reason: "the wallet is gone" }),
            InvalidInput: (error) =>
              Effect.succeed<ChannelRefund>({
                _tag: "Failed",
                reason: error.issues.map((issue) => `${issue.path} ${issue.message}`).join("; "),
              }),
          }),
          Effect.mapError(unavailable),
        ),
    read: () => Effect.fail(InvalidInput.at("", "the wallet has no callbacks")),
    callback: () => Effect.fail(new Unauthenticated()),
  } satisfies Channel
})
