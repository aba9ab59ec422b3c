/** The wallet that the balance channel pays from. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { RequiredKey } from "./IdempotencyKey.ts"
import { Page } from "./Page.ts"
import { Payment } from "./Payment.ts"
import { ListEntriesQuery, TopUpPayload, Wallet, WalletEntry } from "./Wallet.ts"

export const WalletApi = HttpApiGroup.make("wallet")
  .add(
    HttpApiEndpoint.get("get", "/wallet")
      .addSuccess(Envelope(Wallet))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "My balance"),
  )
  .add(
    HttpApiEndpoint.get("entries", "/wallet/entries")
      .setUrlParams(ListEntriesQuery)
      .addSuccess(Envelope(Page(WalletEntry)))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "What moved it, newest first"),
  )
  .add(
    HttpApiEndpoint.post("topUp", "/wallet/topups")
      .setHeaders(RequiredKey)
      .setPayload(TopUpPayload)
      .addSuccess(Envelope(Payment))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .addError(Failure("PAYMENT_DECLINED"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Put money into my wallet by a channel from outside"),
  )
