/** A product as the HTTP contract shows it, made from inventory's message. */

import {
  type Product as Message,
  ProductStatus as WireStatus,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { format } from "@floodgate/contracts/http/Instant"
import type { Product, ProductStatus } from "@floodgate/contracts/http/Product"

const statuses: Record<WireStatus, ProductStatus> = {
  [WireStatus.UNSPECIFIED]: "draft",
  [WireStatus.DRAFT]: "draft",
  [WireStatus.UPCOMING]: "upcoming",
  [WireStatus.LIVE]: "live",
  [WireStatus.SOLD_OUT]: "sold_out",
  [WireStatus.ENDED]: "ended",
  [WireStatus.WITHDRAWN]: "withdrawn",
}

export const wireStatusOf = {
  upcoming: WireStatus.UPCOMING,
  live: WireStatus.LIVE,
  sold_out: WireStatus.SOLD_OUT,
  ended: WireStatus.ENDED,
} as const

/** The status at a moment of the sale's clock: between inventory's answers time goes on. */
const statusAt = (message: Message, nowMs: number): ProductStatus => {
  const status = statuses[message.status] ?? "draft"
  if (status === "draft" || status === "withdrawn") return status
  if (message.endTimeMs > 0n && nowMs >= Number(message.endTimeMs)) return "ended"
  if (nowMs < Number(message.startTimeMs)) return "upcoming"
  return message.stock > 0n ? "live" : "sold_out"
}

/** When the status changes by itself next, Unix ms; infinite where it doesn't. */
export const nextChangeMs = (message: Message, nowMs: number): number => {
  const changes = [Number(message.startTimeMs), Number(message.endTimeMs)].filter((ms) => ms > nowMs)
  return Math.min(...changes, Number.POSITIVE_INFINITY)
}

export const of = (message: Message, nowMs: number): Product => ({
  id: Number(message.id),
  name: message.name,
  description: message.description,
  price: Number(message.price),
  original_price: message.originalPrice === 0n ? null : Number(message.originalPrice),
  currency: message.currency,
  stock: Number(message.stock),
  initial_stock: Number(message.initialStock),
  start_time: format(Number(message.startTimeMs)),
  end_time: message.endTimeMs === 0n ? null : format(Number(message.endTimeMs)),
  per_user_limit: message.perUserLimit,
  image: message.image === "" ? null : message.image,
  status: statusAt(message, nowMs),
  access: {
    challenge: message.access?.challenge ?? false,
    waiting_room: message.access?.waitingRoom ?? false,
  },
  version: Number(message.version),
  created_at: format(Number(message.createdAtMs)),
  updated_at: format(Number(message.updatedAtMs)),
})
