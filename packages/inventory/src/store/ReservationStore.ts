/**
 * The sale in Redis: reservations, releases, warm-up. All of it is in Lua, one call each; this module makes the order
 * numbers, keeps each product's generation at hand, and says what became of a call that got no answer.
 */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import { Redis } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as BatchSpans from "@floodgate/runtime/telemetry/BatchSpans"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as BuyerRecord from "../domain/BuyerRecord.ts"
import {
  answersOf,
  problemOf,
  type ReservationAnswers,
  type ReservationBatch,
  sameAnswer,
} from "../domain/Reservation.ts"
import * as SaleScripts from "./SaleScripts.ts"
import * as ShardKeys from "./ShardKeys.ts"
import { ShardSignals } from "./ShardSignals.ts"

/** The shard isn't proved equal to MySQL; recovery is at it. Nothing was done; try again later. */
export class ShardFenced extends Data.TaggedError("ShardFenced")<{ readonly shard: number }> {
  override get message(): string {
    return `shard ${this.shard} is closed until it is proved equal to MySQL`
  }
}

/** Redis holds another generation of the product than the one that was meant. Nothing was done. */
export class GenerationConflict extends Data.TaggedError("GenerationConflict")<{
  readonly product_id: number
  readonly generation: number
  /** What Redis holds; 0 for nothing. */
  readonly found: number
}> {
  override get message(): string {
    return `product ${this.product_id}: Redis holds generation ${this.found}, not ${this.generation}`
  }
}

/** A product as it goes into Redis. */
export interface SaleProduct {
  readonly product_id: number
  /** Higher than any that Redis ever held of this product. */
  readonly generation: number
  /** Unix ms. */
  readonly start_ms: number
  /** Unix ms; null for a sale without an end. */
  readonly end_ms: number | null
  readonly per_user_limit: number
  /** Minor units, for one. */
  readonly price: number
  readonly stock: number
}

/** What Redis knows of one order number. */
export interface ReservationView {
  readonly state: "none" | "live" | "released"
  /** The product's generation now; 0 where Redis doesn't hold the product. */
  readonly generation: number
  /** 0 where the state is none. */
  readonly quantity: number
  /** Minor units for one, as of the generation; 0 where Redis doesn't hold the product. */
  readonly price: number
  readonly server_time_ms: number
}

/** What became of an operator's stock change in Redis. */
export type AdjustAnswer =
  | { readonly _tag: "done"; readonly stock: number; readonly version: number }
  | { readonly _tag: "refused"; readonly left: number }
  | { readonly _tag: "otherGeneration"; readonly current: number }

/** What a shard holds of one product. */
export interface ShardView {
  /** The fence is this run's. */
  readonly shard_open: boolean
  /** Of the last recovery. */
  readonly epoch: number
  readonly paused: boolean
  /** 0 where Redis doesn't hold the product. */
  readonly generation: number
  readonly open: boolean
  readonly stock: number
  readonly stock_version: number
  /** Reservations of the shard that MySQL hasn't decided yet. */
  readonly entries: number
  /** When the oldest of them was made, Unix ms; undefined where there is none. */
  readonly oldest_ms: number | undefined
  /** A relay holds the shard's lease. */
  readonly relayed: boolean
  readonly server_time_ms: number
}

export interface OrderRef {
  readonly product_id: number
  readonly user_id: number
  readonly order_num: string
}

