import { randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as TestBus from "@floodgate/runtime/testing/TestBus"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Catalog } from "./Catalog.ts"
import { Stock } from "./Stock.ts"
import { StockHooks } from "./StockHooks.ts"
import { ProductStore } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"
import { SaleSwitchStore } from "./store/SaleSwitchStore.ts"
import * as ShardKeys from "./store/ShardKeys.ts"
import { ShardSignals } from "./store/ShardSignals.ts"
import { StockStore } from "./store/StockStore.ts"
import * as FakeOrderingModule from "./testing/FakeOrdering.ts"
import * as TestSale from "./testing/TestSale.ts"
import { eventually, HOUR, reserve } from "./testing/TestSale.ts"
import * as Recovery from "./workers/Recovery.ts"
import * as Relay from "./workers/Relay.ts"
import * as RelayHooks from "./workers/RelayHooks.ts"
import * as StockSweep from "./workers/StockSweep.ts"

/** What happens between the halves; each test sets its own. */
const between: { begun: Effect.Effect<void>; asked: Effect.Effect<void> } = {
  begun: Effect.void,
  asked: Effect.void,
}
const calm = Effect.sync(() => Object.assign(between, { begun: Effect.void, asked: Effect.void }))
/** As a process that is killed there. */
const killed = Effect.interrupt
const once = (effect: Effect.Effect<void>) => {
  let done = false
  return Effect.suspend(() => {
    if (done) return Effect.void
    done = true
    return effect
  })
}

const live = Layer.mergeAll(Stock.layer, RelayHooks.layer).pipe(
  Layer.provideMerge(Catalog.layer),
  Layer.provideMerge(Layer.mergeAll(ProductStore.layer, StockStore.layer, SaleSwitchStore.layer)),
  Layer.provideMerge(
    Layer.mergeAll(
      TestSale.stores,
      FakeOrderingModule.client,
      FakeOrderingModule.topics,
      Layer.succeed(OutboxRelay, { nudge: Effect.void }),
      Layer.succeed(StockHooks, {
        begun: () => Effect.suspend(() => between.begun),
        asked: () => Effect.suspend(() => between.asked),
      }),
    ),
  ),
  Layer.provideMerge(
    Layer.mergeAll(
      TestRedis.layer,
      TestBus.layerRedisStreams,
      TestMysql.layer({ migrations: ["inventory"], main: "inventory" }),
    ),
  ),
)

/** A published product in MySQL and in Redis, its shard open. */
const publish = (stock: number, fields: { readonly ended?: boolean } = {}) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const store = yield* ReservationStore
    const { sql } = mysql
    const end = fields.ended === true ? -48 : 1
    const id = yield* mysql.run(
      "test.publish",
      Effect.gen(function* () {
        yield* sql`INSERT INTO product (name, price, stock, initial_stock, start_time, end_time, per_user_limit, publisher_id, state, generation, opened_at)
          VALUES ('p', 100, ${stock}, ${stock}, UTC_TIMESTAMP(3) - INTERVAL 100 HOUR, UTC_TIMESTAMP(3) + INTERVAL ${end} HOUR, 1, 1, 'published', 1, UTC_TIMESTAMP(3))`
        const rows = yield* sql<{ id: number }>`SELECT CAST(LAST_INSERT_ID() AS SIGNED) AS id`
        return rows[0]!.id
      }),
    )
    const look = yield* store.look(id)
    if (!look.shard_open) yield* TestSale.openShards([id])
    if (fields.ended === true) return id
    yield* store.warmUp({
      product_id: id,
      generation: 1,
      start_ms: Date.now() - HOUR,
      end_ms: Date.now() + HOUR,
      per_user_limit: 1,
      price: 100,
      stock,
    })
    yield* store.setOpen(id, 1, true)
    return id
  })

const change = (productId: number, delta: number, id: string = randomUUID(), bodyHash = "b") =>
  Effect.flatMap(Stock, (stock) =>
    stock.change({ id, productId, delta, actorId: 9, reason: "because", bodyHash }),
  )

