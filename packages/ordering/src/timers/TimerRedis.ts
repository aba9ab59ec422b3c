/**
 * Redis as the timers use it: a convenience. Orders are made and cancelled without it, so ordering starts while it is
 * away, doesn't register it with readiness, and finds it again by itself.
 */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Redis from "@floodgate/runtime/redis/Redis"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

/** Between two tries to connect for the first time, ms; from then on the client reconnects by itself. */
const CONNECT_EVERY_MS = 2_000

/** How long a command of the timers may take, ms: creation of orders waits for it. */
const DEADLINE_MS = 150

/** More operations than this don't wait for a frozen server. */
const MAX_IN_FLIGHT = 256

export const url = AppConfig.redactedUrl("REDIS_URL")

export class TimerRedis extends Context.Tag("@floodgate/ordering/timers/TimerRedis")<
  TimerRedis,
  {
    /** The connection, once there was one. */
    readonly current: Effect.Effect<Redis.RedisService | undefined>
  }
>() {}

/** Fails with ConfigInvalid for a bad URL; comes up without a server. */
export const layer: Layer.Layer<TimerRedis, AppConfig.ConfigInvalid> = Layer.scoped(
  TimerRedis,
  Effect.gen(function* () {
    yield* AppConfig.load(url)
    const scope = yield* Effect.scope
    let current: Redis.RedisService | undefined
    let told = false
    const connect = Effect.gen(function* () {
      const attempt = yield* Scope.fork(scope, scope.strategy)
      const made = yield* Effect.exit(
        Redis.make({ url, name: "timers", deadlineMs: DEADLINE_MS, maxInFlight: MAX_IN_FLIGHT }).pipe(
          Scope.extend(attempt),
        ),
      )
      if (Exit.isSuccess(made)) {
        current = made.value
        return
      }
      yield* Scope.close(attempt, made)
      if (!told)
        yield* Effect.logWarning("the timers have no Redis yet; the sweep does their work", made.cause)
      told = true
      yield* Effect.sleep(CONNECT_EVERY_MS)
    })
    yield* connect.pipe(
      Effect.repeat({ until: () => current !== undefined }),
      Effect.interruptible,
      Effect.forkScoped,
    )
    return { current: Effect.sync(() => current) }
  }),
)
