import { assert, describe, layer } from "@effect/vitest"
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { OrderStore } from "../store/OrderStore.ts"
import { assertConserved, message, product, query, reservation, stores } from "../testing/Fixture.ts"
import * as PaymentEvents from "./PaymentEvents.ts"

let counter = 0

const event = (orderNum: string, o: Partial<PaymentEvent> = {}): PaymentEvent => ({
  event_id: `e-${++counter}`,
  type: "payment.updated",
  version: 1,
  aggregate: orderNum,
  occurred_at: "2026-11-11T00:00:00.000Z",
  payment_id: "p1",
  order_num: orderNum,
  channel: "balance",
  status: "processing",
  amount: 9900,
  currency: "CNY",
  payment_version: 1,
  ...o,
})

const capture = (orderNum: string, captureId: string, o: Partial<PaymentEvent> = {}) =>
  event(orderNum, {
    type: "payment.captured",
    status: "succeeded",
    payment_version: 5,
    capture_id: captureId,
    ...o,
  })

const handle = (...events: ReadonlyArray<PaymentEvent | string>) =>
  Effect.flatMap(PaymentEvents.makeHandler, (handler) =>
    handler(events.map((e) => ({ ...message(e), topic: Topic.PaymentEvents }))),
  )

const ordered = Effect.gen(function* () {
  const id = yield* product({ stock: 1 })
  const entry = reservation(id, 1)
  yield* (yield* OrderStore).createBatch([entry], [])
  return { id, orderNum: entry.order_num, entry }
})

const find = (orderNum: string) =>
  Effect.flatMap(OrderStore, (orders) => Effect.map(orders.find(orderNum), (row) => row!))

const told = (orderNum: string) =>
  Effect.map(
    query<{ payload: string }>("SELECT payload FROM outbox WHERE aggregate = ? ORDER BY id", [orderNum]),
    (rows) =>
      rows.map((row) => {
        const { changes, type } = Schema.decodeSync(Schema.parseJson(OrderEvent))(row.payload)
        return [type, changes[0]!.capture_id, changes[0]!.state, changes[0]!.reason]
      }),
  )

