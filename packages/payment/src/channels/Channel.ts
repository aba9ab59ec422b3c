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
}> {
  override get message(): string {
    return `${this.channel} gave no definite answer: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** Where a payment stands at the channel. */
export type ChannelState =
  | {
      readonly _tag: "Waiting"
      readonly payUrl: string | null
      readonly clientParams: Readonly<Record<string, string>>
      /** The provider's own id of the payment, where it has one. */
      readonly providerRef?: string
    }
  | { readonly _tag: "Captured"; readonly providerTxnId: string; readonly amount: number }
  | { readonly _tag: "Declined" }
  | { readonly _tag: "Closed" }

/** Where a refund stands at the channel. */
export type ChannelRefund =
  | { readonly _tag: "Succeeded" }
  /** The provider has it and isn't done. */
  | { readonly _tag: "Pending" }
  /** The provider refuses for good: no money moved, and none will by this refund. `reason` is for operators. */
  | { readonly _tag: "Failed"; readonly reason: string }

export interface Callback {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface RefundOrder {
  /** Another one for every attempt. */
  readonly refundId: string
  readonly paymentId: string
  /** The provider's id of the movement of money that goes back. */
  readonly providerTxnId: string
  readonly userId: number
  readonly orderNum: string
  readonly amount: number
  readonly currency: string
}

/** The bytes that a provider wants back for a callback that was taken. */
export interface Acknowledgement {
  readonly body: Uint8Array
  readonly contentType: string
}

export interface Channel {
  readonly name: string
  /** False: it can't fill a wallet. */
  readonly topsUp: boolean
  /** Asks for the money; once per payment_id. */
  readonly pay: (intent: Intent) => Effect.Effect<ChannelState, ChannelUnavailable>
  /** Where a payment stands that the channel has accepted; changes nothing there. */
  readonly query: (intent: Intent) => Effect.Effect<ChannelState, ChannelUnavailable>
  /** Makes sure that no money comes by this payment any more, or says that it has come. */
  readonly close: (intent: Intent) => Effect.Effect<ChannelState, ChannelUnavailable>
  /** Gives money back, once per refund_id; asked again, it says how far that is. */
  readonly refund: (refund: RefundOrder) => Effect.Effect<ChannelRefund, ChannelUnavailable>
  /**
   * Checks a callback's signature and reads it; undefined for a genuine message that is none of our business. Channels
   * without callbacks refuse every one.
   */
  readonly callback: (
    callback: Callback,
  ) => Effect.Effect<ProviderEvent | undefined, Unauthenticated | InvalidInput>
  /** Reads a callback's body that was verified when it came. */
  readonly read: (body: Uint8Array) => Effect.Effect<ProviderEvent | undefined, InvalidInput>
  /** Left out: the HTTP contract's own envelope. */
  readonly acknowledgement?: Acknowledgement
}

/** The channels that are switched on, by name. */
export class Channels extends Context.Tag("@floodgate/payment/channels/Channels")<
  Channels,
  ReadonlyMap<string, Channel>
>() {}
