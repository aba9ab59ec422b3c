/**
 * The Redis of limits and waiting rooms, `REDIS_LIMITS_URL`. The edge starts and is ready without it: each edge then
 * limits by itself, and waiting rooms answer "busy".
 */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import { make, Redis, type RedisService } from "@floodgate/runtime/redis/Redis"
import { RedisUnavailable } from "@floodgate/runtime/redis/RedisError"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"

/** In dev, where it isn't given, the shards' Redis. */
export const url = Config.orElseIf(AppConfig.redactedUrl("REDIS_LIMITS_URL"), {
  if: ConfigError.isMissingDataOnly,
  orElse: () =>
    Config.mapOrFail(Config.all([AppConfig.appEnv, AppConfig.redactedUrl("REDIS_URL")]), ([env, shards]) =>
      env === "dev" ? Either.right(shards) : AppConfig.noDefault,
    ),
})

/** Between two tries to connect for the first time (ms); each takes up to 3 s. Later ones are the connection's own. */
const RETRY_MS = 1_000

const connecting: RedisService["run"] = (op) =>
  new RedisUnavailable({ op, reason: "it was never reached since this edge started" })

export const layer = Layer.scoped(
  Redis,
  Effect.gen(function* () {
    yield* AppConfig.load(url)
    const scope = yield* Effect.scope
    const first = yield* Deferred.make<RedisService>()
    let redis: RedisService | undefined
    const connect = make({ url, name: "limits" }).pipe(
      Effect.tapErrorTag("RedisUnavailable", () =>
        Effect.logWarning("the Redis of limits can't be reached; it is tried again"),
      ),
      Effect.retry(Schedule.spaced(RETRY_MS)),
      Effect.tap((made) => {
        redis = made
        return Deferred.succeed(first, made)
      }),
      Effect.orDie,
    )
    // A connection that is there is waited for: at an edge's start its first requests are limited like all others.
    yield* Effect.raceFirst(
      Effect.zipRight(Effect.forkIn(connect, scope), Deferred.await(first)),
      Effect.sleep(RETRY_MS),
    )
    const run: RedisService["run"] = (op, f, options) =>
      redis === undefined ? connecting(op, f, options) : redis.run(op, f, options)
    return Redis.of({
      run,
      duplicate: Effect.flatMap(Deferred.await(first), ({ duplicate }) => duplicate),
    })
  }),
)
