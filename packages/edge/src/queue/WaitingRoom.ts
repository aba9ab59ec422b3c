/**
 * The waiting room of a hot product: people get in line, are let in at the pace that the product's limit allows, and
 * carry a ticket to the sale. The line is no longer than three times what is left: beyond that, waiting is in vain, and
 * people are told so at once.
 */
import {
  Busy,
  ChallengeRequired,
  Ended,
  type Internal,
  type InvalidInput,
  type NotFound,
  NotOnSale,
  SoldOut,
} from "@floodgate/contracts/errors/Errors"
import { type Product, ProductStatus } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { format } from "@floodgate/contracts/http/Instant"
import type { QueuePlace } from "@floodgate/contracts/http/Queue"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ChallengeProvider } from "../challenge/ChallengeProvider.ts"
import { LimitSettings } from "../limits/LimitSettings.ts"
import { ProductCache } from "../products/ProductCache.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import { LIFE_MS, type Proof } from "../ticket/Ticket.ts"
import { Tickets } from "../ticket/Tickets.ts"
import * as QueueMetrics from "./QueueMetrics.ts"
import { ADMITTED_MS, type Place, QueueStore, type Room } from "./QueueStore.ts"

/** How many may wait for each piece that is left. */
const WAITING_PER_PIECE = 3
/** How soon and how late one is asked to ask again (ms): a crowd must not, and nobody should miss their turn. */
const MIN_RETRY_MS = 500
const MAX_RETRY_MS = 5_000
const BUSY_RETRY_MS = 1_000

export type Refusal = NotFound | SoldOut | Ended | NotOnSale | Busy | Internal | InvalidInput

export interface Visitor {
  readonly userId: number
  readonly productId: number
  /** The device that a ticket is bound to; undefined: to none. */
  readonly device: string | undefined
  /** The ticket they bring along. */
  readonly ticket: string | undefined
}

export class WaitingRoom extends Context.Tag("@floodgate/edge/queue/WaitingRoom")<
  WaitingRoom,
  {
    /** Gets in line. `ChallengeRequired` where the product asks for a challenge that the visitor's ticket doesn't prove. */
    readonly join: (visitor: Visitor) => Effect.Effect<QueuePlace, Refusal | ChallengeRequired>
    /** Where one stands. */
    readonly place: (visitor: Visitor) => Effect.Effect<QueuePlace, Refusal>
    /** Whether a ticket lets its bearer into the sale of a product that has a waiting room. */
    readonly admits: (visitor: Visitor) => boolean
  }
>() {}

/** Of a product without a waiting room: everybody is in. */
const open: QueuePlace = { state: "admitted", position: 0, ahead: 0, retry_after_ms: 0 }

const orBusy = <A>(self: Effect.Effect<A, RedisError>): Effect.Effect<A, Busy> =>
  Effect.mapError(self, () => new Busy({ retry_after_ms: BUSY_RETRY_MS }))

export const make = Effect.gen(function* () {
  const store = yield* QueueStore
  const products = yield* ProductCache
  const settings = yield* LimitSettings
  const serverClock = yield* ServerClock
  const tickets = yield* Tickets
  const challenges = yield* ChallengeProvider
  yield* QueueMetrics.observe

  const proved = ({ device, productId, ticket, userId }: Visitor): ReadonlySet<Proof> =>
    tickets.verify(ticket, { user: userId, product: productId, device }, serverClock.nowMs())

  const roomOf = (product: Product): Room => {
    const productId = Number(product.id)
    return {
      productId,
      startMs: Number(product.startTimeMs),
      rate: settings.rateOf("seckill-product", productId).rate,
      capacity: WAITING_PER_PIECE * Number(product.stock),
    }
  }

  /** What the sale itself would say. */
  const refusalOf = (product: Product): Ended | NotOnSale | undefined => {
    if (product.status === ProductStatus.DRAFT || product.status === ProductStatus.WITHDRAWN) {
      return new NotOnSale({})
    }
    const endMs = Number(product.endTimeMs)
    return endMs > 0 && serverClock.nowMs() >= endMs ? new Ended({ end_time: format(endMs) }) : undefined
  }

  const placeOf = (
    place: Place,
    visitor: Visitor,
    product: Product,
    brought: ReadonlySet<Proof>,
  ): Effect.Effect<QueuePlace, SoldOut> => {
    QueueMetrics.told(visitor.productId, place)
    if (place._tag === "Admitted") {
      const nowMs = serverClock.nowMs()
      const proofs = new Set<Proof>([...brought, "queue"])
      // Nobody got in line without it.
      if (product.access?.challenge === true) proofs.add("challenge")
      const ticket = tickets.sign({
        user: visitor.userId,
        product: visitor.productId,
        ...(visitor.device === undefined ? undefined : { device: visitor.device }),
        proved: [...proofs],
        exp: Math.min(nowMs + LIFE_MS, place.sinceMs + ADMITTED_MS),
      })
      return Effect.succeed({ ...open, ticket })
    }
    // All of it is spoken for.
    if (place._tag === "Full" || product.stock <= 0n) return new SoldOut({ left: 0 })
    const retry = Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, place.waitMs))
    return Effect.succeed(
      place._tag === "Waiting"
        ? { state: "waiting", position: place.ahead + 1, ahead: place.ahead, retry_after_ms: retry }
        : { state: "waiting", position: 0, ahead: place.waiting, retry_after_ms: retry },
    )
  }

  return WaitingRoom.of({
    admits: (visitor) => proved(visitor).has("queue"),
    join: Effect.fn("WaitingRoom.join")(function* (visitor) {
      const product = yield* products.messageOf(visitor.productId)
      const refusal = refusalOf(product)
      if (refusal !== undefined) return yield* refusal
      if (product.access?.waitingRoom !== true) return open
      const brought = proved(visitor)
      if (product.access.challenge && !brought.has("challenge")) {
        return yield* new ChallengeRequired({ kind: challenges.kind, product_id: visitor.productId })
      }
      const place = yield* orBusy(store.join(roomOf(product), visitor.userId))
      return yield* placeOf(place, visitor, product, brought)
    }),
    place: Effect.fn("WaitingRoom.place")(function* (visitor) {
      const product = yield* products.messageOf(visitor.productId)
      const refusal = refusalOf(product)
      if (refusal !== undefined) return yield* refusal
      if (product.access?.waitingRoom !== true) return open
      const place = yield* orBusy(store.ask(roomOf(product), visitor.userId))
      return yield* placeOf(place, visitor, product, proved(visitor))
    }),
  })
})

export const layer = Layer.scoped(WaitingRoom, make)
