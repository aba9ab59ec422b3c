import { assert, describe, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LedgerStore } from "./LedgerStore.ts"

const stores = LedgerStore.layer.pipe(
  Layer.provideMerge(TestMysql.layer({ migrations: ["payment"], main: "payment" })),
)

const run = (text: string, params: ReadonlyArray<unknown> = []) =>
  Effect.flatMap(Mysql, (mysql) => mysql.run("plant", mysql.sql.unsafe(text, [...params])))

const intent = (paymentId: string, orderNum: string) =>
  run(
    `INSERT INTO intent (payment_id, order_num, user_id, channel, amount, currency, state)
     VALUES (?, ?, 7, 'sandbox', 900, 'CNY', 'captured')`,
    [paymentId, orderNum],
  )

const capture = (captureId: string, paymentId: string, orderNum: string, state: string) =>
  run(
    `INSERT INTO capture (capture_id, channel, provider_txn_id, payment_id, order_num, amount, currency, state)
     VALUES (?, 'sandbox', ?, ?, ?, 900, 'CNY', ?)`,
    [captureId, captureId, paymentId, orderNum, state],
  )

const refund = (refundId: string, captureId: string, amount: number, state: string) =>
  run(
    `INSERT INTO refund (refund_id, capture_id, payment_id, order_num, user_id, channel, amount, currency, reason, state)
     VALUES (?, ?, 'p', 'n', 7, 'sandbox', ?, 'CNY', 'operator', ?)`,
    [refundId, captureId, amount, state],
  )

describe("payment's ledger", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("tells what came, what went back and what is on its way back", () =>
      Effect.gen(function* () {
        const ledger = yield* LedgerStore
        yield* intent("p1", "n1")
        yield* intent("p2", "n1")
        yield* intent("p3", "n2")
        yield* capture("c1", "p1", "n1", "applied")
        yield* capture("c3", "p3", "n2", "refused")
        yield* capture("c4", "p3", "n2", "new")
        yield* refund("r1", "c1", 400, "succeeded")
        yield* refund("r3", "c3", 900, "pending")

        const [first, ...more] = yield* ledger.read({ _tag: "orders", orderNums: ["n1", "unknown"] })
        assert.deepStrictEqual(more, [])
        assert.strictEqual(first!.paymentId, "p1")
        const { ageMs, ...money } = first!.captures[0]!
        assert.deepStrictEqual(money, {
          captureId: "c1",
          amount: 900,
          state: "applied",
          refunded: 400,
          refunding: 0,
        })
        assert.isAtMost(ageMs, 60_000)

        const named = yield* ledger.read({ _tag: "intents", paymentIds: ["p2", "p3"] })
        assert.deepStrictEqual(
          named.map((i) => [i.paymentId, i.captures.map((c) => [c.captureId, c.refunding]).sort()]),
          [
            ["p2", []],
            [
              "p3",
              [
                ["c3", 900],
                ["c4", 0],
              ],
            ],
          ],
        )
        const page = yield* ledger.read({ _tag: "page", afterId: "p1", limit: 1 })
        assert.deepStrictEqual(
          page.map((i) => i.paymentId),
          ["p2"],
        )
      }),
    )

    it.effect("tells how long the oldest event has waited for the bus", () =>
      Effect.gen(function* () {
        const ledger = yield* LedgerStore
        assert.strictEqual(yield* ledger.outboxOldestMs, 0)
        for (const [bucket, hours, sent] of [
          [3, 5, true],
          [3, 1, false],
          [9, 2, false],
        ] as const) {
          yield* run(
            `INSERT INTO outbox (bucket, event_id, topic, aggregate, type, payload, created_at, sent_at)
             VALUES (?, ?, 't', 'a', 'x', '{}', UTC_TIMESTAMP(3) - INTERVAL ? HOUR, ?)`,
            [bucket, `e${hours}`, hours, sent ? "2026-01-01 00:00:00" : null],
          )
        }
        assert.approximately(yield* ledger.outboxOldestMs, 2 * 3_600_000, 60_000)
      }),
    )
  })
})
