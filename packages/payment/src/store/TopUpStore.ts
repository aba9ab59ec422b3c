/** Captured money that is on its way into a wallet. */
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Gate } from "./Gate.ts"

/** Money of a top-up that no wallet has yet. */
export interface DueCredit {
  readonly captureId: string
  readonly paymentId: string
  readonly userId: number
  readonly amount: number
  readonly currency: string
  /** Another capture of the same payment came first: this one is money too much. */
  readonly second: boolean
  readonly tries: number
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const gate = yield* Gate
  const { sql } = mysql

  const claim = Effect.fn("TopUpStore.claim")(function* (limit: number) {
    return yield* gate.claim(
      "payment.claimCredits",
      "capture",
      "capture_id",
      limit,
      undefined,
      (ids: ReadonlyArray<string>) =>
        sql<Omit<DueCredit, "second"> & { second: number }>`
          SELECT c.capture_id AS captureId, c.payment_id AS paymentId, i.user_id AS userId, c.amount, c.currency, c.tries,
            EXISTS (SELECT 1 FROM capture o WHERE o.payment_id = c.payment_id
              AND (o.created_at < c.created_at OR (o.created_at = c.created_at AND o.capture_id < c.capture_id))) AS second
          FROM capture c JOIN intent i ON i.payment_id = c.payment_id
          WHERE ${sql.in("c.capture_id", ids)} AND c.state = 'new'`.pipe(
          Effect.map((rows) => rows.map((row): DueCredit => ({ ...row, second: row.second === 1 }))),
        ),
    )
  })

  const postpone = (captureId: string, seconds: number) =>
    gate.postpone("capture", "capture_id", captureId, seconds)

  return { claim, postpone } as const
})

export class TopUpStore extends Context.Tag("@floodgate/payment/store/TopUpStore")<
  TopUpStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(TopUpStore, make)
}
