/** The wallet in identity: a payment is decided once, a credit is booked once. */
import { Refused, type Task } from "../engine/Task.ts"
import type { World } from "../World.ts"

type Outcome = "debited" | "declined" | "void"

export interface Debit {
  readonly payment_id: string
  readonly user_id: number
  readonly amount: number
}

export const debit = (w: World, { amount, payment_id, user_id }: Debit): Task<Outcome> =>
  w.db.transaction(`debit ${payment_id}`, function* (tx) {
    yield* tx.lock(w.wallet, String(user_id))
    const decided = tx.get(w.decision, payment_id)
    if (decided !== undefined) return decided.outcome
    const { balance } = tx.get(w.wallet, String(user_id))!
    const outcome = balance >= amount ? "debited" : "declined"
    if (outcome === "debited") tx.put(w.wallet, String(user_id), { balance: balance - amount })
    tx.put(w.decision, payment_id, { outcome, amount })
    return outcome
  })

export const voidDebit = (w: World, payment_id: string, user_id: number): Task<Outcome> =>
  w.db.transaction(`void ${payment_id}`, function* (tx) {
    yield* tx.lock(w.wallet, String(user_id))
    const decided = tx.get(w.decision, payment_id)
    if (decided !== undefined) return decided.outcome
    if (w.has("wallet-void")) tx.put(w.decision, payment_id, { outcome: "void", amount: 0 })
    return "void"
  })

export const credit = (
  w: World,
  refund: {
    readonly refund_id: string
    readonly user_id: number
    readonly amount: number
    readonly order_num: string
  },
): Task<void> =>
  w.db.transaction(`credit ${refund.refund_id}`, function* (tx) {
    const { amount, order_num, refund_id, user_id } = refund
    yield* tx.lock(w.wallet, String(user_id))
    const booked = tx.get(w.credit, refund_id)
    if (booked !== undefined) {
      if (booked.amount !== amount) throw new Refused("the credit was used")
      return
    }
    tx.put(w.wallet, String(user_id), { balance: tx.get(w.wallet, String(user_id))!.balance + amount })
    tx.put(w.credit, refund_id, {
      user_id,
      amount,
      order_num,
    })
  })