export class ReservationStore extends Context.Tag("@floodgate/inventory/store/ReservationStore")<
  ReservationStore,
  {
    /**
     * Reserves for many buyers of one product. Fails only where the columns don't fit (InvalidInput); what became of
     * each item is its code. Items of a product that Redis doesn't hold are answered NOT_ON_SALE with generation 0:
     * the caller knows whether there is such a product. Answers within 800 ms, or 1.6 s where the product's generation
     * was just raised.
     */
    readonly reserveBatch: (batch: ReservationBatch) => Effect.Effect<ReservationAnswers, InvalidInput>
    /** What Redis knows of a number. `ShardFenced` where it holds no such record but might have lost it. */
    readonly getReservation: (ref: OrderRef) => Effect.Effect<ReservationView, RedisError | ShardFenced>
    /**
     * Gives a rejected or cancelled order's stock back: true the first time, false where there is nothing live under
     * this number.
     */
    readonly release: (ref: OrderRef) => Effect.Effect<boolean, RedisError | ShardFenced>
    /**
     * Writes a product, whole and closed to reservations (NOT_ON_SALE), under a higher generation than Redis holds.
     * Repeating it with the same generation fails with `GenerationConflict` and changes nothing.
     */
    readonly warmUp: (
      product: SaleProduct,
    ) => Effect.Effect<void, RedisError | ShardFenced | GenerationConflict>
    /**
     * Opens a warmed-up product to reservations, or closes it. Idempotent. `version` is that of the product's row which
     * says so: where a later one has spoken already, nothing is done.
     */
    readonly setOpen: (
      product_id: number,
      generation: number,
      open: boolean,
      version?: number,
    ) => Effect.Effect<void, RedisError | ShardFenced | GenerationConflict>
    /**
     * Adds stock or takes it away, once per `id` and generation: repeated, it answers what became of it. The answer of
     * another generation than the one that Redis holds is that generation (0: Redis doesn't hold the product).
     */
    readonly adjust: (change: {
      readonly product_id: number
      readonly generation: number
      readonly id: string
      readonly delta: number
    }) => Effect.Effect<AdjustAnswer, RedisError | ShardFenced>
    /** What the shard holds of a product now, whatever its state. */
    readonly look: (product_id: number) => Effect.Effect<ShardView, RedisError>
    /** What can be reserved now, by product id; without those that Redis doesn't hold. One round trip. */
    readonly readStock: (
      product_ids: ReadonlyArray<number>,
    ) => Effect.Effect<ReadonlyMap<number, number>, RedisError>
    /** Unix ms by Redis: the clock that decides every sale's window. */
    readonly serverTime: Effect.Effect<number, RedisError>
  }
>() {}

/** A reservation is answered within this, or its outcome is unknown (ms). */
export const RESERVE_DEADLINE_MS = 800

/** The keys of a product go this long after its sale's end. */
export const RETENTION_MS = 7 * 24 * 3_600_000

/** Products whose generation is kept at hand. */
const GENERATIONS_CACHED = 10_000

/** How often a call may find that the product's generation was raised meanwhile. */
const GENERATION_TRIES = 4

/** The version of a product's stock starts here with each generation, so that it rises over generations too. */
export const firstStockVersion = (generation: number): number => generation * 2 ** 32

/** When a product's keys go, Unix seconds; 0 for a sale without an end. */
export const expireAtS = (end_ms: number | null): number =>
  end_ms === null ? 0 : Math.ceil((end_ms + RETENTION_MS) / 1_000)

/** Arguments of `lua/warmup.lua`; the epoch of the recovery that rebuilds a closed shard, or "" for an open shard. */
export const warmUpArgs = (
  product: SaleProduct,
  open: boolean,
  epoch: number | "",
): Array<string | number> => [
  epoch,
  product.generation,
  expireAtS(product.end_ms),
  "open",
  open ? 1 : 0,
  "start",
  product.start_ms,
  "end",
  product.end_ms ?? 0,
  "limit",
  product.per_user_limit,
  "price",
  product.price,
  "stock",
  product.stock,
  "ver",
  firstStockVersion(product.generation),
]

const settings = Config.all({
  orderNumKey: AppConfig.secret("ORDER_NUM_KEY"),
  maxOpen: Config.integer("RESERVATIONS_MAX_OPEN").pipe(Config.withDefault(100_000)),
})

