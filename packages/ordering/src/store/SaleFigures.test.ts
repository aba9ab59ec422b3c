/** The figures of the console's overview, counted in a real MySQL. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { product, query, reservation, stores } from "../testing/Fixture.ts"
import { OrderStore } from "./OrderStore.ts"
import * as SaleFigures from "./SaleFigures.ts"

const range = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

/** All steps together. */
const total = (steps: ReadonlyArray<SaleFigures.Figures>) =>
  steps.reduce(
    (sum, step) => ({
      persisted: sum.persisted + step.persisted,
      paid: sum.paid + step.paid,
      cancelled: sum.cancelled + step.cancelled,
    }),
    { persisted: 0, paid: 0, cancelled: 0 },
  )

layer(stores, { excludeTestServices: true })("the figures of the sale", (it) => {
  it.effect("they are what the books say, step by step, and what is over is counted once", () =>
    Effect.gen(function* () {
      const orders = yield* OrderStore
      const id = yield* product({ stock: 5 })
      // Seven wishes of five: two tombstones, which never were orders.
      yield* orders.createBatch(
        range(7).map((user) => reservation(id, user)),
        [],
      )
      const ago = (seconds: number) => `UTC_TIMESTAMP(3) - INTERVAL ${seconds} SECOND`
      const rows = yield* query<{ id: number }>("SELECT id FROM `order` WHERE state = 'unpaid' ORDER BY id")
      assert.strictEqual(rows.length, 5)
      const [a, b, c, d] = rows.map((row) => row.id)
      // Two came twenty minutes ago; one of them was paid ten minutes ago, the other cancelled five minutes ago.
      yield* query(`UPDATE \`order\` SET created_at = ${ago(1_200)} WHERE id IN (?, ?)`, [a, b])
      yield* query(`UPDATE \`order\` SET state = 'paid', paid_at = ${ago(600)} WHERE id = ?`, [a])
      yield* query(`UPDATE \`order\` SET state = 'cancelled', cancelled_at = ${ago(300)} WHERE id = ?`, [b])
      // A refunded one was paid all the same.
      yield* query("UPDATE `order` SET state = 'refunded', paid_at = UTC_TIMESTAMP(3) WHERE id = ?", [c])

      const figures = yield* SaleFigures.make
      const hour = yield* figures.since(Date.now() - 3_600_000)
      assert.deepStrictEqual(total(hour), { persisted: 5, paid: 2, cancelled: 1 })
      assert.deepStrictEqual(
        hour.map(({ atMs }) => atMs),
        [...hour.map(({ atMs }) => atMs)].sort((one, other) => one - other),
      )
      for (const { atMs } of hour) assert.strictEqual(atMs % SaleFigures.STEP_MS, 0)
      const old = hour.find((step) => step.persisted === 2)
      assert.closeTo(old!.atMs, Date.now() - 1_200_000, 30_000)

      // A shorter window is a part of the longer one.
      const recent = yield* figures.since(Date.now() - 300_000 - 60_000)
      assert.deepStrictEqual(total(recent), { persisted: 3, paid: 1, cancelled: 1 })

      // What is over isn't counted again: what isn't possible in the books would otherwise show here.
      yield* query(`UPDATE \`order\` SET created_at = ${ago(1_200)} WHERE id = ?`, [c])
      yield* query("UPDATE `order` SET state = 'paid', paid_at = UTC_TIMESTAMP(3) WHERE id = ?", [d])
      yield* Effect.sleep(1_100)
      const again = yield* figures.since(Date.now() - 3_600_000)
      assert.strictEqual(again.find((step) => step.atMs === old!.atMs)?.persisted, 2)
      assert.strictEqual(total(again).paid, 3)
    }),
  )

  it.effect("each is counted by its index", () =>
    Effect.gen(function* () {
      for (const [column, index] of [
        ["created_at", "by_created"],
        ["paid_at", "by_paid"],
        ["cancelled_at", "by_cancelled"],
      ]) {
        const [row] = yield* query<{ type: string; key: string }>(
          `EXPLAIN SELECT COUNT(*) FROM \`order\` FORCE INDEX (${index}) WHERE ${column} >= UTC_TIMESTAMP(3)`,
        )
        assert.deepInclude(row, { type: "range", key: index! })
      }
    }),
  )
})
