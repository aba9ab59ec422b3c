import { assert, describe, it } from "@effect/vitest"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import * as TestBus from "@floodgate/runtime/testing/TestBus"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { OrderingConfig } from "../OrderingConfig.ts"
import { OrderStore } from "../store/OrderStore.ts"
import { assertConserved, product, query, reservation, storesOn } from "../testing/Fixture.ts"
import * as OrderWorker from "./OrderWorker.ts"
import * as RetryTopics from "./RetryTopics.ts"

const until = <E, R>(what: string, check: Effect.Effect<boolean, E, R>) =>
  check.pipe(
    Effect.flatMap((held) => (held ? Effect.void : Effect.fail(`never happened: ${what}`))),
    Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 600 }),
  )

describe("a message's rest", () => {
  it("is what is left of its delay, and never longer than all of it, whatever clock its sender had", () => {
    assert.strictEqual(RetryTopics.restMs(1_000, 1_400, 1_000), 600)
    assert.strictEqual(RetryTopics.restMs(1_000, 5_000, 1_000), 0)
    assert.strictEqual(RetryTopics.restMs(900_000, 5_000, 1_000), 1_000)
  })
})

describe("the retry topics", () => {
  it.live.skipIf(TestBus.kafkaBrokers() === undefined)(
    "let a failed reservation rest and try it again, while its neighbours pass and other poison goes its way",
    () =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const orders = yield* OrderStore
        const id = yield* product({ stock: 50 })
        const entries = Array.from({ length: 12 }, (_, i) => reservation(id, i + 1))
        const [mended, hopeless] = [entries[0]!, entries[6]!]
        for (const poison of [mended, hopeless]) {
          yield* query(
            "INSERT INTO {inventory}.stock_log (product_id, kind, ref, delta) VALUES (?, 'order', ?, 0)",
            [id, poison.order_num],
          )
        }
        const config = yield* OrderingConfig
        const workers = Layer.merge(
          Consumer.layer(OrderWorker.GROUP, OrderWorker.run),
          RetryTopics.layer.pipe(
            Layer.provide(Layer.succeed(OrderingConfig, { ...config, retryDelaysMs: [1_500, 2_000, 2_500] })),
          ),
        )
        yield* Effect.gen(function* () {
          yield* bus.publish(Topic.Reservations, [
            ...entries.map((e) => ({ key: e.order_num, value: JSON.stringify(e), partition: id % 16 })),
            { key: "junk", value: "{", partition: id % 16 },
          ])
          yield* until(
            "the neighbours have their orders",
            Effect.map(orders.decided(entries.map((e) => e.order_num)), (decided) => decided.length === 10),
          )
          const started = Date.now()
          assert.deepStrictEqual(
            (yield* query("SELECT dedup_key FROM dead_letter WHERE order_num IS NOT NULL")).length,
            0,
          )
          assert.strictEqual((yield* query("SELECT id FROM dead_letter")).length, 1)
          // Mended while it rests: the next try makes its order.
          yield* query("DELETE FROM {inventory}.stock_log WHERE ref = ?", [mended.order_num])
          yield* until(
            "the mended one has its order",
            Effect.map(orders.find(mended.order_num), (row) => row?.state === "unpaid"),
          )
          yield* until(
            "the hopeless one is a dead letter",
            Effect.map(
              query("SELECT id FROM dead_letter WHERE order_num = ? AND attempts = 4", [hopeless.order_num]),
              (rows) => rows.length === 1,
            ),
          )
          // All three rests, less what was over before the clock here started.
          assert.isAbove(Date.now() - started, 4_500)
          assert.isUndefined(yield* orders.find(hopeless.order_num))
          yield* query("DELETE FROM {inventory}.stock_log WHERE ref = ?", [hopeless.order_num])
          assert.strictEqual(yield* assertConserved(id), 50 - 11)
        }).pipe(Effect.provide(workers))
      }).pipe(Effect.provide(storesOn(TestBus.layerKafka))),
    120_000,
  )
})
