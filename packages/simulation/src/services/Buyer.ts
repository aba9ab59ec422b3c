/**
 * What buyers do, and what they are told: a number's story may go on, but never back. `not_reserved` is what the open
 * shard knows, written nowhere: while the shard can't be asked the number is `queued` once more, but an order never.
 */
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import type { Task } from "../engine/Task.ts"
import type { Channel, World } from "../World.ts"
import * as Inventory from "./Inventory.ts"
import * as Ordering from "./Ordering.ts"
import * as Payment from "./Payment.ts"

const later: Readonly<Record<string, ReadonlyArray<string>>> = {
  "": ["queued", "unpaid", "paid", "cancelled", "not_reserved", "rejected"],
  queued: ["queued", "unpaid", "paid", "cancelled", "not_reserved", "rejected"],
  unpaid: ["unpaid", "paid", "cancelled"],
  paid: ["paid"],
  cancelled: ["cancelled"],
  not_reserved: ["not_reserved", "forgotten", "rejected"],
  forgotten: ["not_reserved", "forgotten", "rejected"],
  rejected: ["rejected"],
}

/** Remembers what a number's owner was told of it. */
export const hear = (w: World, order_num: string, says: string): void => {
  const issued = w.issued.get(order_num)!
  const wasNotReserved = issued.told === "not_reserved" || issued.told === "forgotten"
  const state = says === "lost" ? "rejected" : says === "queued" && wasNotReserved ? "forgotten" : says
  if (!later[issued.told]!.includes(state))
    w.violate(`${order_num} was told ${issued.told}, and now it is ${state}`)
  issued.told = state
}

export function* buy(
  w: World,
  wish: {
    readonly user_id: number
    readonly product_id: number
    readonly quantity: number
    readonly key: string
  },
): Task<void> {
  const { code, order_num } = yield* w.call("inventory", "reserves", () => Inventory.reserve(w, wish))
  w.tellStory(`buyer-${wish.user_id}`, `is answered ${nameOf(code)} ${order_num}`)
  if (code === ReserveCode.RESERVED || code === ReserveCode.REPEATED) w.issued.get(order_num)!.promised = true
}

const nameOf = (code: number) => Object.entries(ReserveCode).find(([, value]) => value === code)![0]

export function* look(w: World, user_id: number, order_num: string): Task<void> {
  const says = yield* w.call("ordering", `asks for ${order_num}`, () => Ordering.look(w, order_num, user_id))
  w.tellStory(`buyer-${user_id}`, `is told that ${order_num} is ${says}`)
  hear(w, order_num, says)
}

export function* pay(
  w: World,
  user_id: number,
  order_num: string,
  channel: Channel,
  key: string,
): Task<void> {
  const state = yield* w.call("payment", `pays ${order_num} by ${channel}`, () =>
    Payment.pay(w, { order_num, user_id, channel, key }),
  )
  w.tellStory(`buyer-${user_id}`, `is told that the payment is ${state}`)
}

export function* cancel(w: World, user_id: number, order_num: string): Task<void> {
  const state = yield* w.call("ordering", `cancels ${order_num}`, () => Ordering.cancel(w, order_num))
  w.tellStory(`buyer-${user_id}`, `is told that ${order_num} is ${state}`)
  if (state === "cancelled") hear(w, order_num, state)
}
