import { assert, describe, it } from "@effect/vitest"
import { Topic } from "@floodgate/contracts/events/Topic"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import * as TestBus from "@floodgate/runtime/testing/TestBus"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { OrderStore } from "../store/OrderStore.ts"
import { assertConserved, product, query, reservation, storesOn } from "../testing/Fixture.ts"
import * as OrderWorker from "./OrderWorker.ts"
import * as PaymentEvents from "./PaymentEvents.ts"

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

const until = <E, R>(what: string, check: Effect.Effect<boolean, E, R>) =>
  check.pipe(
    Effect.flatMap((held) => (held ? Effect.void : Effect.fail(`never happened: ${what}`))),
    Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 800 }),
  )

describe("the consumers", () => {
  it.live.skipIf(TestBus.kafkaBrokers() === undefined)(
    "turn what Kafka holds into orders and payments, and a second worker that takes over doubles nothing",
    () =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const orders = yield* OrderStore
        const ids = [yield* product({ stock: 60 }), yield* product({ stock: 60 })]
        const entries = range(0, 200).map((i) => reservation(ids[i % 2]!, i + 1))
        const publish = (from: number, to: number) =>
          bus.publish(
            Topic.Reservations,
            entries.slice(from, to).map((e) => ({
              key: e.order_num,
              value: JSON.stringify(e),
              partition: e.product_id % 16,
            })),
          )
        const decided = (n: number) =>
          Effect.map(orders.decided(entries.map((e) => e.order_num)), (numbers) => numbers.length === n)

        yield* publish(0, 120)
        const first = yield* Effect.fork(OrderWorker.run)
        yield* until("the first 120 are decided", decided(120))
        yield* publish(100, 200)
        const second = yield* Effect.fork(OrderWorker.run)
        yield* Fiber.interrupt(first)
        yield* until("all are decided", decided(200))
        yield* until(
          "the group has read everything",
          Effect.map(bus.lag(OrderWorker.GROUP, Topic.Reservations), (lag) => lag === 0),
        )
        yield* Fiber.interrupt(second)
        for (const id of ids) assert.strictEqual(yield* assertConserved(id), 0)

        const [paid] = yield* query<{ order_num: string; amount: number }>(
          "SELECT order_num, amount FROM `order` WHERE state = 'unpaid' LIMIT 1",
        )
        const payments = yield* Effect.fork(PaymentEvents.run)
        const event = {
          event_id: "captured-1",
          type: "payment.captured",
          version: 1,
          aggregate: paid!.order_num,
          occurred_at: new Date().toISOString(),
          payment_id: "p1",
          order_num: paid!.order_num,
          channel: "balance",
          status: "succeeded",
          amount: paid!.amount,
          currency: "CNY",
          payment_version: 2,
          capture_id: "c1",
        }
        const message = { key: paid!.order_num, value: JSON.stringify(event) }
        yield* bus.publish(Topic.PaymentEvents, [message, message])
        yield* until(
          "the order is paid",
          Effect.map(orders.find(paid!.order_num), (row) => row?.state === "paid"),
        )
        yield* Fiber.interrupt(payments)
      }).pipe(Effect.provide(storesOn(TestBus.layerKafka))),
    120_000,
  )
})
