/** The wallet as the HTTP contract shows it. Money in minor units; an entry's amount is signed. */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Instant.ts"
import * as Page from "./Page.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"
import { Channel } from "./Payment.ts"

export const Wallet = Schema.Struct({ balance: Schema.Int, currency: Schema.String }).annotations({
  identifier: "Wallet",
})
export type Wallet = typeof Wallet.Type

export const WalletEntry = Schema.Struct({
  id: Id,
  kind: Schema.Literal("topup", "payment", "refund", "adjust"),
  amount: Schema.Int,
  balance_after: Schema.Int,
  order_num: Schema.NullOr(Schema.String),
  created_at: Timestamp,
}).annotations({ identifier: "WalletEntry" })
export type WalletEntry = typeof WalletEntry.Type

export const ListEntriesQuery = strict(Schema.Struct(Page.query))

/** The largest top-up, minor units: whatever is on sale can be paid by it. */
export const MAX_TOP_UP = 10_000_000_000

export const TopUpPayload = strict(
  Schema.Struct({ amount: Schema.Int.pipe(Schema.between(1, MAX_TOP_UP)), channel: Channel }),
).annotations({ identifier: "TopUpPayload" })
