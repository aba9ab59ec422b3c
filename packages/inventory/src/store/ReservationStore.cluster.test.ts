import { assert, layer as withLayer } from "@effect/vitest"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as RedisModule from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestSale from "../testing/TestSale.ts"
import { eventually, openShards, product, reserve } from "../testing/TestSale.ts"
import { ReservationStore } from "./ReservationStore.ts"
import { ShardFence } from "./ShardFence.ts"

const SLOTS = 16_384

/** Three primaries, each with a third of the slots. */
const cluster = Layer.unwrapScoped(
  Effect.gen(function* () {
    const servers = yield* Effect.forEach([0, 1, 2], () =>
      TestRedis.make(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]),
    )
    for (const [i, server] of servers.entries()) {
      const from = Math.floor((i * SLOTS) / 3)
      const to = Math.floor(((i + 1) * SLOTS) / 3) - 1
      yield* server.command(`CLUSTER ADDSLOTSRANGE ${from} ${to}`)
      yield* server.command(`CLUSTER SET-CONFIG-EPOCH ${i + 1}`)
      if (i > 0) yield* server.command(`CLUSTER MEET 127.0.0.1 ${servers[0]!.port}`)
    }
    const formed = (answer: string) => answer.startsWith("+") || answer === "$-1"
    for (const server of servers) {
      // A read of any key is refused while the cluster isn't whole.
      yield* eventually(
        Effect.all(["a", "b", "c", "d", "e", "f"].map((key) => server.command(`GET ${key}`))),
        (answers) => answers.every((answer) => formed(answer) || answer.startsWith("-MOVED")),
      )
    }
    const url = `redis-cluster://${servers.map((server) => `127.0.0.1:${server.port}`).join(",")}`
    return RedisModule.layer({ url: Config.succeed(Redacted.make(url)) })
  }),
).pipe(Layer.provide(Readiness.layer), Layer.orDie)

const environment = Layer.provideMerge(TestSale.stores, cluster)

withLayer(environment, { excludeTestServices: true })("ReservationStore on a Redis Cluster", (it) => {
  it.effect("products of many shards sell at once, each on its own server", () =>
    Effect.gen(function* () {
      const store = yield* ReservationStore
      const fence = yield* ShardFence
      const redis = yield* RedisModule.Redis
      const ids = yield* Effect.forEach(Array.from({ length: 24 }), () => product({ stock: 3 }))
      assert.isAbove(new Set(ids.map(Shards.shardOf)).size, 20)
      const answers = yield* Effect.forEach(
        ids,
        (id) => reserve(id, [{ user: 1 }, { user: 2 }, { user: 3 }, { user: 4 }]),
        { concurrency: "unbounded" },
      )
      for (const { codes } of answers) {
        assert.deepStrictEqual(codes, [
          ReserveCode.RESERVED,
          ReserveCode.RESERVED,
          ReserveCode.RESERVED,
          ReserveCode.SOLD_OUT,
        ])
      }
      const ref = { product_id: ids[0]!, user_id: 1, order_num: answers[0]!.order_nums[0]! }
      assert.isTrue(yield* store.release(ref))
      assert.deepStrictEqual(
        [...(yield* store.readStock(ids)).values()],
        ids.map((_, i) => (i === 0 ? 1 : 0)),
      )
      const sizes = yield* redis.run("test", (c) =>
        Promise.all("nodes" in c ? c.nodes("master").map((node) => node.dbsize()) : []),
      )
      assert.strictEqual(sizes.length, 3)
      for (const size of sizes) assert.isAbove(size, 0)

      const opened = new Set(ids.map(Shards.shardOf))
      const closed = new Set(yield* fence.closed(opened))
      assert.strictEqual(closed.size, Shards.SHARDS - opened.size)
      for (const shard of opened) assert.isFalse(closed.has(shard))
    }),
  )

  it.effect("a fence of another server is closed, though that server runs", () =>
    Effect.gen(function* () {
      const fence = yield* ShardFence
      const redis = yield* RedisModule.Redis
      // Neighbouring shards lie on different servers.
      const here = 250
      const there = 251
      yield* openShards([here, there])
      const foreign = yield* redis.run("test", (c) => c.hget(Shards.key(there, "fence"), "run_id"))
      const own = yield* redis.run("test", (c) => c.hget(Shards.key(here, "fence"), "run_id"))
      assert.notStrictEqual(own, foreign)
      yield* redis.run("test", (c) => c.hset(Shards.key(here, "fence"), "run_id", foreign!))
      const answers = yield* reserve(here, [{ user: 1 }])
      assert.strictEqual(answers.codes[0], ReserveCode.FENCED)
      assert.include(yield* fence.closed(new Set([here])), here)
    }),
  )
})
