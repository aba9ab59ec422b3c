/** The third party that moves money: its books are those of the sandbox provider, its callbacks come late and often. */

import type { ProviderEvent } from "@floodgate/payment/domain/ProviderEvent"
import * as Ledger from "@floodgate/payment/sandbox/Ledger"
import { Away, exchange, Refused, type Task } from "../engine/Task.ts"
import { CURRENCY, type World } from "../World.ts"
import * as Payment from "./Payment.ts"

const write = (w: World, entry: Ledger.Entry): Ledger.ProviderPayment | undefined => {
  const after = Ledger.apply(w.books.get(entry.payment_id), entry)
  if (after !== undefined) w.books.set(entry.payment_id, after)
  return after
}

/** One request of ours to the provider. */
export function* ask(w: World, what: string, entry: Ledger.Entry): Task<Ledger.ProviderPayment | undefined> {
  return yield* exchange("the provider", what, () => {
    if (w.providerIsSilent) throw new Away("the provider")
    return write(w, entry)
  })
}

const eventOf = (
  payment: Ledger.ProviderPayment,
  type: ProviderEvent["type"],
  eventId: string,
): ProviderEvent => ({
  eventId,
  type,
  paymentId: payment.payment_id,
  orderNum: payment.order_num,
  amount: payment.amount,
  currency: CURRENCY,
  providerTxnId: payment.provider_txn_id ?? `none-${payment.payment_id}`,
})

/** What a person, or the provider's own trouble, does to a payment there. */
export type Doing =
  | "pays"
  | "pays late"
  | "fails"
  | "tells again"
  | "tells under a new id"
  | "tells a wrong amount"

/** True where it changed something. */
export const act = (w: World, payment_id: string, doing: Doing): boolean => {
  const payment = w.books.get(payment_id)
  if (payment === undefined || payment.order_num === "") return false
  switch (doing) {
    case "pays":
    case "pays late": {
      const provider_txn_id = `txn${++w.lastTxn}`
      const after = write(w, { _tag: "Succeeded", payment_id, provider_txn_id, late: doing === "pays late" })!
      if (after === payment) return false
      w.callbacks.push(eventOf(after, "payment.succeeded", `${payment_id}-ok`))
      return true
    }
    case "fails": {
      const after = write(w, { _tag: "Failed", payment_id })!
      if (after === payment) return false
      w.callbacks.push(eventOf(after, "payment.failed", `${payment_id}-no`))
      return true
    }
    case "tells again":
    case "tells under a new id":
    case "tells a wrong amount": {
      if (payment.status !== "succeeded") return false
      const event = eventOf(
        payment,
        "payment.succeeded",
        doing === "tells again" ? `${payment_id}-ok` : `${payment_id}-${++w.lastTxn}`,
      )
      w.callbacks.push(doing === "tells a wrong amount" ? { ...event, amount: event.amount + 1 } : event)
      return true
    }
  }
}

/** Delivers callbacks, each until it is answered. */
export function* callbacks(w: World): Task<void> {
  while (true) {
    yield { what: "has a callback to send", until: () => w.callbacks.length > 0 }
    const event = w.callbacks[0]!
    try {
      yield* w.call("payment", `callback ${event.type} ${event.eventId}`, () => Payment.receive(w, event))
      w.callbacks.shift()
    } catch (error) {
      if (error instanceof Refused) w.callbacks.shift()
      else if (error instanceof Away) {
        w.callbacks.push(w.callbacks.shift()!)
        yield { what: "sends it again", at: w.now + 1_000 }
      } else throw error
    }
  }
}
