import { assert, describe, it, layer } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as TestRedis from "../testing/TestRedis.ts"
import { make, Redis } from "./Redis.ts"
import * as RedisScript from "./RedisScript.ts"

const incr = RedisScript.inline("test_incr", "return redis.call('INCRBY', KEYS[1], ARGV[1])", { keys: 1 })
const raise = RedisScript.inline("test_raise", "return redis.error_reply('ERR no such thing')", { keys: 1 })

/** Polls until the effect answers true, at most 10 s of real time. */
const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    const until = Date.now() + 10_000
    while (!(yield* condition)) {
      if (Date.now() > until) return yield* Effect.dieMessage("it didn't happen within 10 s")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 25)))
    }
  })

const reachable = Effect.flatMap(Redis, (redis) =>
  redis
    .run("ping", (c) => c.ping())
    .pipe(
      Effect.as(true),
      Effect.orElseSucceed(() => false),
    ),
)

describe("Redis", () => {
  layer(TestRedis.layer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("runs commands and scripts, and a script survives SCRIPT FLUSH", () =>
      Effect.gen(function* () {
        const redis = yield* Redis
        assert.strictEqual(yield* redis.run("set", (c) => c.set("a", "1")), "OK")
        assert.strictEqual(yield* incr.run(["a"], [4]), 5)
        yield* redis.run("flush", (c) => c.script("FLUSH"))
        assert.strictEqual(yield* incr.run(["a"], [1]), 6)
        assert.deepStrictEqual(
          yield* RedisScript.inline("test_bytes", "return ARGV[1]", { keys: 0 }).runBuffer(
            [],
            [Buffer.from([0xff, 0])],
          ),
          Buffer.from([0xff, 0]),
        )
      }),
    )

    it.effect("a script's error is RedisScriptFailed with its text", () =>
      Effect.gen(function* () {
        const failed = yield* Effect.flip(raise.run(["a"], []))
        assert.strictEqual(failed._tag, "RedisScriptFailed")
        assert.match(failed.reason, /no such thing/)
      }),
    )

    it.effect("a server that can't take writes is RedisUnavailable, and nothing was written", () =>
      Effect.gen(function* () {
        const redis = yield* Redis
        const server = yield* TestRedis.TestRedisServer
        yield* server.command("CONFIG SET maxmemory 1")
        const refused = yield* Effect.flip(incr.run(["oom"], [1]))
        yield* server.command("CONFIG SET maxmemory 0")
        assert.strictEqual(refused._tag, "RedisUnavailable")
        assert.strictEqual(yield* redis.run("get", (c) => c.get("oom")), null)
      }),
    )

    it.effect("a frozen server is answered for within the deadline, as an unknown outcome", () =>
      Effect.gen(function* () {
        const redis = yield* Redis
        const server = yield* TestRedis.TestRedisServer
        yield* server.pause
        const startedAt = performance.now()
        const result = yield* Effect.either(incr.run(["frozen"], [1], { deadlineMs: 300 }))
        const tookMs = performance.now() - startedAt
        yield* server.resume
        assert.isTrue(Either.isLeft(result) && result.left._tag === "RedisOutcomeUnknown")
        assert.isBelow(tookMs, 1_000)
        // It ran all the same, once: that is why the outcome is called unknown.
        yield* eventually(
          Effect.map(
            redis.run("get", (c) => c.get("frozen")),
            (value) => value === "1",
          ),
        )
      }),
    )

    it.effect("a frozen server holds a bounded number of operations; the next are refused unsent", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const server = yield* TestRedis.TestRedisServer
          const redis = yield* make({ url: Config.succeed(Redacted.make(server.url)), maxInFlight: 3 })
          yield* server.pause
          const results = yield* Effect.all(
            Array.from({ length: 5 }, () =>
              Effect.flip(redis.run("incr", (c) => c.incr("bounded"), { deadlineMs: 200 })),
            ),
            { concurrency: "unbounded" },
          )
          yield* server.resume
          assert.deepStrictEqual(
            results.map((error) => error._tag),
            [
              "RedisOutcomeUnknown",
              "RedisOutcomeUnknown",
              "RedisOutcomeUnknown",
              "RedisUnavailable",
              "RedisUnavailable",
            ],
          )
          yield* eventually(
            redis
              .run("get", (c) => c.get("bounded"))
              .pipe(
                Effect.map((value) => value === "3"),
                // Refused, too, until the server has caught up.
                Effect.orElseSucceed(() => false),
              ),
          )
        }),
      ),
    )

    it.effect("a lost connection leaves sent operations unknown, refuses the next, and comes back", () =>
      Effect.gen(function* () {
        const redis = yield* Redis
        const server = yield* TestRedis.TestRedisServer
        yield* server.pause
        const sent = yield* Effect.fork(
          Effect.flip(redis.run("incr", (c) => c.incr("lost"), { deadlineMs: 10_000 })),
        )
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
        yield* server.kill
        assert.strictEqual((yield* Fiber.join(sent))._tag, "RedisOutcomeUnknown")
        assert.strictEqual(
          (yield* Effect.flip(redis.run("incr", (c) => c.incr("lost"))))._tag,
          "RedisUnavailable",
        )
        yield* server.start
        yield* eventually(reachable)
        assert.strictEqual(yield* incr.run(["after"], [1]), 1)
      }),
    )

    it.effect("a duplicate blocks without holding up the others, and ends with its scope", () =>
      Effect.gen(function* () {
        const redis = yield* Redis
        const blocking = yield* Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* redis.duplicate
            const popped = yield* Effect.fork(Effect.promise(() => connection.blpop("list", 10)))
            assert.strictEqual(yield* redis.run("ping", (c) => c.ping()), "PONG")
            yield* redis.run("push", (c) => c.rpush("list", "x"))
            assert.deepStrictEqual(yield* Fiber.join(popped), ["list", "x"])
            return connection
          }),
        )
        yield* eventually(Effect.sync(() => blocking.status === "end"))
      }),
    )
  })

  it.effect("a bad URL is ConfigInvalid and doesn't show its password", () =>
    Effect.gen(function* () {
      for (const url of ["http://x", "redis://u:geheim@h:1,h:2", "redis-cluster://h:1,:2", "redis://h/x"]) {
        const error = yield* Effect.flip(Effect.scoped(make({ url: Config.succeed(Redacted.make(url)) })))
        assert.strictEqual(error._tag, "ConfigInvalid")
        assert.notInclude(String(error), "geheim")
      }
    }),
  )
})
