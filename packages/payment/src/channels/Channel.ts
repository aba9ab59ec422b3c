/**
 * The port to whoever moves money. A channel never touches our database: it says what happened there, and every
 * call may be repeated with the same ids.
 */
import type { InvalidInput, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { Intent } from "../domain/Intent.ts"
import type { ProviderEvent } from "../domain/ProviderEvent.ts"

/** No definite answer: the call may or may not have had its effect, and is repeated later with the same ids. */
export class ChannelUnavailable extends Data.TaggedError("ChannelUnavailable")<{
  readonly channel: string
  readonly cause: unknown
}> {}

/** Where a payment stands at the channel. */
export type ChannelState =
  | {
      readonly _tag: "Waiting"
      readonly payUrl: string | null
      readonly clientParams: Readonly<Record<string, string>>
    }
  | { readonly _tag: "Captured"; readonly providerTxnId: string; readonly amount: number }
  | { readonly _tag: "Declined" }
  | { readonly _tag: "Closed" }

export interface Callback {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface RefundOrder {
  readonly refundId: string
  readonly paymentId: string
  readonly userId: number
  readonly orderNum: string
  readonly amount: number
  readonly currency: string
}

export interface Channel {
  readonly name: string
  /** Asks for the money; once per payment_id. */
  readonly start: (intent: Intent) => Effect.Effect<ChannelState, ChannelUnavailable>
  /** Makes sure that no money comes by this payment any more, or says that it has come. */
  readonly close: (intent: Intent) => Effect.Effect<ChannelState, ChannelUnavailable>
  /** Gives money back; once per refund_id. */
  readonly refund: (refund: RefundOrder) => Effect.Effect<void, ChannelUnavailable>
  /** Reads a callback's body that was verified when it came. */
  readonly read: (body: Uint8Array) => Effect.Effect<ProviderEvent, InvalidInput>
  /** Checks a callback's signature and reads it. Channels without callbacks refuse every one. */
  readonly verify: (callback: Callback) => Effect.Effect<ProviderEvent, Unauthenticated | InvalidInput>
}

/** The channels that are switched on, by name. */
export class Channels extends Context.Tag("@floodgate/payment/channels/Channels")<
  Channels,
  ReadonlyMap<string, Channel>
>() {}
