import { assert, layer as withLayer } from "@effect/vitest"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as TestBus from "@floodgate/runtime/testing/TestBus"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BuyerRecord from "../domain/BuyerRecord.ts"
import { ReservationStore } from "../store/ReservationStore.ts"
import { SaleSwitchStore } from "../store/SaleSwitchStore.ts"
import { ShardFence } from "../store/ShardFence.ts"
import * as ShardKeys from "../store/ShardKeys.ts"
import * as FakeOrderingModule from "../testing/FakeOrdering.ts"
import { cancel, FakeOrdering } from "../testing/FakeOrdering.ts"
import * as TestSale from "../testing/TestSale.ts"
import { eventually, HOUR, requestId, reserve } from "../testing/TestSale.ts"
import * as Recovery from "./Recovery.ts"
import * as Relay from "./Relay.ts"
import * as RelayHooks from "./RelayHooks.ts"

const environment = Layer.mergeAll(
  TestSale.stores,
  SaleSwitchStore.layer,
  FakeOrderingModule.client,
  FakeOrderingModule.topics,
).pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      TestRedis.layer,
      TestBus.layerRedisStreams,
      TestMysql.layer({ migrations: ["inventory"], main: "inventory" }),
      RelayHooks.layer,
    ),
  ),
)

const worker = Layer.build(FakeOrderingModule.worker)
const relay = Layer.build(Relay.layerWith({ ...Relay.defaultTimes, poll: 50, scan: 200, sweep: 100 }))
const recovery = Layer.build(Recovery.layer)

const openShardCount = Effect.flatMap(ShardFence, (fence) =>
  fence.closed(new Set()).pipe(
    Effect.map((closed) => Shards.SHARDS - closed.length),
    // Not reachable yet.
    Effect.orElseSucceed(() => 0),
  ),
)

const allOpen = eventually(openShardCount, (n) => n === Shards.SHARDS)

/** A published product, in MySQL and in Redis. */
const publish = (stock: number, limit = 1) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const store = yield* ReservationStore
    const { sql } = mysql
    const id = yield* mysql.run(
      "test.publish",
      Effect.gen(function* () {
        yield* sql`INSERT INTO product (name, price, stock, initial_stock, start_time, end_time, per_user_limit, publisher_id, state, generation)
          VALUES ('p', 100, ${stock}, ${stock}, UTC_TIMESTAMP(3) - INTERVAL 1 HOUR, UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, ${limit}, 1, 'published', 1)`
        const rows = yield* sql<{ id: number }>`SELECT CAST(LAST_INSERT_ID() AS SIGNED) AS id`
        return rows[0]!.id
      }),
    )
    yield* store.warmUp({
      product_id: id,
      generation: 1,
      start_ms: Date.now() - HOUR,
      end_ms: Date.now() + HOUR,
      per_user_limit: limit,
      price: 100,
      stock,
    })
    yield* store.setOpen(id, 1, true)
    return id
  })

const rowOf = (id: number) =>
  Effect.flatMap(Mysql, (mysql) =>
    mysql.run(
      "test.row",
      Effect.map(
        mysql.sql<{
          stock: number
          generation: number
        }>`SELECT stock, generation FROM product WHERE id = ${id}`,
        (rows) => rows[0]!,
      ),
    ),
  )

/** Redis' stock and live numbers of a product, at its generation. */
const shardOf = (id: number) =>
  Effect.gen(function* () {
    const redis = yield* Redis
    const product = yield* redis.run("test", (c) => c.hgetall(ShardKeys.product(id)))
    const buyers = yield* redis.run("test", (c) => c.hgetall(ShardKeys.buyers(id, Number(product["gen"]))))
    const live = Object.values(buyers).flatMap((record) =>
      BuyerRecord.decode(record)
        .filter((r) => r.live)
        .map((r) => r.order_num),
    )
    return { stock: Number(product["stock"]), generation: Number(product["gen"]), live: new Set(live) }
  })

const ordersOf = (id: number) =>
  Effect.map(FakeOrdering, ({ decisions }) =>
    [...decisions.values()].filter((d) => d.event.product_id === id),
  )

