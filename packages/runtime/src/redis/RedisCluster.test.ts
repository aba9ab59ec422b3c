import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestRedis from "../testing/TestRedis.ts"
import { make, Redis } from "./Redis.ts"
import * as RedisScript from "./RedisScript.ts"
import { key, SHARDS } from "./Shards.ts"

const add = RedisScript.inline(
  "test_add",
  "redis.call('INCRBY', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])",
  { keys: 2 },
)

const sleep = (ms: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, ms)))

describe("Redis Cluster", () => {
  it.scopedLive(
    "every shard's scripts find their server, and a lost server takes only its own shards along",
    () =>
      Effect.gen(function* () {
        const { url, servers } = yield* TestRedis.makeCluster(3)
        const redis = yield* make({ url: Config.succeed(Redacted.make(url)) })
        const addTo = (shard: number) =>
          add.run([key(shard, "a"), key(shard, "b")], [2]).pipe(Effect.provideService(Redis, redis))
        const all = (expected: number) =>
          Effect.forEach(
            Array.from({ length: SHARDS }, (_, shard) => shard),
            addTo,
            {
              concurrency: "unbounded",
            },
          ).pipe(Effect.map((answers) => assert.deepStrictEqual([...new Set(answers)], [expected])))

        yield* all(1)
        for (const server of servers) yield* server.command("SCRIPT FLUSH")
        yield* all(2)

        yield* servers[1]!.kill
        const startedAt = performance.now()
        const outcomes = yield* Effect.forEach(
          Array.from({ length: SHARDS }, (_, shard) => shard),
          (shard) => Effect.map(Effect.either(addTo(shard)), ({ _tag }) => _tag),
          { concurrency: "unbounded" },
        )
        assert.isBelow(performance.now() - startedAt, 3_000)
        const lost = outcomes.filter((tag) => tag === "Left").length
        assert.isAtLeast(lost, 85)
        // At most: the first answers may be lost to the search for the server that is gone.
        const again = yield* Effect.forEach(
          Array.from({ length: SHARDS }, (_, shard) => shard),
          (shard) => Effect.map(Effect.either(addTo(shard)), ({ _tag }) => _tag),
        )
        assert.strictEqual(again.filter((tag) => tag === "Right").length, SHARDS - 85)

        yield* servers[1]!.start
        const until = Date.now() + 20_000
        for (;;) {
          const back = yield* Effect.forEach([0, 1, 2], (shard) => Effect.either(addTo(shard)))
          if (back.every(({ _tag }) => _tag === "Right")) break
          if (Date.now() > until) return yield* Effect.dieMessage("the server isn't found again")
          yield* sleep(50)
        }
      }),
  )
})
