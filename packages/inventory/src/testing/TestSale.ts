/** A sale in a test: shards that are open, products on sale, buyers. For tests only. */
import { assert } from "@effect/vitest"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ReservationStoreModule from "../store/ReservationStore.ts"
import { ReservationStore } from "../store/ReservationStore.ts"
import * as ShardFenceModule from "../store/ShardFence.ts"
import { ShardFence } from "../store/ShardFence.ts"
import * as ShardSignals from "../store/ShardSignals.ts"

export const ORDER_NUM_KEY = "dev-only-order-num-key"

const config = Layer.setConfigProvider(
  ConfigProvider.fromMap(
    new Map([
      ["ORDER_NUM_KEY", ORDER_NUM_KEY],
      ["RESERVATIONS_MAX_OPEN", "5000"],
    ]),
  ),
)

/** The stores of a sale, with a stream that holds 5,000 entries. */
export const stores = Layer.merge(ReservationStoreModule.layer, ShardFenceModule.layer).pipe(
  Layer.provideMerge(ShardSignals.layer),
  Layer.provide(config),
)

export const HOUR = 3_600_000

let lastProduct = 1_000
let lastRequest = 0
let lastEpoch = 0

export const requestId = () => `r${String(++lastRequest).padStart(15, "0")}`

/** Opens the shards of these products, as a recovery would. */
export const openShards = (productIds: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const fence = yield* ShardFence
    const epoch = ++lastEpoch
    for (const shard of new Set(productIds.map(Shards.shardOf))) {
      assert.isTrue(yield* fence.open(shard, epoch, yield* fence.claim(shard, epoch)))
    }
  })

/** A product on sale now: warmed up and opened, its shard too. */
export const product = (fields: Partial<ReservationStoreModule.SaleProduct> = {}) =>
  Effect.gen(function* () {
    const store = yield* ReservationStore
    const sale = {
      product_id: ++lastProduct,
      generation: 1,
      start_ms: Date.now() - HOUR,
      end_ms: Date.now() + HOUR,
      per_user_limit: 1,
      price: 4_999,
      stock: 100,
      ...fields,
    }
    yield* openShards([sale.product_id])
    yield* store.warmUp(sale)
    yield* store.setOpen(sale.product_id, sale.generation, true)
    return sale.product_id
  })

export interface Wish {
  readonly user: number
  readonly quantity?: number
  readonly request?: string
  readonly notAfter?: number
  readonly traceparent?: string
}

/** One batch. */
export const reserve = (product_id: number, wishes: ReadonlyArray<Wish>) =>
  Effect.flatMap(ReservationStore, (store) =>
    store.reserveBatch({
      product_id,
      user_ids: wishes.map((w) => w.user),
      quantities: wishes.map((w) => w.quantity ?? 1),
      request_ids: wishes.map((w) => w.request ?? requestId()),
      not_after_ms: wishes.map((w) => w.notAfter ?? Date.now() + 60_000),
      traced_items: wishes.flatMap((w, i) => (w.traceparent === undefined ? [] : [i])),
      traceparents: wishes.flatMap((w) => (w.traceparent === undefined ? [] : [w.traceparent])),
    }),
  )

/** Asks every 20 ms until the answer is as wanted; a defect after 20 s. For live clocks. */
export const eventually = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  wanted: (answer: A) => boolean,
): Effect.Effect<A, E, R> => {
  const again: Effect.Effect<A, E, R> = Effect.flatMap(ask, (answer) =>
    wanted(answer) ? Effect.succeed(answer) : Effect.zipRight(Effect.sleep("20 millis"), again),
  )
  return Effect.timeoutFailCause(again, {
    duration: "20 seconds",
    onTimeout: () => Cause.die("it never came"),
  })
}