/** At rest: Redis is MySQL, and its live records are the orders. */
const assertExact = (id: number, initial: number) =>
  Effect.gen(function* () {
    const row = yield* rowOf(id)
    const held = yield* shardOf(id)
    const unpaid = (yield* ordersOf(id)).filter((d) => d.state === "unpaid")
    assert.strictEqual(row.stock + unpaid.reduce((sum, d) => sum + d.event.quantity, 0), initial)
    assert.strictEqual(held.stock, row.stock)
    assert.strictEqual(held.generation, row.generation)
    assert.deepStrictEqual(held.live, new Set(unpaid.map((d) => d.event.order_num)))
  })

const streamEmpty = (id: number) =>
  eventually(
    Effect.flatMap(Redis, (redis) => redis.run("test", (c) => c.xlen(ShardKeys.stream(Shards.shardOf(id))))),
    (n) => n === 0,
  )

/** Reserves again until the shard answers. */
const whenOpen = (id: number, wish: TestSale.Wish) =>
  eventually(
    reserve(id, [wish]),
    ({ codes: [code] }) => code !== ReserveCode.FENCED && code !== ReserveCode.NOT_EXECUTED,
  )

withLayer(environment, { excludeTestServices: true })("Recovery", (it) => {
  it.scoped("a fresh system opens all its shards within moments, without order worker or bus", () =>
    Effect.gen(function* () {
      const server = yield* TestBus.TestBusServer
      yield* server.stop
      const started = Date.now()
      yield* recovery
      yield* allOpen
      assert.isBelow(Date.now() - started, 2_000)
      yield* server.start
    }),
  )

  it.scoped(
    "an emptied Redis in the middle of a sale is closed, rebuilt and exact; keys and limits hold",
    () =>
      Effect.gen(function* () {
        yield* Effect.all([worker, relay, recovery])
        yield* allOpen
        const server = yield* TestRedis.TestRedisServer
        const store = yield* ReservationStore
        const id = yield* publish(100, 2)
        const key = requestId()
        const first = yield* reserve(id, [{ user: 1, quantity: 2, request: key }])
        yield* reserve(
          id,
          Array.from({ length: 9 }, (_, i) => ({ user: i + 2 })),
        )
        yield* eventually(ordersOf(id), (orders) => orders.length === 10)
        const cancelled = (yield* ordersOf(id))[4]!.event
        yield* cancel(cancelled.order_num)

        yield* server.flushall
        assert.strictEqual((yield* reserve(id, [{ user: 50 }])).codes[0], ReserveCode.FENCED)
        const after = yield* whenOpen(id, { user: 1, request: key, quantity: 2 })
        assert.deepStrictEqual(
          [after.codes[0], after.order_nums[0]],
          [ReserveCode.REPEATED, first.order_nums[0]],
        )
        const more = yield* reserve(id, [{ user: 1 }, { user: 2 }, { user: 60 }])
        assert.deepStrictEqual(more.codes, [
          ReserveCode.ALREADY_BOUGHT,
          ReserveCode.RESERVED,
          ReserveCode.RESERVED,
        ])
        // The event of a cancel that the rebuild has counted already.
        assert.isFalse(yield* store.release(cancelled))
        yield* eventually(ordersOf(id), (orders) => orders.length === 12)
        yield* streamEmpty(id)
        yield* assertExact(id, 100)
        assert.strictEqual((yield* rowOf(id)).generation, 2)
        assert.deepInclude(
          yield* store.getReservation({ product_id: id, user_id: 3, order_num: cancelled.order_num }),
          { state: "none" },
        )
      }),
  )

  it.scoped("a restarted Redis opens again with what its stream, the bus and MySQL hold", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.TestRedisServer
      yield* Effect.scoped(Effect.zipRight(recovery, allOpen))
      const id = yield* publish(50)
      // Nobody relays: all of these are in the stream alone when the server goes down.
      yield* reserve(
        id,
        Array.from({ length: 20 }, (_, i) => ({ user: i + 1 })),
      )
      yield* server.stop
      yield* server.start
      yield* Effect.all([worker, relay, recovery])
      const again = yield* whenOpen(id, { user: 1 })
      assert.strictEqual(again.codes[0], ReserveCode.ALREADY_BOUGHT)
      yield* eventually(ordersOf(id), (orders) => orders.length === 20)
      yield* streamEmpty(id)
      yield* assertExact(id, 50)
    }),
  )

  it.scoped(
    "a stopped relay's old entries, produced after the rebuild, become lost, and change nothing",
    () =>
      Effect.gen(function* () {
        yield* Effect.all([worker, recovery])
        yield* allOpen
        const server = yield* TestRedis.TestRedisServer
        const redis = yield* Redis
        const bus = yield* EventBus
        const id = yield* publish(10)
        yield* reserve(id, [{ user: 1 }, { user: 2 }])
        // What the stopped relay has in its hands.
        const shard = Shards.shardOf(id)
        const rows = yield* redis.run("test", (c) => c.xrange(ShardKeys.stream(shard), "-", "+"))
        const held = yield* Relay.entriesOf(shard, rows)
        yield* server.flushall
        const resold = yield* whenOpen(id, { user: 3 })
        assert.strictEqual(resold.codes[0], ReserveCode.RESERVED)
        yield* bus.publish(
          Topic.Reservations,
          held.map((entry) => Relay.messageOf(shard, entry)),
        )
        yield* relay
        yield* eventually(ordersOf(id), (orders) => orders.length === 3)
        assert.deepStrictEqual(
          new Set((yield* ordersOf(id)).map((d) => [d.event.user_id, d.state].join())),
          new Set(["1,rejected", "2,rejected", "3,unpaid"]),
        )
        const store = yield* ReservationStore
        for (const { event } of held) assert.isFalse(yield* store.release(event))
        yield* streamEmpty(id)
        yield* assertExact(id, 10)
      }),
  )

  it.scoped("while the bus is down a shard with a sale stays closed; then it opens by itself", () =>
    Effect.gen(function* () {
      yield* Effect.all([worker, relay, recovery])
      yield* allOpen
      const server = yield* TestRedis.TestRedisServer
      const busServer = yield* TestBus.TestBusServer
      const id = yield* publish(10)
      yield* busServer.stop
      yield* server.flushall
      for (let i = 0; i < 10; i++) {
        assert.strictEqual((yield* reserve(id, [{ user: i + 1 }])).codes[0], ReserveCode.FENCED)
        yield* Effect.sleep("100 millis")
      }
      yield* busServer.start
      assert.strictEqual((yield* whenOpen(id, { user: 20 })).codes[0], ReserveCode.RESERVED)
      yield* streamEmpty(id)
      yield* assertExact(id, 10)
    }),
  )

  it.scoped("two recoveries at once: the shards open once, and are exact", () =>
    Effect.gen(function* () {
      yield* Effect.all([worker, relay, recovery, recovery])
      yield* allOpen
      const server = yield* TestRedis.TestRedisServer
      const ids = yield* Effect.all([publish(10), publish(10), publish(10)])
      yield* Effect.forEach(ids, (id) => reserve(id, [{ user: 1 }, { user: 2 }]))
      yield* Effect.forEach(ids, (id) => eventually(ordersOf(id), (orders) => orders.length === 2))
      yield* server.flushall
      yield* Effect.forEach(ids, (id) => whenOpen(id, { user: 3 }))
      yield* Effect.forEach(ids, streamEmpty)
      yield* Effect.forEach(ids, (id) => assertExact(id, 10))
      for (const id of ids) assert.strictEqual((yield* rowOf(id)).generation, 2)
    }),
  )

  it.scoped("a product that Redis lost before it was opened is loaded when its publisher opens it", () =>
    Effect.gen(function* () {
      yield* Effect.all([worker, relay, recovery])
      yield* allOpen
      const store = yield* ReservationStore
      const redis = yield* Redis
      const id = yield* publish(10)
      yield* redis.run("test", (c) => c.del(ShardKeys.product(id)))
      assert.deepInclude(yield* Effect.flip(store.setOpen(id, 1, true)), {
        _tag: "GenerationConflict",
        found: 0,
      })
      yield* eventually(rowOf(id), (row) => row.generation === 2)
      assert.strictEqual((yield* whenOpen(id, { user: 1 })).codes[0], ReserveCode.RESERVED)
      yield* streamEmpty(id)
      yield* assertExact(id, 10)
    }),
  )

  it.scoped("MySQL restored from an old copy doesn't keep the shards closed", () =>
    Effect.gen(function* () {
      const mysql = yield* Mysql
      const server = yield* TestRedis.TestRedisServer
      yield* mysql.run("test", mysql.sql`UPDATE recovery_lease SET epoch = 0`)
      yield* server.stop
      yield* server.start
      yield* Effect.all([worker, recovery])
      yield* allOpen
    }),
  )

  it.scoped("a barrier goes down every partition", () =>
    Effect.gen(function* () {
      const { barriers } = yield* FakeOrdering
      assert.strictEqual(barriers.size, partitions[Topic.Reservations])
    }),
  )
})