/** Stock by MySQL, by Redis, and what the books say of a product. */
const booksOf = (id: number) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const { sql } = mysql
    const [row] = yield* mysql.run(
      "test.books",
      sql<{ stock: number; initial_stock: number; logged: number; audited: number; told: number }>`
        SELECT stock, initial_stock,
          (SELECT CAST(COALESCE(SUM(delta), 0) AS SIGNED) FROM stock_log WHERE product_id = ${id} AND kind = 'adjust') AS logged,
          (SELECT COUNT(*) FROM audit WHERE target_id = ${String(id)} AND action = 'product.stock') AS audited,
          (SELECT COUNT(*) FROM outbox WHERE aggregate = ${String(id)} AND type = 'stock.changed') AS told
        FROM product WHERE id = ${id}`,
    )
    const view = yield* (yield* ReservationStore).look(id)
    const sums = (yield* (yield* StockStore).sums([id])).get(id) ?? { adjusted: 0, unfinished: 0 }
    return { ...row!, redis: view.stock, ...sums }
  })

/** At rest: both stores have it, once, and the equation of the books holds. */
const assertExact = (id: number, expected: number, changes: number) =>
  Effect.gen(function* () {
    const books = yield* booksOf(id)
    assert.deepInclude(books, { stock: expected, redis: expected, audited: changes, told: changes })
    assert.strictEqual(books.initial_stock + books.adjusted, books.stock)
    assert.strictEqual(books.logged, books.adjusted)
    assert.strictEqual(books.unfinished, 0)
  })

const recovery = Layer.build(Recovery.layer)
const worker = Layer.build(FakeOrderingModule.worker)
const relay = Layer.build(Relay.layerWith({ ...Relay.defaultTimes, poll: 50, scan: 200, sweep: 100 }))
const sweep = Layer.build(StockSweep.layerWith(0, 50))

/** Has the shard rebuilt, and waits until it is open again. */
const rebuilt = (id: number) =>
  Effect.gen(function* () {
    const store = yield* ReservationStore
    const signals = yield* ShardSignals
    const { epoch } = yield* store.look(id)
    signals.incomplete(Shards.shardOf(id))
    yield* eventually(store.look(id), (view) => view.shard_open && view.epoch > epoch)
  })

