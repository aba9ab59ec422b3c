/** The process's one connection to Redis as `Redis`: while there is none yet, everything fails as unavailable. */
import { Redis } from "@floodgate/runtime/redis/Redis"
import { RedisUnavailable } from "@floodgate/runtime/redis/RedisError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TimerRedis } from "../timers/TimerRedis.ts"

export const layer: Layer.Layer<Redis, never, TimerRedis> = Layer.effect(
  Redis,
  Effect.map(TimerRedis, ({ current }) =>
    Redis.of({
      run: (op, f, options) =>
        Effect.flatMap(current, (redis) =>
          redis === undefined
            ? new RedisUnavailable({ op, reason: "there was no connection yet" })
            : redis.run(op, f, options),
        ),
      duplicate: Effect.dieMessage("the reconciler reads without waiting"),
    }),
  ),
)
