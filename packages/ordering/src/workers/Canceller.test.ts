import { assert, describe, layer } from "@effect/vitest"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import { CloseOutcome } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { CancelStore } from "../store/CancelStore.ts"
import { OrderStore } from "../store/OrderStore.ts"
import { PaymentStore } from "../store/PaymentStore.ts"
import { assertConserved, payment, product, query, reservation, stores } from "../testing/Fixture.ts"
import * as CancellerModule from "./Canceller.ts"
import { Canceller } from "./Canceller.ts"
import * as CancelSweep from "./CancelSweep.ts"
import * as TimeoutSweep from "./TimeoutSweep.ts"

/** What the payment of this file answers, by order; `closed` where a test says nothing. */
const answers = new Map<string, () => CloseOutcome | "down">()
const asked: Array<string> = []

const closeOrder = (orderNum: string) =>
  Effect.sync(() => {
    asked.push(orderNum)
    return answers.get(orderNum)?.() ?? CloseOutcome.CLOSED
  }).pipe(Effect.zipLeft(Effect.yieldNow()))

/** Hundreds of transactions, where everybody else wants the machine, too. */
const BUSY_MS = 300_000

/** Transactions that finish cancels: how many orders each had, and how many were under way at once at most. */
const finishes: Array<number> = []
let finishing = 0
let mostFinishing = 0

const counted = Layer.effect(
  CancelStore,
  Effect.map(CancelStore, (cancels) => ({
    ...cancels,
    finish: (orders: Parameters<typeof cancels.finish>[0]) =>
      Effect.suspend(() => {
        finishes.push(orders.length)
        mostFinishing = Math.max(mostFinishing, ++finishing)
        return Effect.ensuring(
          cancels.finish(orders),
          Effect.sync(() => finishing--),
        )
      }),
  })),
)

const cancelling = CancellerModule.layer.pipe(
  Layer.provide(payment(closeOrder)),
  Layer.provideMerge(counted),
  Layer.provideMerge(stores),
)

const ordered = Effect.fnUntraced(function* (productId: number, userId: number) {
  const orders = yield* OrderStore
  const entry = reservation(productId, userId)
  yield* orders.createBatch([entry], [])
  return entry.order_num
})

const wish = (orderNum: string, reason: "user" | "operator" = "user") => ({
  orderNum,
  reason,
  actorId: 1,
  note: "changed my mind",
})

const stateOf = (orderNum: string) =>
  Effect.flatMap(OrderStore, (orders) => Effect.map(orders.find(orderNum), (row) => row!.state))

const captured = (orderNum: string, captureId: string): PaymentEvent => ({
  event_id: `event-${captureId}`,
  type: "payment.captured",
  version: 1,
  aggregate: orderNum,
  occurred_at: new Date().toISOString(),
  payment_id: `payment-${captureId}`,
  order_num: orderNum,
  channel: "sandbox",
  status: "succeeded",
  amount: 9900,
  currency: "CNY",
  payment_version: 3,
  capture_id: captureId,
})

const eventsOf = (orderNum: string) =>
  Effect.map(
    query<{ type: string }>("SELECT type FROM outbox WHERE aggregate = ? ORDER BY id", [orderNum]),
    (rows) => rows.map((row) => row.type),
  )

/** Lets the quiet time of unfinished cancels pass. */
const makeQuiet = query(
  "UPDATE `order` SET cancel_asked_at = cancel_asked_at - INTERVAL 1 MINUTE WHERE state = 'unpaid'",
)

