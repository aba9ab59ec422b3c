/** The wallet as the HTTP contract shows it. Money in minor units; an entry's amount is signed. */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Instant.ts"
import * as Page from "./Page.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

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
