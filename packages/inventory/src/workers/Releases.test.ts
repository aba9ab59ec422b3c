import { assert, layer as withLayer } from "@effect/vitest"
import type { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as TestBus from "@floodgate/runtime/testing/TestBus"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ReservationStore } from "../store/ReservationStore.ts"
import * as ShardKeys from "../store/ShardKeys.ts"
import { topics } from "../testing/FakeOrdering.ts"
import * as TestSale from "../testing/TestSale.ts"
import { eventually, openShards, product, reserve } from "../testing/TestSale.ts"
import * as Releases from "./Releases.ts"

const environment = Layer.mergeAll(TestSale.stores, topics).pipe(
  Layer.provideMerge(Layer.merge(TestRedis.layer, TestBus.layerRedisStreams)),
)

let lastEvent = 0

const tell = (
  type: OrderEvent["type"],
  changes: ReadonlyArray<{
    readonly product_id: number
    readonly user_id: number
    readonly order_num: string
  }>,
) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const event: OrderEvent = {
      event_id: `e${++lastEvent}`,
      type,
      version: 1,
      aggregate: changes[0]!.order_num,
      occurred_at: new Date().toISOString(),
      changes: changes.map((change) => ({
        ...change,
        generation: 1,
        quantity: 1,
        state: type === "order.created" ? "unpaid" : "cancelled",
        version: 2,
      })),
    }
    yield* bus.publish(Topic.OrderEvents, [{ key: event.aggregate, value: JSON.stringify(event) }])
  })

const stockOf = (id: number) =>
  Effect.flatMap(ReservationStore, (store) => Effect.map(store.readStock([id]), (stocks) => stocks.get(id)))

withLayer(environment, { excludeTestServices: true })("Releases", (it) => {
  it.scoped("cancelled and rejected orders give their stock back once; nothing else does", () =>
    Effect.gen(function* () {
      yield* Layer.build(Releases.layer)
      const bus = yield* EventBus
      const id = yield* product()
      const users = [1, 2, 3, 4]
      const { order_nums } = yield* reserve(
        id,
        users.map((user) => ({ user })),
      )
      const refs = users.map((user_id, i) => ({ product_id: id, user_id, order_num: order_nums[i]! }))
      yield* tell("order.created", refs)
      yield* tell("order.paid", [refs[3]!])
      yield* bus.publish(Topic.OrderEvents, [{ key: "x", value: "not an event" }])
      yield* tell("order.cancelled", refs.slice(0, 2))
      yield* tell("order.cancelled", refs.slice(0, 2))
      yield* tell("order.rejected", [refs[2]!])
      yield* eventually(stockOf(id), (stock) => stock === 99)
      yield* eventually(bus.lag(Releases.GROUP, Topic.OrderEvents), (lag) => lag === 0)
      assert.strictEqual(yield* stockOf(id), 99)
    }),
  )

  it.scoped("while the shard is fenced a release waits, and comes when it is open", () =>
    Effect.gen(function* () {
      yield* Layer.build(Releases.layer)
      const redis = yield* Redis
      const id = yield* product()
      const { order_nums } = yield* reserve(id, [{ user: 1 }])
      yield* redis.run("test", (c) => c.hdel(ShardKeys.fence(Shards.shardOf(id)), "run_id"))
      yield* tell("order.cancelled", [{ product_id: id, user_id: 1, order_num: order_nums[0]! }])
      yield* Effect.sleep("500 millis")
      assert.strictEqual(yield* stockOf(id), 99)
      yield* openShards([id])
      yield* eventually(stockOf(id), (stock) => stock === 100)
    }),
  )
})
