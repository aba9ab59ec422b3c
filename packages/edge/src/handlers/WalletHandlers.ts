/** The wallet: identity keeps it, payment fills it. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import {
  type WalletEntry as Message,
  WalletEntryKind,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"
import { format } from "@floodgate/contracts/http/Instant"
import type { WalletEntry } from "@floodgate/contracts/http/Wallet"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as Effect from "effect/Effect"
import * as Exchange from "../http/Exchange.ts"
import * as CanonicalBody from "./CanonicalBody.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import * as PaymentView from "./PaymentView.ts"
import { aboutSelf, callerOf, fromPeer } from "./Peer.ts"

const kinds: Record<WalletEntryKind, WalletEntry["kind"]> = {
  [WalletEntryKind.UNSPECIFIED]: "adjust",
  [WalletEntryKind.TOPUP]: "topup",
  [WalletEntryKind.PAYMENT]: "payment",
  [WalletEntryKind.REFUND]: "refund",
  [WalletEntryKind.ADJUST]: "adjust",
}

const entryOf = (message: Message): WalletEntry => ({
  id: Number(message.id),
  kind: kinds[message.kind] ?? "adjust",
  amount: Number(message.amount),
  balance_after: Number(message.balanceAfter),
  order_num: message.orderNum === "" ? null : message.orderNum,
  created_at: format(Number(message.createdAtMs)),
})

export const layer = HttpApiBuilder.group(RestApi, "wallet", (handlers) =>
  Effect.gen(function* () {
    const identity = yield* IdentityClient
    const payment = yield* PaymentClient
    return handlers
      .handle(
        "get",
        Effect.fn("WalletHandlers.get")(function* () {
          const user = yield* CurrentUser
          const wallet = yield* aboutSelf(identity.getWallet({ userId: BigInt(user.userId) }, callerOf(user)))
          return { balance: Number(wallet.balance), currency: wallet.currency }
        }),
      )
      .handle(
        "entries",
        Effect.fn("WalletHandlers.entries")(function* ({ urlParams }) {
          const user = yield* CurrentUser
          const page = yield* withQueryNames(
            aboutSelf(
              identity.listWalletEntries(
                { userId: BigInt(user.userId), ...pageOf(urlParams) },
                callerOf(user),
              ),
            ),
          )
          return { items: page.entries.map(entryOf), next_cursor: nextCursor(page.nextPageToken) }
        }),
      )
      .handle(
        "topUp",
        Effect.fn("WalletHandlers.topUp")(function* ({ headers, payload, request }) {
          const user = yield* CurrentUser
          const paid = yield* fromPeer(
            payment.createTopUp(
              {
                userId: BigInt(user.userId),
                amount: BigInt(payload.amount),
                channel: payload.channel,
                idempotencyKey: headers[HEADER],
                bodyHash: CanonicalBody.hash(payload),
              },
              callerOf(user),
            ),
          )
          if (paid.replayed) Exchange.of(request).answerHeaders["idempotent-replayed"] = "true"
          return PaymentView.of(paid)
        }),
        { uninterruptible: true },
      )
  }),
)