describe("cancelling", () => {
  layer(cancelling, { excludeTestServices: true })((it) => {
    it.effect(
      "gives the stock back once, however many ask at the same time",
      () =>
        Effect.gen(function* () {
          const canceller = yield* Canceller
          const id = yield* product({ stock: 2 })
          const orderNum = yield* ordered(id, 1)
          yield* ordered(id, 2)
          const answered = yield* Effect.forEach(
            Array.from({ length: 20 }),
            () => canceller.cancel(wish(orderNum)),
            { concurrency: "unbounded" },
          )
          for (const { closing, order } of answered) {
            assert.strictEqual(closing, "done")
            assert.strictEqual(order.state, "cancelled")
            assert.strictEqual(order.cancel_reason, "user")
            assert.strictEqual(order.version, 2)
            assert.isNull(order.paid_at_ms)
          }
          assert.strictEqual(yield* assertConserved(id), 1)
          assert.deepStrictEqual(yield* eventsOf(orderNum), ["order.cancelled"])
          const audit = yield* query("SELECT actor_id, action, reason FROM audit WHERE target_id = ?", [
            orderNum,
          ])
          assert.deepStrictEqual(audit, [{ actor_id: 1, action: "order.cancel", reason: "changed my mind" }])
          // The buyer may buy again.
          const again = yield* ordered(id, 1)
          assert.strictEqual(yield* stateOf(again), "unpaid")
          assert.strictEqual(yield* assertConserved(id), 0)
        }),
      BUSY_MS,
    )

    it.effect(
      "takes many of one product together, one transaction at a time",
      () =>
        Effect.gen(function* () {
          const canceller = yield* Canceller
          const many = 40
          const id = yield* product({ stock: many })
          const numbers = yield* Effect.forEach(Array.from({ length: many }), (_, i) => ordered(id, i + 1))
          finishes.length = 0
          mostFinishing = 0
          const answered = yield* Effect.forEach(numbers, (number) => canceller.cancel(wish(number)), {
            concurrency: "unbounded",
          })
          assert.isTrue(
            answered.every(({ closing, order }) => closing === "done" && order.state === "cancelled"),
          )
          assert.strictEqual(mostFinishing, 1)
          assert.strictEqual(
            finishes.reduce((sum, n) => sum + n, 0),
            many,
          )
          assert.isBelow(finishes.length, many)
          assert.strictEqual(yield* assertConserved(id), many)
        }),
      BUSY_MS,
    )

    it.effect("is refused where money was found, and goes on where it turns out to be refunded", () =>
      Effect.gen(function* () {
        const canceller = yield* Canceller
        const id = yield* product({ stock: 2 })
        const orderNum = yield* ordered(id, 1)
        answers.set(orderNum, () => CloseOutcome.CAPTURED)
        const refused = yield* Effect.either(canceller.cancel(wish(orderNum)))
        assert.isTrue(Either.isLeft(refused))
        if (Either.isLeft(refused)) {
          assert.strictEqual(refused.left._tag, "WrongState")
          assert.propertyVal(refused.left, "state", "paid")
        }
        assert.strictEqual(yield* stateOf(orderNum), "unpaid")
        const payments = yield* PaymentStore
        yield* payments.apply({ ...captured(orderNum, "wrong-amount"), amount: 1 })
        assert.strictEqual(yield* stateOf(orderNum), "unpaid")
        answers.delete(orderNum)
        yield* makeQuiet
        yield* CancelSweep.page(0)
        assert.strictEqual(yield* stateOf(orderNum), "cancelled")
        assert.strictEqual(yield* assertConserved(id), 2)
      }),
    )

    it.effect("of a paid order is refused with its state", () =>
      Effect.gen(function* () {
        const canceller = yield* Canceller
        const payments = yield* PaymentStore
        const id = yield* product({ stock: 2 })
        const orderNum = yield* ordered(id, 1)
        yield* payments.apply(captured(orderNum, "paid-first"))
        const refused = yield* Effect.flip(canceller.cancel(wish(orderNum)))
        assert.propertyVal(refused, "state", "paid")
        assert.strictEqual(yield* assertConserved(id), 1)
        assert.deepStrictEqual(yield* eventsOf(orderNum), ["order.paid"])
      }),
    )

    it.effect("waits for a silent provider with the stock held, and is over after 60 s", () =>
      Effect.gen(function* () {
        const canceller = yield* Canceller
        const id = yield* product({ stock: 1 })
        const orderNum = yield* ordered(id, 1)
        answers.set(orderNum, () => CloseOutcome.PENDING)
        const { closing, order } = yield* canceller.cancel(wish(orderNum))
        assert.strictEqual(closing, "pending")
        assert.strictEqual(order.state, "unpaid")
        yield* makeQuiet
        yield* CancelSweep.page(0)
        assert.strictEqual(yield* stateOf(orderNum), "unpaid")
        assert.strictEqual(yield* assertConserved(id), 0)
        yield* query(
          "UPDATE `order` SET cancel_requested_at = cancel_requested_at - INTERVAL 60 SECOND WHERE order_num = ?",
          [orderNum],
        )
        yield* makeQuiet
        yield* CancelSweep.page(0)
        assert.strictEqual(yield* stateOf(orderNum), "cancelled")
        assert.strictEqual(yield* assertConserved(id), 1)
        // Money that comes now goes back.
        const payments = yield* PaymentStore
        const applied = yield* payments.apply(captured(orderNum, "too-late"))
        assert.deepStrictEqual(applied, { _tag: "applied", capture: { _tag: "refuse", reason: "cancelled" } })
        assert.deepStrictEqual(yield* eventsOf(orderNum), ["order.cancelled", "order.payment_refused"])
        const row = (yield* (yield* OrderStore).find(orderNum))!
        assert.strictEqual(row.state, "cancelled")
        assert.isNull(row.paid_at_ms)
      }),
    )

    it.effect("is never forced while payment itself can't be asked, since its gate may be open", () =>
      Effect.gen(function* () {
        const canceller = yield* Canceller
        const id = yield* product({ stock: 1 })
        const orderNum = yield* ordered(id, 1)
        answers.set(orderNum, () => "down")
        assert.strictEqual((yield* canceller.cancel(wish(orderNum))).closing, "unreachable")
        yield* query(
          "UPDATE `order` SET cancel_requested_at = cancel_requested_at - INTERVAL 1 HOUR WHERE order_num = ?",
          [orderNum],
        )
        yield* makeQuiet
        yield* CancelSweep.page(0)
        assert.strictEqual(yield* stateOf(orderNum), "unpaid")
        answers.delete(orderNum)
        yield* makeQuiet
        yield* CancelSweep.page(0)
        assert.strictEqual(yield* stateOf(orderNum), "cancelled")
        assert.strictEqual(yield* assertConserved(id), 1)
      }),
    )

    it.effect("by time takes only orders past their time, and two sweeps at once cancel each once", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 300 })
        const orders = yield* OrderStore
        const entries = Array.from({ length: 260 }, (_, i) => reservation(id, i + 1))
        yield* orders.createBatch(entries, [])
        const due = entries.slice(0, 250).map((e) => e.order_num)
        yield* query(
          `UPDATE \`order\` SET expires_at = UTC_TIMESTAMP(3) WHERE product_id = ? ORDER BY id LIMIT ${due.length}`,
          [id],
        )
        asked.length = 0
        yield* Effect.all([TimeoutSweep.page, TimeoutSweep.page], { concurrency: 2 })
        const states = yield* query<{ state: string; cancel_reason: string | null; n: number }>(
          "SELECT state, cancel_reason, COUNT(*) AS n FROM `order` WHERE product_id = ? GROUP BY state, cancel_reason ORDER BY state",
          [id],
        )
        assert.deepStrictEqual(states, [
          { state: "cancelled", cancel_reason: "timeout", n: 250 },
          { state: "unpaid", cancel_reason: null, n: 10 },
        ])
        assert.strictEqual(new Set(asked).size, asked.length)
        assert.strictEqual(yield* assertConserved(id), 290)
      }),
    )

    it.effect("that lost its process after the first step is finished by the sweep", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 1 })
        const orderNum = yield* ordered(id, 1)
        yield* query(
          `UPDATE \`order\` SET cancel_requested_at = UTC_TIMESTAMP(3), cancel_requested_reason = 'operator',
            cancel_asked_at = UTC_TIMESTAMP(3) WHERE order_num = ?`,
          [orderNum],
        )
        yield* CancelSweep.page(CancelSweep.QUIET_MS)
        assert.strictEqual(yield* stateOf(orderNum), "unpaid")
        yield* makeQuiet
        yield* Effect.all([CancelSweep.page(CancelSweep.QUIET_MS), CancelSweep.page(CancelSweep.QUIET_MS)], {
          concurrency: 2,
        })
        const row = (yield* (yield* OrderStore).find(orderNum))!
        assert.strictEqual(row.cancel_reason, "operator")
        assert.strictEqual(yield* assertConserved(id), 1)
      }),
    )

    it.effect(
      "races the capture 100 times: paid xor cancelled, stock back once, money answered once",
      () =>
        Effect.gen(function* () {
          const canceller = yield* Canceller
          const payments = yield* PaymentStore
          const id = yield* product({ stock: 100 })
          let paid = 0
          for (let i = 1; i <= 100; i++) {
            const orderNum = yield* ordered(id, i)
            const event = captured(orderNum, `race-${i}`)
            // Every other time the money comes at the moment the gate is shut: the two last steps meet.
            const latch = yield* Effect.makeLatch(i % 2 === 0)
            answers.set(orderNum, () => {
              latch.unsafeOpen()
              return i % 3 === 0 ? CloseOutcome.CAPTURED : CloseOutcome.CLOSED
            })
            const pay = latch.whenOpen(
              Effect.delay(retryConflicts(payments.apply(event)), i % 2 === 0 ? 0 : (i % 9) / 2),
            )
            const cancel = Effect.either(canceller.cancel(wish(orderNum)))
            yield* Effect.all([cancel, pay, cancel, pay], { concurrency: "unbounded", discard: true })
            const row = (yield* (yield* OrderStore).find(orderNum))!
            const events = yield* eventsOf(orderNum)
            if (row.state === "paid") {
              paid += 1
              assert.isNull(row.cancelled_at_ms)
              assert.isNotNull(row.paid_at_ms)
              assert.strictEqual(row.capture_id, event.capture_id)
              assert.deepStrictEqual(events, ["order.paid"])
            } else {
              assert.strictEqual(row.state, "cancelled")
              assert.isNull(row.paid_at_ms)
              assert.deepStrictEqual(events, ["order.cancelled", "order.payment_refused"])
            }
          }
          assert.strictEqual(yield* assertConserved(id), 100 - paid)
          // The race is one: neither side wins always.
          assert.isAbove(paid, 0)
          assert.isBelow(paid, 100)
        }),
      BUSY_MS,
    )
  })
})
