/**
 * When each unpaid order's time is over, as sorted sets in Redis: a hint that makes the cancel punctual. MySQL's clock
 * and rows decide, and the time-out sweep finds whatever a lost Redis forgot.
 *
 * A timer that went off stays until it was seen to; whoever takes it has it for a while alone, and when they crash it
 * goes off again.
 */
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import { Redis, type RedisService } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Settled from "@floodgate/runtime/resilience/Settled"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Unpaid } from "../store/OrderStore.ts"
import { TimerRedis } from "./TimerRedis.ts"

/** Sorted sets that the timers are spread over, under the first shards' hash tags: these lie on all servers of a Cluster. */
const BUCKETS = 16

/** Timers of one bucket at most; what comes on top of that is left to the sweep. */
const MAX_A_BUCKET = 200_000

/** A bucket that nobody touched for this long goes, ms: longer than an order may stay unpaid. */
const LIFE_MS = 8 * 24 * 3_600_000

/** How long a timer that went off is its taker's alone, ms: longer than the transaction that follows. */
export const VISIBILITY_MS = 10_000

/** Timers taken from one bucket at once. */
const MAX_CLAIM = 50

/** After a failure creation doesn't try to set timers for this long, ms: a frozen Redis must not slow it down. */
const REST_MS = 2_000

const arm = RedisScript.define("timer_arm", { keys: 1 })
const claim = RedisScript.define("timer_claim", { keys: 1 })

const keyOf = (bucket: number): string => Shards.key(bucket, "order-timers")

const bucketOf = (orderNum: string): number | undefined => {
  const fields = OrderNum.parse(orderNum)
  return fields === undefined ? undefined : Shards.shardOf(fields.productId) % BUCKETS
}

const inBuckets = <A extends { readonly order_num: string }>(
  timers: ReadonlyArray<A>,
): Map<number, Array<A>> => {
  const buckets = new Map<number, Array<A>>()
  for (const timer of timers) {
    const bucket = bucketOf(timer.order_num)
    if (bucket === undefined) continue
    const found = buckets.get(bucket)
    if (found === undefined) buckets.set(bucket, [timer])
    else found.push(timer)
  }
  return buckets
}

export class Timers extends Context.Tag("@floodgate/ordering/timers/Timers")<
  Timers,
  {
    /** Sets a timer for each that has none yet. Never fails, and takes at most 150 ms. */
    readonly arm: (orders: ReadonlyArray<Unpaid>) => Effect.Effect<void>
    /** Takes timers that went off, at most 800; empty while Redis is away. */
    readonly claim: Effect.Effect<ReadonlyArray<string>, RedisError>
    /** Forgets timers that were seen to. */
    readonly done: (orderNums: ReadonlyArray<string>) => Effect.Effect<void, RedisError>
    /** Sets timers anew that went off too early. */
    readonly putOff: (orders: ReadonlyArray<Unpaid>) => Effect.Effect<void, RedisError>
  }
>() {}

/** One script a bucket, all at once. */
const settled = <A, B, E, R>(items: Iterable<A>, use: (item: A) => Effect.Effect<B, E, R>) =>
  Settled.forEach(items, use, { concurrency: "unbounded" })

const make = Effect.gen(function* () {
  const timerRedis = yield* TimerRedis
  let restUntilMs = 0
  let away = false

  const onRedis = <A, E>(fallback: A, use: (redis: RedisService) => Effect.Effect<A, E, Redis>) =>
    Effect.flatMap(timerRedis.current, (redis) =>
      redis === undefined ? Effect.succeed(fallback) : Effect.provideService(use(redis), Redis, redis),
    )

  return Timers.of({
    arm: (orders) =>
      Effect.gen(function* () {
        if (orders.length === 0) return
        const now = yield* Clock.currentTimeMillis
        if (now < restUntilMs) return
        yield* onRedis(undefined, () =>
          settled(inBuckets(orders), ([bucket, timers]) =>
            arm.run(
              [keyOf(bucket)],
              [MAX_A_BUCKET, LIFE_MS, ...timers.flatMap((timer) => [timer.expires_at_ms, timer.order_num])],
            ),
          ).pipe(
            Effect.tap(() =>
              Effect.sync(() => {
                away = false
              }),
            ),
            Effect.catchAll((error) => {
              restUntilMs = now + REST_MS
              if (away) return Effect.void
              away = true
              return Effect.logWarning("timers could not be set; the sweep does their work", error)
            }),
          ),
        )
      }),

    claim: onRedis([] as ReadonlyArray<string>, () =>
      settled(
        Array.from({ length: BUCKETS }, (_, bucket) => bucket),
        (bucket) =>
          Effect.map(
            claim.run([keyOf(bucket)], [VISIBILITY_MS, MAX_CLAIM]),
            (reply) => reply as ReadonlyArray<string>,
          ),
      ).pipe(Effect.map((claimed) => claimed.flat())),
    ),

    done: (orderNums) =>
      onRedis(undefined, (redis) =>
        settled(inBuckets(orderNums.map((order_num) => ({ order_num }))), ([bucket, timers]) =>
          redis.run("timer.done", (c) => c.zrem(keyOf(bucket), ...timers.map(({ order_num }) => order_num))),
        ),
      ),

    putOff: (orders) =>
      onRedis(undefined, (redis) =>
        settled(inBuckets(orders), ([bucket, timers]) =>
          redis.run("timer.put_off", (c) =>
            c.zadd(
              keyOf(bucket),
              "XX",
              ...timers.flatMap(({ expires_at_ms, order_num }) => [expires_at_ms, order_num]),
            ),
          ),
        ),
      ),
  })
})

export const layer: Layer.Layer<Timers, never, TimerRedis> = Layer.effect(Timers, make)
