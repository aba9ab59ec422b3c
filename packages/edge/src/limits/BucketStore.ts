/** The token buckets that all edges share, in the Redis of `REDIS_LIMITS_URL`: one key a script call. */
import { randomBytes } from "node:crypto"
import { Redis } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Bucket from "./Bucket.ts"

/** How long a limit may hold up a request (ms); then this edge decides by itself. */
export const DEADLINE_MS = 100

export interface Draw {
  readonly key: string
  readonly rate: Bucket.Rate
  /** Used without a lease; below 0: given back. */
  readonly spent: number
  readonly wanted: number
  /** Whether other edges draw from it at the same time, so that each gets a part. */
  readonly shared: boolean
}

export class BucketStore extends Context.Tag("@floodgate/edge/limits/BucketStore")<
  BucketStore,
  {
    /** Charges a bucket and leases tokens of it; within {@link DEADLINE_MS}. */
    readonly draw: (draw: Draw) => Effect.Effect<Bucket.Lease, RedisError>
  }
>() {}

const script = RedisScript.define("bucket", { keys: 1 })

/** The store, with a deadline for each draw (ms). */
export const make = Effect.fnUntraced(function* (deadlineMs: number = DEADLINE_MS) {
  const redis = yield* Redis
  yield* script.preload
  const edge = randomBytes(6).toString("base64url")
  return BucketStore.of({
    draw: ({ key, rate, shared, spent, wanted }) =>
      script
        .run([`limit:${key}`], [rate.rate, rate.burst, spent, wanted, shared ? edge : ""], {
          deadlineMs,
        })
        .pipe(
          Effect.map((answer) => {
            const [leased = 0, waitMs = 0, left = 0, fullMs = 0] = answer as ReadonlyArray<number>
            return { leased, waitMs, left, fullMs }
          }),
          Effect.provideService(Redis, redis),
        ),
  })
})

export const layer = Layer.effect(BucketStore, make())
