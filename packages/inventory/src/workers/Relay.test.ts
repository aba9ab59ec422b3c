import { assert, layer as withLayer } from "@effect/vitest"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { BusUnavailable, EventBus, type OutgoingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ShardKeys from "../store/ShardKeys.ts"
import * as ShardSignals from "../store/ShardSignals.ts"
import { client, FakeOrdering } from "../testing/FakeOrdering.ts"
import * as TestSale from "../testing/TestSale.ts"
import { eventually, product, reserve } from "../testing/TestSale.ts"
import * as Relay from "./Relay.ts"
import { RelayHooks } from "./RelayHooks.ts"

const times: Relay.RelayTimes = {
  lease: 600,
  poll: 50,
  gather: 10,
  scan: 200,
  sweep: 50,
  again: 1_000,
  idle: 30_000,
}

/** A bus of one process, that can be down. */
class FakeBus extends Context.Tag("test/FakeBus")<
  FakeBus,
  {
    down: boolean
    life: string
    readonly messages: Array<OutgoingMessage & { readonly topic: string }>
    /** The keys of each publish. */
    readonly publishes: Array<ReadonlyArray<string>>
    /** What one takes, ms. */
    takesMs: number
  }
>() {}

const bus = Layer.effect(
  EventBus,
  Effect.map(FakeBus, (state) => {
    const publish = (topic: string, messages: ReadonlyArray<OutgoingMessage>) =>
      Effect.suspend(() => {
        if (state.down) return new BusUnavailable({ operation: "publish", reason: "down" })
        for (const message of messages) state.messages.push({ ...message, topic })
        state.publishes.push(messages.map((message) => message.key))
        return state.takesMs > 0 ? Effect.sleep(state.takesMs) : Effect.void
      })
    return { publish, incarnation: Effect.sync(() => state.life) } as unknown as Context.Tag.Service<EventBus>
  }),
).pipe(
  Layer.provideMerge(
    Layer.sync(FakeBus, () => ({ down: false, life: "first", messages: [], publishes: [], takesMs: 0 })),
  ),
)

const quiet = { published: () => Effect.void, deleting: () => Effect.void }

const environment = Layer.mergeAll(TestSale.stores, bus, client).pipe(Layer.provideMerge(TestRedis.layer))

/** One relay, as the process that reserves has it; until the scope ends. */
const relay = () => Layer.build(Relay.layerWith(times)).pipe(Effect.provideService(RelayHooks, quiet))

/** A relay of another process: no hints, and here it looks for work only once. */
const relayElsewhere = (hooks: Context.Tag.Service<RelayHooks>) =>
  Layer.build(
    Relay.layerWith({ ...times, scan: 60_000 }).pipe(Layer.provide(Layer.fresh(ShardSignals.layer))),
  ).pipe(Effect.provideService(RelayHooks, hooks))

const copiesOf = (order_num: string) =>
  Effect.map(FakeBus, ({ messages }) => messages.filter((m) => m.key === order_num).length)

const lengthOf = (product_id: number) =>
  Effect.flatMap(Redis, (redis) =>
    redis.run("test", (c) => c.xlen(ShardKeys.stream(Shards.shardOf(product_id)))),
  )

/** As `/metrics` shows it. */
const oldestS = Effect.sync(() => {
  Instrument.readAll()
  return Instrument.read("floodgate_relay_oldest_entry_seconds")[0]?.value ?? 0
})

const decide = (order_nums: ReadonlyArray<string>) =>
  Effect.map(FakeOrdering, ({ decisions }) => {
    for (const order_num of order_nums) decisions.set(order_num, { event: {} as never, state: "unpaid" })
  })

const buy = (product_id: number, user: number, traceparent?: string) =>
  Effect.map(
    reserve(product_id, [{ user, ...(traceparent === undefined ? {} : { traceparent }) }]),
    (answers) => {
      assert.strictEqual(answers.codes[0], ReserveCode.RESERVED)
      return answers.order_nums[0]!
    },
  )

withLayer(environment, { excludeTestServices: true })("Relay", (it) => {
  it.scoped(
    "a reservation is on the bus within moments, on its shard's partition, and stays until decided",
    () =>
      Effect.gen(function* () {
        yield* relay()
        const id = yield* product()
        yield* buy(id, 1)
        yield* eventually(lengthOf(id), (n) => n === 1)
        const started = Date.now()
        const order_num = yield* buy(id, 2)
        yield* eventually(copiesOf(order_num), (n) => n > 0)
        assert.isBelow(Date.now() - started, 500)
        const { messages } = yield* FakeBus
        const message = messages.find((m) => m.key === order_num)!
        assert.deepInclude(message, {
          topic: "seckill.reservations",
          partition: Shards.partitionOf(Shards.shardOf(id), 16),
        })
        assert.deepInclude(JSON.parse(String(message.value)), {
          type: "seckill.reserved",
          user_id: 2,
          product_id: id,
        })
        assert.isUndefined(message.headers)

        const { asked } = yield* FakeOrdering
        const before = asked.length
        yield* eventually(
          Effect.sync(() => asked.length),
          (n) => n >= before + 2,
        )
        assert.strictEqual(yield* lengthOf(id), 2)
        yield* decide([order_num])
        yield* eventually(lengthOf(id), (n) => n === 1)
        yield* decide(messages.map((m) => m.key))
        yield* eventually(lengthOf(id), (n) => n === 0)
      }),
  )

  it.scoped("shards that have something leave together", () =>
    Effect.gen(function* () {
      const bus = yield* FakeBus
      yield* Layer.build(Relay.layerWith({ ...times, gather: 2_000 })).pipe(
        Effect.provideService(RelayHooks, quiet),
      )
      const ids = yield* Effect.forEach([1, 2, 3, 4], () => product())
      assert.strictEqual(new Set(ids.map(Shards.shardOf)).size, 4)
      // So that each shard is relayed already.
      for (const id of ids) {
        const order_num = yield* buy(id, 1)
        yield* eventually(copiesOf(order_num), (n) => n === 1)
      }
      const first = yield* buy(ids[0]!, 2)
      yield* eventually(copiesOf(first), (n) => n === 1)
      bus.takesMs = 200
      const order_nums = yield* Effect.forEach(ids, (id) => buy(id, 3))
      for (const order_num of order_nums) yield* eventually(copiesOf(order_num), (n) => n === 1)
      const publishes = bus.publishes.filter((keys) => keys.some((key) => order_nums.includes(key)))
      // Whoever's turn of the event loop came first, and all others.
      assert.isAtMost(publishes.length, 2)
      bus.takesMs = 0
      yield* decide(bus.messages.map((m) => m.key))
      for (const id of ids) yield* eventually(lengthOf(id), (n) => n === 0)
    }),
  )

  it.scoped("a bus that begins another life is given what is open again, however young", () =>
    Effect.gen(function* () {
      const bus = yield* FakeBus
      yield* Layer.build(Relay.layerWith({ ...times, again: 600_000 })).pipe(
        Effect.provideService(RelayHooks, quiet),
      )
      const id = yield* product()
      const order_num = yield* buy(id, 1)
      yield* eventually(copiesOf(order_num), (n) => n === 1)
      // Long enough for the first life to be known.
      yield* Effect.sleep(3 * times.sweep)
      assert.strictEqual(yield* copiesOf(order_num), 1)
      bus.life = "second"
      yield* eventually(copiesOf(order_num), (n) => n === 2)
      yield* decide([order_num])
      yield* eventually(lengthOf(id), (n) => n === 0)
    }),
  )

  it.scoped("what was reserved while no relay ran is found by the scan", () =>
    Effect.gen(function* () {
      const id = yield* product()
      const order_num = yield* buy(id, 1)
      yield* relay()
      yield* eventually(copiesOf(order_num), (n) => n > 0)
      yield* decide([order_num])
      yield* eventually(lengthOf(id), (n) => n === 0)
    }),
  )

  it.scoped("2,000 entries are let go page by page once they are decided", () =>
    Effect.gen(function* () {
      const id = yield* product({ stock: 2_000 })
      const all: Array<string> = []
      for (let i = 0; i < 20; i++) {
        const a = yield* reserve(
          id,
          Array.from({ length: 100 }, (_, j) => ({ user: i * 100 + j + 1 })),
        )
        all.push(...a.order_nums)
      }
      yield* relay()
      yield* eventually(copiesOf(all.at(-1)!), (n) => n > 0)
      const { messages } = yield* FakeBus
      const mine = new Set(all)
      const order = [...new Set(messages.map((m) => m.key).filter((key) => mine.has(key)))]
      assert.deepStrictEqual(order, all)
      yield* decide(all)
      yield* eventually(lengthOf(id), (n) => n === 0)
    }),
  )

  it.scoped("an entry that nobody decides is produced again, and kept", () =>
    Effect.gen(function* () {
      yield* relay()
      const id = yield* product()
      const order_num = yield* buy(id, 1)
      yield* eventually(copiesOf(order_num), (n) => n >= 2)
      assert.strictEqual(yield* lengthOf(id), 1)
      yield* decide([order_num])
      yield* eventually(lengthOf(id), (n) => n === 0)
    }),
  )

  it.scoped("an entry whose dead letter is open is kept, and not produced again", () =>
    Effect.gen(function* () {
      yield* relay()
      const id = yield* product({ per_user_limit: 5 })
      const dead = yield* buy(id, 1)
      const { held } = yield* FakeOrdering
      held.add(dead)
      yield* eventually(copiesOf(dead), (n) => n === 1)
      const undecided = yield* buy(id, 2)
      yield* eventually(copiesOf(undecided), (n) => n >= 3)
      assert.strictEqual(yield* copiesOf(dead), 1)
      assert.strictEqual(yield* lengthOf(id), 2)
      held.delete(dead)
      yield* eventually(copiesOf(dead), (n) => n >= 2)
      yield* decide([dead, undecided])
      yield* eventually(lengthOf(id), (n) => n === 0)
    }),
  )

  it.scoped("while the bus is down entries wait; then they go in order", () =>
    Effect.gen(function* () {
      yield* relay()
      const state = yield* FakeBus
      const id = yield* product()
      state.down = true
      const all: Array<string> = []
      for (let user = 1; user <= 5; user++) all.push(yield* buy(id, user))
      yield* Effect.sleep("300 millis")
      assert.strictEqual(yield* lengthOf(id), 5)
      // What the bus never took is what the alert is about.
      yield* eventually(oldestS, (age) => age > 0.3)
      state.down = false
      yield* eventually(copiesOf(all[4]!), (n) => n > 0)
      const mine = new Set(all)
      assert.deepStrictEqual(
        [...new Set(state.messages.map((m) => m.key).filter((key) => mine.has(key)))],
        all,
      )
      yield* decide(all)
      yield* eventually(lengthOf(id), (n) => n === 0)
      yield* eventually(oldestS, (age) => age === 0)
    }),
  )

  it.scoped(
    "a relay stopped between produce and delete is replaced; when it wakes, nothing is lost or kept twice",
    () =>
      Effect.gen(function* () {
        const id = yield* product({ per_user_limit: 5 })
        const shard = Shards.shardOf(id)
        const gate = yield* Effect.makeLatch(false)
        let stopped = 0
        const first = yield* buy(id, 1)
        yield* relayElsewhere({
          ...quiet,
          deleting: (of) =>
            of === shard
              ? Effect.zipRight(
                  Effect.sync(() => {
                    stopped++
                  }),
                  Effect.uninterruptible(gate.await),
                )
              : Effect.void,
        })
        yield* eventually(copiesOf(first), (n) => n === 1)
        yield* decide([first])
        yield* eventually(
          Effect.sync(() => stopped),
          (n) => n === 1,
        )
        const redis = yield* Redis
        yield* redis.run("test", (c) => c.set(ShardKeys.relayLease(shard), "successor", "PX", 300))
        yield* relay()
        // The successor produced it again before it let go of it: a duplicate, for the worker to absorb.
        yield* eventually(lengthOf(id), (n) => n === 0)
        assert.strictEqual(yield* copiesOf(first), 2)
        const second = yield* buy(id, 2)
        yield* gate.open
        yield* eventually(copiesOf(second), (n) => n > 0)
        yield* Effect.sleep("200 millis")
        assert.strictEqual(yield* lengthOf(id), 1)
        yield* decide([second])
        yield* eventually(lengthOf(id), (n) => n === 0)
      }),
  )

  it.scoped("two relays at once share the shards; each reservation is produced", () =>
    Effect.gen(function* () {
      yield* relay()
      yield* relay()
      const ids = yield* Effect.all(Array.from({ length: 10 }, () => product()))
      const all = yield* Effect.forEach(ids, (id) => buy(id, 1))
      yield* Effect.forEach(all, (order_num) => eventually(copiesOf(order_num), (n) => n > 0))
      yield* decide(all)
      yield* Effect.forEach(ids, (id) => eventually(lengthOf(id), (n) => n === 0))
    }),
  )

  it.effect("a relay that ends gives its leases up", () =>
    Effect.gen(function* () {
      const id = yield* product()
      const redis = yield* Redis
      const holder = redis.run("test", (c) => c.get(ShardKeys.relayLease(Shards.shardOf(id))))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* relay()
          yield* decide([yield* buy(id, 1)])
          yield* eventually(holder, (token) => token !== null)
        }),
      )
      assert.isNull(yield* holder)
    }),
  )

  it.scoped("a sampled reservation carries its trace onto the bus", () =>
    Effect.gen(function* () {
      yield* relay()
      const id = yield* product()
      const order_num = yield* buy(id, 1, `00-${"a".repeat(32)}-${"b".repeat(16)}-01`)
      yield* eventually(copiesOf(order_num), (n) => n > 0)
      const { messages } = yield* FakeBus
      const message = messages.find((m) => m.key === order_num)!
      assert.match(message.headers?.["traceparent"] ?? "", /^00-a{32}-/)
    }),
  )
})