const make = Effect.gen(function* () {
  const redis = yield* Redis
  const signals = yield* ShardSignals
  yield* SaleScripts.preload
  const { orderNumKey, maxOpen } = yield* AppConfig.load(settings)
  const key = Redacted.value(orderNumKey)
  const context = yield* Effect.context<Redis>()

  const generations = new Map<number, number>()
  /** How far each shard's clock is ahead of ours (ms): numbers carry Redis time. */
  const clockOffsets = new Float64Array(Shards.SHARDS)

  const remember = (product_id: number, generation: number): void => {
    if (generation === 0) {
      generations.delete(product_id)
      return
    }
    if (generations.size >= GENERATIONS_CACHED && !generations.has(product_id)) {
      // Map keeps the order of insertion: the oldest entry goes.
      for (const oldest of generations.keys()) {
        generations.delete(oldest)
        break
      }
    }
    generations.set(product_id, generation)
  }

  const fetchGeneration = (product_id: number): Effect.Effect<number, RedisError> =>
    Effect.map(
      redis.run("inventory.generation", (c) => c.hget(ShardKeys.product(product_id), "gen")),
      (text) => {
        const generation = text === null ? 0 : Number(text)
        remember(product_id, generation)
        return generation
      },
    )

  const generationOf = (product_id: number): Effect.Effect<number, RedisError> => {
    const cached = generations.get(product_id)
    return cached === undefined ? fetchGeneration(product_id) : Effect.succeed(cached)
  }

  /** One call of the script, under numbers made for this generation. */
  const callReserve = (
    shard: number,
    product_id: number,
    generation: number,
    batch: ReservationBatch,
    order_nums: ReadonlyArray<string>,
    traceparents: ReadonlyArray<string | undefined>,
  ): Effect.Effect<ReservationAnswers> => {
    const args: Array<string | number> = [generation, maxOpen, order_nums.length]
    args.push(
      ...batch.user_ids,
      ...batch.quantities,
      ...batch.request_ids,
      ...batch.not_after_ms,
      ...order_nums,
    )
    for (let i = 0; i < traceparents.length; i++) {
      const traceparent = traceparents[i]
      if (traceparent !== undefined) args.push(batch.traced_items[i]! + 1, traceparent)
    }
    return SaleScripts.reserve
      .run(
        [
          ShardKeys.fence(shard),
          ShardKeys.stream(shard),
          ShardKeys.product(product_id),
          ShardKeys.buyers(product_id, generation),
        ],
        args,
        { deadlineMs: RESERVE_DEADLINE_MS },
      )
      .pipe(
        Effect.provide(context),
        Effect.flatMap((reply) => {
          const answers = answersOf(reply, order_nums)
          return answers === undefined
            ? Effect.dieMessage("reserve.lua answered in a shape of its own")
            : Effect.succeed(answers)
        }),
        Effect.catchAll((error) => notAnswered(error, order_nums)),
      )
  }

  const notAnswered = (
    error: RedisError,
    order_nums: ReadonlyArray<string>,
  ): Effect.Effect<ReservationAnswers> => {
    switch (error._tag) {
      case "RedisUnavailable":
        return Effect.succeed(sameAnswer(ReserveCode.NOT_EXECUTED, order_nums))
      case "RedisOutcomeUnknown":
        return Effect.succeed(sameAnswer(ReserveCode.UNKNOWN, order_nums))
      case "RedisScriptFailed":
        // A defect of the script: how far it got is anyone's guess, and the number will tell.
        return Effect.as(
          Effect.logError("reserve.lua failed", error),
          sameAnswer(ReserveCode.UNKNOWN, order_nums),
        )
    }
  }

  /** The reservation under a generation that is known; `batch` has the traceparents of the spans that stand for it. */
  const reserveAt = Effect.fnUntraced(function* (
    batch: ReservationBatch,
    generation: number,
    traceparents: ReadonlyArray<string | undefined>,
  ) {
    const { product_id, user_ids } = batch
    const shard = Shards.shardOf(product_id)
    const fields = {
      timeMs: Math.round(Date.now() + clockOffsets[shard]!),
      productId: product_id,
      generation,
    }
    const order_nums = new Array<string>(user_ids.length)
    for (let i = 0; i < user_ids.length; i++) order_nums[i] = OrderNum.make(key, user_ids[i]!, fields)
    const sentAt = Date.now()
    const answers = yield* callReserve(shard, product_id, generation, batch, order_nums, traceparents)
    if (answers.server_time_ms > 0) {
      // The script ran between the sending and the answer: half way, as near as one can tell.
      clockOffsets[shard] = answers.server_time_ms - (sentAt + Date.now()) / 2
      if (answers.codes[0] === ReserveCode.FENCED) signals.fenced(shard)
      else remember(product_id, answers.generation)
      if (answers.codes.includes(ReserveCode.RESERVED)) {
        if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("reserve.executed")
        signals.written(shard)
      }
    }
    return answers
  })

  const reserveUntraced = Effect.fnUntraced(function* (
    batch: ReservationBatch,
    traceparents: ReadonlyArray<string | undefined>,
  ) {
    let generation = generations.get(batch.product_id)
    if (generation === undefined) {
      const fetched = yield* Effect.either(fetchGeneration(batch.product_id))
      if (fetched._tag === "Left") {
        // Nothing of the reservation was sent, whatever became of the question.
        return sameAnswer(
          ReserveCode.NOT_EXECUTED,
          batch.user_ids.map(() => ""),
        )
      }
      generation = fetched.right
    }
    const first = yield* reserveAt(batch, generation, traceparents)
    // All items of a call are of one generation: where one is stale, no other was reserved.
    if (!first.codes.includes(ReserveCode.STALE_GENERATION)) return first
    const second = yield* reserveAt(batch, first.generation, traceparents)
    if (!second.codes.includes(ReserveCode.STALE_GENERATION)) return second
    // Raised again within a millisecond: nothing was done, and the caller may come again.
    return {
      ...second,
      codes: second.codes.map((code) =>
        code === ReserveCode.STALE_GENERATION ? ReserveCode.NOT_EXECUTED : code,
      ),
    }
  })

  /** The sampled items' part of the trace: one span each under its own parent. */
  const reserveTraced = (batch: ReservationBatch) =>
    BatchSpans.around(
      "redis reserve",
      {
        kind: "client",
        attributes: {
          "db.system.name": "redis",
          "db.operation.batch.size": batch.user_ids.length,
          "floodgate.product_id": batch.product_id,
        },
      },
      batch.traceparents,
      (traceparents) => reserveUntraced(batch, traceparents),
    )

  const reserveBatch = (batch: ReservationBatch): Effect.Effect<ReservationAnswers, InvalidInput> => {
    const problem = problemOf(batch)
    if (problem !== undefined) return Effect.fail(InvalidInput.at(problem.path, problem.message))
    return batch.traced_items.length === 0 ? reserveUntraced(batch, []) : reserveTraced(batch)
  }

  /** Asks again with the generation that the answer tells, until both are the same. */
  const atCurrentGeneration = <A, E>(
    product_id: number,
    ask: (generation: number) => Effect.Effect<A | { readonly current: number }, E>,
  ): Effect.Effect<A, E | RedisError | ShardFenced> => {
    const attempt = (generation: number, left: number): Effect.Effect<A, E | RedisError | ShardFenced> =>
      Effect.flatMap(ask(generation), (answer): Effect.Effect<A, E | RedisError | ShardFenced> => {
        if (typeof answer !== "object" || answer === null || !("current" in answer)) {
          return Effect.succeed(answer as A)
        }
        remember(product_id, answer.current)
        return left > 1
          ? attempt(answer.current, left - 1)
          : // A generation a try: somebody rebuilds this product over and over.
            Effect.fail(new ShardFenced({ shard: Shards.shardOf(product_id) }))
      })
    return Effect.flatMap(generationOf(product_id), (generation) => attempt(generation, GENERATION_TRIES))
  }

  const fencedAt = (product_id: number): Effect.Effect<never, ShardFenced> =>
    Effect.suspend(() => {
      const shard = Shards.shardOf(product_id)
      signals.fenced(shard)
      return Effect.fail(new ShardFenced({ shard }))
    })

  const shapeOf = (script: string) => Effect.dieMessage(`${script} answered in a shape of its own`)

  const getReservation = Effect.fn("ReservationStore.getReservation")(function* (ref: OrderRef) {
    const { product_id, user_id, order_num } = ref
    return yield* atCurrentGeneration(product_id, (generation) =>
      SaleScripts.reservation
        .run(
          [
            ShardKeys.fence(Shards.shardOf(product_id)),
            ShardKeys.product(product_id),
            ShardKeys.buyers(product_id, generation),
          ],
          [generation, user_id],
        )
        .pipe(
          Effect.provide(context),
          Effect.flatMap(
            (reply): Effect.Effect<ReservationView | { readonly current: number }, ShardFenced> => {
              if (!Array.isArray(reply)) return shapeOf("reservation.lua")
              const [open, current, record, price, server_time_ms] = reply as [
                number,
                number,
                string,
                number,
                number,
              ]
              if (current !== generation) return Effect.succeed({ current })
              const found = BuyerRecord.decode(record).find((r) => r.order_num === order_num)
              if (found === undefined && open === 0) return fencedAt(product_id)
              return Effect.succeed<ReservationView>({
                state: found === undefined ? "none" : found.live ? "live" : "released",
                generation: current,
                quantity: found?.quantity ?? 0,
                price,
                server_time_ms,
              })
            },
          ),
        ),
    )
  })

  const release = Effect.fn("ReservationStore.release")(function* (ref: OrderRef) {
    const { product_id, user_id, order_num } = ref
    return yield* atCurrentGeneration(product_id, (generation) =>
      SaleScripts.release
        .run(
          [
            ShardKeys.fence(Shards.shardOf(product_id)),
            ShardKeys.product(product_id),
            ShardKeys.buyers(product_id, generation),
          ],
          [generation, user_id, order_num],
        )
        .pipe(
          Effect.provide(context),
          Effect.flatMap((reply): Effect.Effect<boolean | { readonly current: number }, ShardFenced> => {
            if (!Array.isArray(reply)) return shapeOf("release.lua")
            const [state, current] = reply as [number, number]
            if (state === -1) return fencedAt(product_id)
            return Effect.succeed(state === -2 ? { current } : state === 1)
          }),
        ),
    )
  })

  /** What the scripts that write a product answer: (state, generation that is there). */
  const written = (product_id: number, generation: number, reply: unknown) =>
    Effect.suspend((): Effect.Effect<void, ShardFenced | GenerationConflict> => {
      if (!Array.isArray(reply)) return shapeOf("the product's script")
      const [state, found] = reply as [number, number]
      if (state === -1) return fencedAt(product_id)
      if (state === 0) return Effect.fail(new GenerationConflict({ product_id, generation, found }))
      remember(product_id, generation)
      return Effect.void
    })

  const warmUp = Effect.fn("ReservationStore.warmUp")(function* (product: SaleProduct) {
    const { product_id, generation } = product
    const reply = yield* SaleScripts.warmup
      .run(
        [ShardKeys.fence(Shards.shardOf(product_id)), ShardKeys.product(product_id)],
        warmUpArgs(product, false, ""),
      )
      .pipe(Effect.provide(context))
    return yield* written(product_id, generation, reply)
  })

  const setOpen = Effect.fn("ReservationStore.setOpen")(function* (
    product_id: number,
    generation: number,
    open: boolean,
    version = 0,
  ) {
    const reply = yield* SaleScripts.open
      .run(
        [ShardKeys.fence(Shards.shardOf(product_id)), ShardKeys.product(product_id)],
        [generation, open ? 1 : 0, version],
      )
      .pipe(Effect.provide(context))
    // MySQL says that it was warmed up, and Redis has less: lost with a Redis that was recovered in between.
    if (Array.isArray(reply) && reply[0] === 0 && reply[1] < generation) {
      signals.incomplete(Shards.shardOf(product_id))
    }
    return yield* written(product_id, generation, reply)
  })

  const adjust = Effect.fn("ReservationStore.adjust")(function* (change: {
    readonly product_id: number
    readonly generation: number
    readonly id: string
    readonly delta: number
  }) {
    const { delta, generation, id, product_id } = change
    const reply = yield* SaleScripts.adjust
      .run(
        [
          ShardKeys.fence(Shards.shardOf(product_id)),
          ShardKeys.product(product_id),
          ShardKeys.adjustments(product_id, generation),
        ],
        [generation, id, delta],
      )
      .pipe(Effect.provide(context))
    if (!Array.isArray(reply)) return yield* shapeOf("adjust.lua")
    const [state, number, stock, version] = reply as [number, number, number, number]
    if (state === -1) return yield* fencedAt(product_id)
    const answer: AdjustAnswer =
      state === 1
        ? { _tag: "done", stock, version }
        : state === 0
          ? { _tag: "refused", left: number }
          : { _tag: "otherGeneration", current: number }
    return answer
  })

  const look = Effect.fn("ReservationStore.look")(function* (product_id: number) {
    const shard = Shards.shardOf(product_id)
    const reply = yield* SaleScripts.look
      .run(
        [
          ShardKeys.fence(shard),
          ShardKeys.product(product_id),
          ShardKeys.stream(shard),
          ShardKeys.relayLease(shard),
        ],
        [],
      )
      .pipe(Effect.provide(context))
    if (!Array.isArray(reply)) return yield* shapeOf("look.lua")
    const oldest = reply[8] as string
    return {
      shard_open: reply[0] === 1,
      epoch: reply[1] as number,
      paused: reply[2] === 1,
      generation: reply[3] as number,
      open: reply[4] === 1,
      stock: reply[5] as number,
      stock_version: reply[6] as number,
      entries: reply[7] as number,
      oldest_ms: oldest === "" ? undefined : Number(oldest.split("-")[0]),
      relayed: reply[9] === 1,
      server_time_ms: reply[10] as number,
    } satisfies ShardView
  })

  const readStock = Effect.fn("ReservationStore.readStock")(function* (product_ids: ReadonlyArray<number>) {
    // Commands written in one tick leave in one write, on a cluster to every node at once.
    const stocks = yield* redis.run("inventory.stock", (c) =>
      Promise.all(product_ids.map((product_id) => c.hget(ShardKeys.product(product_id), "stock"))),
    )
    const found = new Map<number, number>()
    stocks.forEach((stock, i) => {
      if (stock !== null) found.set(product_ids[i]!, Number(stock))
    })
    return found
  })

  const serverTime = Effect.map(
    redis.run("inventory.time", (c) => c.time()),
    ([seconds, micros]) => Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000),
  )

  return ReservationStore.of({
    reserveBatch,
    getReservation,
    release,
    warmUp,
    setOpen,
    adjust,
    look,
    readStock,
    serverTime,
  })
})

/** Over the shards' Redis. Reads ORDER_NUM_KEY, and RESERVATIONS_MAX_OPEN (entries a shard's stream may hold, 100,000). */
export const layer: Layer.Layer<ReservationStore, AppConfig.ConfigInvalid, Redis | ShardSignals> =
  Layer.effect(ReservationStore, make)