describe("payment's events", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("show the newest payment of an order", () =>
      Effect.gen(function* () {
        const { orderNum } = yield* ordered
        yield* handle(
          event(orderNum, { payment_id: "a", payment_version: 2, status: "requires_action" }),
          event(orderNum, { payment_id: "a", payment_version: 1, status: "processing" }),
        )
        const first = yield* find(orderNum)
        assert.deepStrictEqual([first.payment_id, first.payment_status], ["a", "requires_action"])
        yield* handle(
          event(orderNum, { payment_id: "a", payment_version: 3, status: "declined" }),
          event(orderNum, { payment_id: "b", channel: "sandbox", status: "processing" }),
        )
        const second = yield* find(orderNum)
        assert.deepStrictEqual(
          [second.payment_id, second.payment_channel, second.payment_status, second.state],
          ["b", "sandbox", "processing", "unpaid"],
        )
        assert.strictEqual(second.version, 4)
      }),
    )

    it.effect("make an order paid once, whatever is repeated, and send a second capture back", () =>
      Effect.gen(function* () {
        const { id, orderNum } = yield* ordered
        const money = capture(orderNum, "c1")
        yield* handle(money, money)
        yield* handle({ ...money, event_id: "told-anew" }, money)
        yield* handle(capture(orderNum, "c2", { payment_id: "p2" }))
        const row = yield* find(orderNum)
        assert.strictEqual(row.state, "paid")
        assert.strictEqual(row.capture_id, "c1")
        assert.isNotNull(row.paid_at_ms)
        assert.deepStrictEqual(yield* told(orderNum), [
          ["order.paid", "c1", "paid", undefined],
          ["order.payment_refused", "c2", "paid", "paid"],
        ])
        assert.strictEqual(yield* assertConserved(id), 0)
      }),
    )

    it.effect("send back a capture of another amount or currency, and of a rejected order", () =>
      Effect.gen(function* () {
        const { id, orderNum } = yield* ordered
        yield* handle(
          capture(orderNum, "less", { amount: 9899 }),
          capture(orderNum, "usd", { currency: "USD" }),
        )
        assert.strictEqual((yield* find(orderNum)).state, "unpaid")
        const late = reservation(id, 2)
        yield* (yield* OrderStore).createBatch([late], [])
        yield* handle(capture(late.order_num, "late"))
        assert.deepStrictEqual(yield* told(orderNum), [
          ["order.payment_refused", "less", "unpaid", "mismatch"],
          ["order.payment_refused", "usd", "unpaid", "mismatch"],
        ])
        assert.deepStrictEqual(yield* told(late.order_num), [
          ["order.payment_refused", "late", "rejected", "rejected"],
        ])
      }),
    )

    it.effect("that come before their order are kept, hold nobody up, and are applied once it is there", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 1 })
        const entry = reservation(id, 1)
        const { orderNum } = yield* ordered
        const early = capture(entry.order_num, "early")
        yield* handle(early, capture(orderNum, "neighbour"), early)
        assert.strictEqual((yield* find(orderNum)).state, "paid")
        yield* query("UPDATE parked_payment SET next_at = UTC_TIMESTAMP(3)")
        yield* PaymentEvents.parkedPage
        yield* (yield* OrderStore).createBatch([entry], [])
        assert.strictEqual((yield* find(entry.order_num)).state, "unpaid")
        // Put off after the try above; its time comes.
        assert.deepStrictEqual(
          yield* query("SELECT id FROM parked_payment WHERE next_at <= UTC_TIMESTAMP(3)"),
          [],
        )
        yield* query("UPDATE parked_payment SET next_at = UTC_TIMESTAMP(3)")
        yield* PaymentEvents.parkedPage
        assert.strictEqual((yield* find(entry.order_num)).state, "paid")
        assert.deepStrictEqual(yield* query("SELECT id FROM parked_payment"), [])
        yield* handle(early)
        assert.strictEqual((yield* told(entry.order_num)).length, 1)
      }),
    )

    it.effect(
      "that can't be read, or fail by themselves, become dead letters beside neighbours that are applied",
      () =>
        Effect.gen(function* () {
          const { orderNum } = yield* ordered
          yield* handle(
            "{not json",
            event(orderNum, { event_id: "x".repeat(80) }),
            JSON.stringify({ ...event(orderNum), type: "payment.exploded" }),
            event(orderNum, { type: "payment.captured" }),
            capture(orderNum, "fine"),
          )
          assert.strictEqual((yield* find(orderNum)).state, "paid")
          const letters = yield* query("SELECT topic, state FROM dead_letter")
          assert.deepStrictEqual(
            letters,
            Array.from({ length: 4 }, () => ({ topic: Topic.PaymentEvents, state: "open" })),
          )
        }),
    )

    it.effect("take a paid order through an operator's refund, and back to paid where it failed", () =>
      Effect.gen(function* () {
        const { id, orderNum } = yield* ordered
        const refund = {
          refund_id: "op1",
          amount: 9900,
          status: "pending" as "pending" | "succeeded" | "failed",
          reason: "broken on arrival",
          created_at: "2026-11-11T00:00:01.000Z",
          succeeded_at: null as string | null,
        }
        const tell = (more: Partial<typeof refund> = {}, o: Partial<PaymentEvent> = {}) =>
          handle(
            event(orderNum, {
              type: "refund.updated",
              capture_id: "op-c1",
              refund: { ...refund, ...more },
              ...o,
            }),
          )
        yield* handle(capture(orderNum, "op-c1"))
        const paid = yield* find(orderNum)
        // Money that came twice goes back without touching the order.
        yield* tell({ refund_id: "late1" }, { capture_id: "op-c2" })
        assert.deepInclude(yield* find(orderNum), { state: "paid", refund_id: "late1" })
        yield* tell()
        assert.deepInclude(yield* find(orderNum), {
          state: "refunding",
          refund_status: "pending",
          refund_id: "op1",
        })
        yield* tell({ refund_id: "late1", status: "succeeded" }, { capture_id: "op-c2" })
        assert.deepInclude(yield* find(orderNum), { state: "refunding", refund_id: "op1" })
        yield* tell({ status: "failed" })
        assert.deepInclude(yield* find(orderNum), { state: "paid", refund_status: "failed" })
        yield* tell()
        yield* tell({ status: "succeeded", succeeded_at: "2026-11-11T00:00:02.000Z" })
        yield* tell({ status: "failed" })
        yield* tell()
        const done = yield* find(orderNum)
        assert.deepInclude(done, {
          state: "refunded",
          refund_status: "succeeded",
          paid_at_ms: paid.paid_at_ms,
        })
        assert.deepStrictEqual(yield* told(orderNum), [
          ["order.paid", "op-c1", "paid", undefined],
          ["order.refunding", "op-c1", "refunding", refund.reason],
          ["order.refund_failed", "op-c1", "paid", refund.reason],
          ["order.refunding", "op-c1", "refunding", refund.reason],
          ["order.refunded", "op-c1", "refunded", refund.reason],
        ])
        // A refund returns money, not stock.
        assert.strictEqual(yield* assertConserved(id), 0)
        const versions = yield* query<{ payload: string }>(
          "SELECT payload FROM outbox WHERE aggregate = ? ORDER BY id DESC LIMIT 1",
          [orderNum],
        )
        assert.strictEqual(JSON.parse(versions[0]!.payload).changes[0].version, done.version)
      }),
    )

    it.effect("make a refund that was over before anyone told of it two steps", () =>
      Effect.gen(function* () {
        const { orderNum } = yield* ordered
        yield* handle(
          capture(orderNum, "c9"),
          event(orderNum, {
            type: "refund.updated",
            refund: {
              refund_id: "quick",
              amount: 9900,
              status: "succeeded",
              reason: "to the wallet",
              created_at: "2026-11-11T00:00:01.000Z",
              succeeded_at: "2026-11-11T00:00:01.000Z",
            },
          }),
        )
        assert.strictEqual((yield* find(orderNum)).state, "refunded")
        assert.deepStrictEqual(
          (yield* told(orderNum)).map(([type]) => type),
          ["order.paid", "order.refunding", "order.refunded"],
        )
      }),
    )

    it.effect("show the refund of late money on an order that stays as it is", () =>
      Effect.gen(function* () {
        const { orderNum } = yield* ordered
        yield* query("UPDATE `order` SET state = 'cancelled' WHERE order_num = ?", [orderNum])
        const refund = {
          refund_id: "r1",
          amount: 9900,
          status: "pending" as const,
          reason: "late",
          created_at: "2026-11-11T00:00:01.000Z",
          succeeded_at: null,
        }
        yield* handle(event(orderNum, { type: "refund.updated", refund }))
        yield* handle(
          event(orderNum, {
            type: "refund.updated",
            refund: { ...refund, status: "succeeded", succeeded_at: "2026-11-11T00:00:02.500Z" },
          }),
          event(orderNum, { type: "refund.updated", refund }),
        )
        const row = yield* find(orderNum)
        assert.strictEqual(row.state, "cancelled")
        assert.deepStrictEqual(
          [row.refund_id, row.refund_amount, row.refund_status, row.refund_reason],
          ["r1", 9900, "succeeded", "late"],
        )
        assert.strictEqual(row.refund_created_at_ms, Date.parse(refund.created_at))
        assert.strictEqual(row.refund_succeeded_at_ms, Date.parse("2026-11-11T00:00:02.500Z"))
      }),
    )
  })
})