layer(live, { timeout: "120 seconds", excludeTestServices: true })("stock changes", (it) => {
  describe("in one go", () => {
    it.effect("go up and down in both stores, the log, the audit and the outbox", () =>
      Effect.gen(function* () {
        yield* calm
        const id = yield* publish(10)
        assert.strictEqual((yield* change(id, 5)).shown.stock, 15)
        assert.strictEqual((yield* change(id, -8)).shown.stock, 7)
        yield* assertExact(id, 7, 2)
        const mysql = yield* Mysql
        const [event] = yield* mysql.run(
          "test",
          mysql.sql<{
            payload: string
          }>`SELECT payload FROM outbox WHERE aggregate = ${String(id)} ORDER BY id DESC LIMIT 1`,
        )
        assert.deepInclude(JSON.parse(event!.payload), { type: "stock.changed", stock: 7, available: 7 })
      }),
    )

    it.effect("below zero are refused with what is left, for good, and change nothing", () =>
      Effect.gen(function* () {
        const id = yield* publish(3)
        const key = randomUUID()
        const refused = yield* Effect.flip(change(id, -4, key))
        assert.deepInclude(refused, { _tag: "WrongState", state: "live", left: 3 })
        yield* assertExact(id, 3, 0)
        yield* change(id, 5)
        // The key's first answer stays its answer, though by now there would be enough.
        assert.deepInclude(yield* Effect.flip(change(id, -4, key)), { _tag: "WrongState", left: 3 })
        yield* assertExact(id, 8, 1)
      }),
    )

    it.effect("a key changes once, however often and from however many sides", () =>
      Effect.gen(function* () {
        const id = yield* publish(10)
        const key = randomUUID()
        const answers = yield* Effect.forEach(Array.from({ length: 12 }), () => change(id, -2, key), {
          concurrency: 12,
        })
        assert.strictEqual(answers.filter(({ replayed }) => !replayed).length, 1)
        yield* assertExact(id, 8, 1)
        const mismatch = yield* Effect.flip(change(id, -3, key, "another body"))
        assert.strictEqual(mismatch._tag, "IdempotencyMismatch")
      }),
    )

    it.effect("of two operators who both take the last ones one gets them", () =>
      Effect.gen(function* () {
        const id = yield* publish(5)
        const outcomes = yield* Effect.forEach([-4, -4, -4], (delta) => Effect.either(change(id, delta)), {
          concurrency: 3,
        })
        assert.strictEqual(outcomes.filter((o) => o._tag === "Right").length, 1)
        yield* assertExact(id, 1, 1)
      }),
    )

    it.effect("beside buyers nobody gets what isn't there, and Redis never has more than MySQL", () =>
      Effect.gen(function* () {
        const id = yield* publish(30)
        const buys = Effect.forEach(
          Array.from({ length: 40 }, (_, i) => i + 1),
          (user) => Effect.map(reserve(id, [{ user }]), ({ codes }) => codes[0]),
          { concurrency: 8 },
        )
        const changes = Effect.forEach([5, -10, -10, 3, -10], (delta) => Effect.either(change(id, delta)), {
          concurrency: 3,
        })
        const mysql = yield* Mysql
        const store = yield* ReservationStore
        // As the protocol compares them in motion: the row held, and one read of Redis.
        const compare = mysql.transaction(
          "test.compare",
          Effect.gen(function* () {
            const rows = yield* mysql.sql<{
              stock: number
            }>`SELECT stock FROM product WHERE id = ${id} FOR UPDATE`
            assert.isAtMost((yield* store.look(id)).stock, rows[0]!.stock)
          }),
        )
        const watch = Effect.repeatN(compare, 20)
        const [codes, outcomes] = yield* Effect.all([buys, changes, watch], { concurrency: 3 })
        const sold = codes.filter((code) => code === ReserveCode.RESERVED).length
        const applied = [5, -10, -10, 3, -10].filter((_, i) => outcomes[i]!._tag === "Right")
        const sum = applied.reduce((total, delta) => total + delta, 0)
        const books = yield* booksOf(id)
        assert.strictEqual(books.stock, 30 + sum)
        assert.strictEqual(books.redis, 30 + sum - sold)
        assert.isAtLeast(books.redis, 0)
      }),
    )

    it.effect("of a draft, an unknown product and a closed shard are refused before anything is begun", () =>
      Effect.gen(function* () {
        const id = yield* publish(5)
        const mysql = yield* Mysql
        yield* mysql.run("test", mysql.sql`UPDATE product SET state = 'draft' WHERE id = ${id}`)
        assert.deepInclude(yield* Effect.flip(change(id, 1)), { _tag: "WrongState", state: "draft" })
        assert.strictEqual((yield* Effect.flip(change(999_999, 1)))._tag, "NotFound")
        yield* mysql.run("test", mysql.sql`UPDATE product SET state = 'published' WHERE id = ${id}`)
        const redis = yield* Redis
        const fence = ShardKeys.fence(Shards.shardOf(id))
        const run_id = yield* redis.run("test", (c) => c.hget(fence, "run_id"))
        yield* redis.run("test", (c) => c.hdel(fence, "run_id"))
        assert.strictEqual((yield* Effect.flip(change(id, 1)))._tag, "Busy")
        assert.strictEqual((yield* Effect.flip(change(id, -1)))._tag, "Busy")
        yield* redis.run("test", (c) => c.hset(fence, "run_id", run_id!))
        yield* assertExact(id, 5, 0)
      }),
    )

    it.effect("of a sale that Redis has let go are MySQL's alone", () =>
      Effect.gen(function* () {
        const id = yield* publish(5, { ended: true })
        yield* change(id, 2)
        yield* change(id, -6)
        assert.deepInclude(yield* Effect.flip(change(id, -6)), { _tag: "WrongState", left: 1 })
        const books = yield* booksOf(id)
        assert.deepInclude(books, { stock: 1, adjusted: -4, unfinished: 0, told: 2 })
      }),
    )
  })

  describe("killed between the halves", () => {
    for (const delta of [4, -4]) {
      for (const at of ["begun", "asked"] as const) {
        it.effect(`${delta} after it was ${at} is finished by a worker, once`, () =>
          Effect.gen(function* () {
            yield* calm
            const id = yield* publish(10)
            const key = randomUUID()
            Object.assign(between, { [at]: once(killed) })
            yield* Effect.exit(change(id, delta, key))
            const half = yield* booksOf(id)
            assert.strictEqual(half.unfinished, 1)
            assert.isAtMost(half.redis, half.stock)
            yield* Effect.zipRight(
              sweep,
              eventually(booksOf(id), ({ unfinished }) => unfinished === 0),
            ).pipe(Effect.scoped)
            yield* assertExact(id, 10 + delta, 1)
            assert.isTrue((yield* change(id, delta, key)).replayed)
            yield* assertExact(id, 10 + delta, 1)
          }),
        )

        it.effect(`${delta} after it was ${at}, and the shard rebuilt meanwhile, counts once`, () =>
          Effect.gen(function* () {
            yield* calm
            const id = yield* publish(10)
            yield* Effect.all([recovery, worker, relay])
            const key = randomUUID()
            Object.assign(between, { [at]: once(killed) })
            yield* Effect.exit(change(id, delta, key))
            yield* rebuilt(id)
            yield* (yield* Stock).settle(key)
            yield* assertExact(id, 10 + delta, 1)
          }).pipe(Effect.scoped),
        )

        it.effect(`${delta} ${at} when a rebuild comes in between, and the same process goes on`, () =>
          Effect.gen(function* () {
            yield* calm
            const id = yield* publish(10)
            yield* Effect.all([recovery, worker, relay])
            const store = yield* ReservationStore
            const context = yield* Effect.context<ReservationStore | ShardSignals>()
            Object.assign(between, { [at]: once(Effect.orDie(Effect.provide(rebuilt(id), context))) })
            yield* change(id, delta)
            yield* assertExact(id, 10 + delta, 1)
            assert.isAbove((yield* store.look(id)).generation, 1)
          }).pipe(Effect.scoped),
        )
      }
    }

    it.effect("a slow one whose refusal is overtaken by a rebuild asks anew", () =>
      Effect.gen(function* () {
        yield* calm
        const id = yield* publish(3)
        yield* Effect.all([recovery, worker, relay])
        const store = yield* ReservationStore
        const asked = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        Object.assign(between, {
          asked: once(Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(go))),
        })
        // Two of three are reserved and cancelled while it sleeps: refused with one left, then there are three.
        yield* reserve(id, [{ user: 1 }, { user: 2 }])
        const slow = yield* Effect.fork(change(id, -3))
        yield* Deferred.await(asked)
        const decisions = (yield* FakeOrderingModule.FakeOrdering).decisions
        yield* eventually(
          Effect.sync(() => [...decisions.values()].filter((d) => d.event.product_id === id)),
          (found) => found.length === 2,
        )
        for (const [order_num, { event }] of decisions)
          if (event.product_id === id) yield* FakeOrderingModule.cancel(order_num)
        yield* rebuilt(id)
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(slow)
        const { redis, stock } = yield* booksOf(id)
        assert.deepStrictEqual({ redis, stock }, { redis: 0, stock: 0 })
        assert.strictEqual((yield* store.look(id)).stock, 0)
      }).pipe(Effect.scoped),
    )
  })
})
