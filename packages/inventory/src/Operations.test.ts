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
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Catalog } from "./Catalog.ts"
import type { Draft } from "./domain/Product.ts"
import { Editing } from "./Editing.ts"
import { ProductChecks } from "./ProductChecks.ts"
import { Publishing } from "./Publishing.ts"
import { Rebuild } from "./Rebuild.ts"
import { SalePause } from "./SalePause.ts"
import { ProductStore } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"
import { SaleSwitchStore } from "./store/SaleSwitchStore.ts"
import { ShardFence } from "./store/ShardFence.ts"
import * as ShardKeys from "./store/ShardKeys.ts"
import { StockStore } from "./store/StockStore.ts"
import * as FakeOrderingModule from "./testing/FakeOrdering.ts"
import { FakeOrdering } from "./testing/FakeOrdering.ts"
import * as TestSale from "./testing/TestSale.ts"
import { eventually, reserve } from "./testing/TestSale.ts"
import * as Opener from "./workers/Opener.ts"
import * as Recovery from "./workers/Recovery.ts"
import * as Relay from "./workers/Relay.ts"
import * as RelayHooks from "./workers/RelayHooks.ts"
import * as SaleSwitchSync from "./workers/SaleSwitchSync.ts"

const live = Layer.mergeAll(
  Editing.layer,
  ProductChecks.layer,
  Rebuild.layer,
  SalePause.layer,
  RelayHooks.layer,
).pipe(
  Layer.provideMerge(Layer.mergeAll(Catalog.layer, Publishing.layer)),
  Layer.provideMerge(Layer.mergeAll(ProductStore.layer, StockStore.layer, SaleSwitchStore.layer)),
  Layer.provideMerge(
    Layer.mergeAll(
      TestSale.stores,
      FakeOrderingModule.client,
      FakeOrderingModule.topics,
      Layer.succeed(OutboxRelay, { nudge: Effect.void }),
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

const workers = Effect.all([
  Layer.build(Recovery.layer),
  Layer.build(FakeOrderingModule.worker),
  Layer.build(Relay.layerWith({ ...Relay.defaultTimes, poll: 50, scan: 200, sweep: 100 })),
])

const allOpen = eventually(
  Effect.flatMap(ShardFence, (fence) =>
    fence.closed(new Set()).pipe(Effect.orElseSucceed((): ReadonlyArray<number> => [0])),
  ),
  (closed) => closed.length === 0,
)

const openAll = Effect.scoped(Effect.zipRight(workers, allOpen))

const draft = (more: Partial<Draft> = {}): Draft => ({
  name: `product ${randomUUID()}`,
  description: "",
  price: 9900,
  originalPrice: null,
  stock: 5,
  startTimeMs: Date.now() + 3_600_000,
  endTimeMs: null,
  perUserLimit: 1,
  image: "",
  accessChallenge: false,
  accessWaitingRoom: false,
  publisherId: 1,
  ...more,
})

const publish = (more: Partial<Draft> = {}) =>
  Effect.flatMap(Publishing, (publishing) =>
    Effect.map(publishing.publish(draft(more), "", "0".repeat(64)), ({ product }) => product),
  )

/** A product whose sale has begun. */
const publishLive = (more: Partial<Draft> = {}) =>
  Effect.gen(function* () {
    const product = yield* publish({ startTimeMs: Date.now() + 400, ...more })
    yield* eventually(
      (yield* ReservationStore).look(product.id),
      ({ server_time_ms }) => server_time_ms >= product.startTimeMs,
    )
    return product
  })

const by = () => ({ actorId: 9, reason: "because", requestId: randomUUID() })

const codeOf = (id: number, user: number) => Effect.map(reserve(id, [{ user }]), ({ codes }) => codes[0])

const told = (id: number) =>
  Effect.flatMap(Mysql, (mysql) =>
    Effect.map(
      mysql.run(
        "test",
        mysql.sql<{ type: string }>`SELECT type FROM outbox WHERE aggregate = ${String(id)} ORDER BY id`,
      ),
      (rows) => rows.map(({ type }) => type),
    ),
  )

const audited = (id: number | string, action: string) =>
  Effect.flatMap(Mysql, (mysql) =>
    mysql.run(
      "test",
      mysql.sql<{ actor_id: number; reason: string; before_json: string | null; after_json: string | null }>`
        SELECT actor_id, reason, before_json, after_json FROM audit
        WHERE target_id = ${String(id)} AND action = ${action} ORDER BY id`,
    ),
  )

layer(live, { timeout: "120 seconds", excludeTestServices: true })("an operator", (it) => {
  describe("edits a product", () => {
    it.effect("upcoming: new terms are in both stores under a new generation, and sold by", () =>
      Effect.gen(function* () {
        yield* openAll
        const product = yield* publish()
        const editing = yield* Editing
        const edited = yield* editing.edit(
          product.id,
          { price: 100, startTimeMs: Date.now() + 1_500, perUserLimit: 2 },
          product.version,
          by(),
        )
        assert.deepInclude(edited, { price: 100, perUserLimit: 2, version: product.version + 1 })
        assert.isAbove(edited.generation, product.generation)
        const view = yield* (yield* ReservationStore).look(product.id)
        assert.deepInclude(view, { generation: edited.generation, open: true, stock: 5 })
        assert.strictEqual(yield* codeOf(product.id, 1), ReserveCode.NOT_STARTED)
        yield* eventually(codeOf(product.id, 1), (code) => code === ReserveCode.RESERVED)
        const redis = yield* Redis
        const entries = yield* redis.run("test", (c) =>
          c.xrange(ShardKeys.stream(Shards.shardOf(product.id)), "-", "+"),
        )
        // The entry carries the price and the limit that it was sold by.
        assert.isTrue(entries.some(([, fields]) => fields[1]!.endsWith(" 100 2")))
        assert.deepStrictEqual(yield* told(product.id), ["product.published", "product.updated"])
        const [row] = yield* audited(product.id, "product.edit")
        assert.deepInclude(row, { actor_id: 9, reason: "because" })
        assert.strictEqual(JSON.parse(row!.before_json!).price, 9900)
        assert.strictEqual(JSON.parse(row!.after_json!).price, 100)
      }),
    )

    it.effect("live: its name and picture, but none of its terms", () =>
      Effect.gen(function* () {
        yield* openAll
        const product = yield* publishLive()
        const editing = yield* Editing
        const refused = yield* Effect.flip(editing.edit(product.id, { price: 1 }, undefined, by()))
        assert.deepInclude(refused, { _tag: "WrongState", state: "live" })
        const edited = yield* editing.edit(
          product.id,
          { name: "renamed", image: "/media/a.webp", price: 9900 },
          undefined,
          by(),
        )
        assert.deepInclude(edited, {
          name: "renamed",
          image: "/media/a.webp",
          generation: product.generation,
        })
        assert.strictEqual(yield* codeOf(product.id, 1), ReserveCode.RESERVED)
      }),
    )

    it.effect("that another has changed: 525 with its version; and terms out of bounds are named", () =>
      Effect.gen(function* () {
        yield* openAll
        const product = yield* publish()
        const editing = yield* Editing
        const both = yield* Effect.forEach(
          ["one", "two"],
          (name) => Effect.either(editing.edit(product.id, { name }, product.version, by())),
          { concurrency: 2 },
        )
        const lost = both.find((outcome) => outcome._tag === "Left")
        assert.strictEqual(both.filter((outcome) => outcome._tag === "Right").length, 1)
        assert.deepInclude(lost?._tag === "Left" ? lost.left : {}, {
          _tag: "StaleVersion",
          version: product.version + 1,
        })
        const invalid = yield* Effect.flip(
          editing.edit(product.id, { startTimeMs: Date.now() - 1, perUserLimit: 0 }, undefined, by()),
        )
        assert.sameMembers(invalid._tag === "InvalidInput" ? invalid.issues.map(({ path }) => path) : [], [
          "start_time",
          "per_user_limit",
        ])
      }),
    )

    it.effect("what was reserved under the old terms is rejected, and its stock isn't counted twice", () =>
      Effect.gen(function* () {
        yield* openAll
        const product = yield* publishLive()
        const mysql = yield* Mysql
        // As the last buyer before an edit whose process was slow: MySQL is a generation ahead.
        const { order_nums } = yield* reserve(product.id, [{ user: 1 }])
        yield* mysql.run(
          "test",
          mysql.sql`UPDATE product SET generation = generation + 1, opened_at = NULL,
            updated_at = UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE WHERE id = ${product.id}`,
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* workers
            yield* Layer.build(Opener.layer)
            const { decisions } = yield* FakeOrdering
            yield* eventually(
              Effect.sync(() => decisions.get(order_nums[0]!)?.state),
              (state) => state === "rejected",
            )
            // The opener finds that Redis is behind, and has it rebuilt.
            const store = yield* ReservationStore
            yield* eventually(
              store.look(product.id),
              (view) => view.shard_open && view.open && view.generation > product.generation,
            )
            assert.strictEqual((yield* store.look(product.id)).stock, 5)
          }),
        )
      }),
    )
  })

  describe("withdraws a product", () => {
    it.effect("at once for new buyers; those who reserved go on; once", () =>
      Effect.gen(function* () {
        yield* openAll
        const product = yield* publishLive()
        const { order_nums } = yield* reserve(product.id, [{ user: 1 }])
        const editing = yield* Editing
        const command = by()
        const gone = yield* editing.withdraw(product.id, command)
        assert.strictEqual(gone.state, "withdrawn")
        assert.strictEqual(yield* codeOf(product.id, 2), ReserveCode.NOT_ON_SALE)
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* workers
            const { decisions } = yield* FakeOrdering
            yield* eventually(
              Effect.sync(() => decisions.get(order_nums[0]!)?.state),
              (state) => state === "unpaid",
            )
          }),
        )
        assert.strictEqual((yield* editing.withdraw(product.id, command)).state, "withdrawn")
        assert.deepInclude(yield* Effect.flip(editing.withdraw(product.id, by())), {
          _tag: "WrongState",
          state: "withdrawn",
        })
        assert.deepStrictEqual(yield* told(product.id), ["product.published", "product.withdrawn"])
        assert.lengthOf(yield* audited(product.id, "product.withdraw"), 1)
      }),
    )

    it.effect("while buyers reserve: after the answer nobody gets in, and all who got in have an entry", () =>
      Effect.gen(function* () {
        yield* openAll
        const product = yield* publishLive({ stock: 500 })
        let withdrawn = false
        const buyer = (user: number) =>
          Effect.gen(function* () {
            const late = withdrawn
            const code = yield* codeOf(product.id, user)
            if (late) assert.strictEqual(code, ReserveCode.NOT_ON_SALE)
            return code
          })
        const [codes] = yield* Effect.all(
          [
            Effect.forEach(
              Array.from({ length: 200 }, (_, i) => i + 1),
              buyer,
              { concurrency: 4 },
            ),
            Effect.flatMap(Editing, (editing) => editing.withdraw(product.id, by())).pipe(
              Effect.delay("20 millis"),
              Effect.tap(() => {
                withdrawn = true
              }),
            ),
          ],
          { concurrency: 2 },
        )
        const sold = codes.filter((code) => code === ReserveCode.RESERVED).length
        const view = yield* (yield* ReservationStore).look(product.id)
        assert.strictEqual(view.stock, 500 - sold)
        assert.isTrue(codes.includes(ReserveCode.NOT_ON_SALE))
      }),
    )

    it.effect("killed between MySQL and Redis: a worker closes it, and a sleeping opener opens nothing", () =>
      Effect.gen(function* () {
        yield* openAll
        const product = yield* publishLive()
        const store = yield* ProductStore
        yield* store.withdraw(product.id, by())
        assert.strictEqual(yield* codeOf(product.id, 1), ReserveCode.RESERVED)
        yield* Effect.zipRight(
          Layer.build(Opener.layer),
          eventually(codeOf(product.id, 2), (code) => code === ReserveCode.NOT_ON_SALE),
        ).pipe(Effect.scoped)
        // One that read the row before the withdrawal, and comes only now.
        yield* (yield* Publishing).open(product)
        assert.strictEqual(yield* codeOf(product.id, 3), ReserveCode.NOT_ON_SALE)
        assert.lengthOf(
          (yield* store.unclosed(100)).filter(({ id }) => id === product.id),
          0,
        )
      }),
    )
  })

  describe("clones, rebuilds and checks", () => {
    it.effect("a copy is a product of its own, once a key", () =>
      Effect.gen(function* () {
        yield* openAll
        const source = yield* publish({ description: "words", perUserLimit: 3 })
        const publishing = yield* Publishing
        const startTimeMs = Date.now() + 7_200_000
        const times = { startTimeMs, endTimeMs: startTimeMs + 60_000, publisherId: 9 }
        const command = { reason: "again", idempotencyKey: "k", bodyHash: "h" }
        const first = yield* publishing.clone(source.id, times, command)
        const again = yield* publishing.clone(source.id, times, command)
        assert.deepInclude(first.product, {
          name: source.name,
          description: "words",
          perUserLimit: 3,
          stock: 5,
          startTimeMs,
          state: "published",
        })
        assert.notStrictEqual(first.product.id, source.id)
        assert.strictEqual(again.product.id, first.product.id)
        assert.isTrue(again.replayed)
        const [row] = yield* audited(first.product.id, "product.clone")
        assert.strictEqual(JSON.parse(row!.after_json!).clone_of, source.id)
      }),
    )

    it.effect("a rebuild raises the epoch, keeps what was sold, and several at once come to one end", () =>
      Effect.scoped(
        Effect.gen(function* () {
          yield* workers
          yield* allOpen
          const product = yield* publishLive()
          yield* reserve(product.id, [{ user: 1 }, { user: 2 }])
          const store = yield* ReservationStore
          const before = yield* store.look(product.id)
          const rebuild = yield* Rebuild
          yield* Effect.forEach([1, 2, 3], () => rebuild.rebuild(product.id, by()), { concurrency: 3 })
          const after = yield* eventually(
            store.look(product.id),
            (view) => view.shard_open && view.epoch > before.epoch && view.generation > before.generation,
          )
          assert.strictEqual(after.stock, 3)
          assert.strictEqual(yield* codeOf(product.id, 1), ReserveCode.ALREADY_BOUGHT)
          assert.lengthOf(yield* audited(product.id, "product.rebuild"), 3)
        }),
      ),
    )

    it.effect("readiness says what is wrong", () =>
      Effect.scoped(
        Effect.gen(function* () {
          yield* workers
          yield* allOpen
          const product = yield* publish()
          const { check } = yield* ProductChecks
          const failing = Effect.map(check(product.id), (checks) =>
            checks.filter(({ ok }) => !ok).map((one) => one.check),
          )
          const mysql = yield* Mysql
          // Nobody relays the outbox here.
          yield* mysql.run("test", mysql.sql`UPDATE outbox SET sent_at = UTC_TIMESTAMP(3)`)
          assert.deepStrictEqual(yield* failing, [])
          yield* mysql.run("test", mysql.sql`UPDATE product SET stock = stock + 1 WHERE id = ${product.id}`)
          assert.deepStrictEqual(yield* failing, ["stock"])
          yield* (yield* Editing).withdraw(product.id, by())
          assert.includeMembers([...(yield* failing)], ["published", "open"])
          assert.strictEqual((yield* Effect.flip(check(999_999)))._tag, "NotFound")
        }),
      ),
    )

    it.effect("the console's list holds every product once, newest first, by status and name", () =>
      Effect.gen(function* () {
        yield* openAll
        const name = `list ${randomUUID()}`
        const ids: Array<number> = []
        for (let i = 0; i < 5; i++) ids.push((yield* publish({ name: `${name} ${i}` })).id)
        yield* (yield* Editing).withdraw(ids[2]!, by())
        const catalog = yield* Catalog
        const walk = (status: "withdrawn" | "upcoming" | undefined) =>
          Effect.gen(function* () {
            const seen: Array<number> = []
            let token = ""
            do {
              const page = yield* catalog.listManaged({ status, q: name, fromMs: 0, toMs: 0 }, 2, token)
              assert.isAtMost(page.items.length, 2)
              seen.push(...page.items.map(({ shown }) => shown.product.id))
              token = page.nextPageToken
            } while (token !== "")
            return seen
          })
        assert.deepStrictEqual(yield* walk(undefined), [...ids].reverse())
        assert.deepStrictEqual(yield* walk("withdrawn"), [ids[2]!])
        assert.deepStrictEqual(
          yield* walk("upcoming"),
          [...ids].reverse().filter((id) => id !== ids[2]),
        )
        const none = yield* catalog.listManaged({ status: undefined, q: "list %", fromMs: 0, toMs: 0 }, 2, "")
        assert.deepStrictEqual(none.items, [])
      }),
    )
  })

  describe("pauses all sales", () => {
    const set = (paused: boolean, command = by()) =>
      Effect.flatMap(SalePause, (pause) => pause.set({ paused, ...command }))

    it.effect(
      "from the answer on nothing is sold anywhere; a repeat still tells its number; resumed, it is",
      () =>
        Effect.gen(function* () {
          yield* openAll
          const one = yield* publishLive({ perUserLimit: 5 })
          const other = yield* publishLive()
          const request = TestSale.requestId()
          const first = yield* reserve(one.id, [{ user: 1, request }])
          const command = by()
          assert.isTrue((yield* set(true, command)).paused)
          assert.strictEqual(yield* codeOf(one.id, 2), ReserveCode.PAUSED)
          assert.strictEqual(yield* codeOf(other.id, 2), ReserveCode.PAUSED)
          const repeat = yield* reserve(one.id, [{ user: 1, request }])
          assert.deepStrictEqual(repeat.order_nums, first.order_nums)
          assert.isFalse((yield* set(false)).paused)
          assert.strictEqual(yield* codeOf(one.id, 2), ReserveCode.RESERVED)
          // The pause asked for again by its lost request doesn't undo the resumption.
          assert.isFalse((yield* set(true, command)).paused)
          assert.strictEqual(yield* codeOf(other.id, 2), ReserveCode.RESERVED)
          assert.lengthOf(yield* audited("all", "sale.pause"), 1)
          assert.lengthOf(yield* audited("all", "sale.resume"), 1)
        }),
    )

    it.effect("an emptied Redis opens again paused; a shard that missed it is told", () =>
      Effect.scoped(
        Effect.gen(function* () {
          yield* workers
          yield* allOpen
          const product = yield* publishLive()
          const redis = yield* Redis
          yield* set(true)
          yield* redis.run("test", (c) => (c as { flushall: () => Promise<string> }).flushall())
          yield* eventually(
            codeOf(product.id, 1),
            (code) => code !== ReserveCode.FENCED && code !== ReserveCode.NOT_EXECUTED,
          )
          assert.strictEqual(yield* codeOf(product.id, 1), ReserveCode.PAUSED)
          yield* Layer.build(SaleSwitchSync.layer)
          const fence = ShardKeys.fence(Shards.shardOf(product.id))
          // As one that was out of reach while it was paused.
          yield* redis.run("test", (c) => c.hdel(fence, "paused", "pause_rev"))
          yield* eventually(codeOf(product.id, 1), (code) => code === ReserveCode.PAUSED)
          yield* set(false)
          assert.strictEqual(yield* codeOf(product.id, 5), ReserveCode.RESERVED)
        }),
      ),
    )
  })
})
