import { assert, describe, layer } from "@effect/vitest"
import { OrderEvent } from "@floodgate/contracts/events/OrderEvent"
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import { retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { assertConserved, PAY_TIMEOUT_MS, product, query, reservation, stores } from "../testing/Fixture.ts"
import { listIndex, OrderStore } from "./OrderStore.ts"

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

const create = (entries: ReadonlyArray<ReservationEvent>) =>
  Effect.flatMap(OrderStore, (orders) => orders.createBatch(entries, []))

const told = Effect.map(
  query<{ type: string; payload: string; aggregate: string }>(
    "SELECT type, payload, aggregate FROM outbox ORDER BY id",
  ),
  (rows) => rows.map((row) => Schema.decodeSync(Schema.parseJson(OrderEvent))(row.payload)),
)

const toldOf = (productId: number) =>
  Effect.map(told, (events) =>
    events.filter((e) => e.changes.some((change) => change.product_id === productId)),
  )

describe("OrderStore.createBatch", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("makes an order of each reservation that fits and a tombstone of each that doesn't", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 3, limit: 2, name: "a red phone" })
        const entries = [
          reservation(id, 1, { quantity: 2, request_id: "one" }),
          reservation(id, 2, { quantity: 1 }),
          reservation(id, 1, { quantity: 1 }),
          reservation(id, 3, { quantity: 1 }),
          reservation(id, 4, { generation: 0 }),
          reservation(id, 5, { generation: 2 }),
        ]
        const result = yield* create(entries)
        assert.deepStrictEqual(
          result.decided.map((d) => [d.event.order_num, d.verdict]),
          entries.map((e, i) => [e.order_num, ["fits", "fits", "limit", "stock", "lost", "generation"][i]!]),
        )
        assert.strictEqual(yield* assertConserved(id), 0)

        const orders = yield* OrderStore
        const first = (yield* orders.find(entries[0]!.order_num))!
        assert.strictEqual(first.state, "unpaid")
        assert.strictEqual(first.amount, 19_800)
        assert.strictEqual(first.currency, "CNY")
        assert.strictEqual(first.product_name, "a red phone")
        assert.strictEqual(first.request_id, "one")
        assert.strictEqual(first.version, 1)
        assert.strictEqual(first.expires_at_ms! - first.created_at_ms, PAY_TIMEOUT_MS)
        assert.isAtMost(Math.abs(first.created_at_ms - Date.now()), 30_000)
        const fourth = (yield* orders.find(entries[3]!.order_num))!
        assert.strictEqual(fourth.state, "rejected")
        assert.strictEqual(fourth.reject_reason, "stock")
        assert.isNull(fourth.expires_at_ms)

        const log = yield* query(
          "SELECT kind, ref, delta FROM {inventory}.stock_log WHERE product_id = ? ORDER BY id",
          [id],
        )
        assert.deepStrictEqual(
          log.map((row) => [row["kind"], row["ref"], row["delta"]]),
          [
            ["order", entries[0]!.order_num, -2],
            ["order", entries[1]!.order_num, -1],
          ],
        )

        const events = yield* toldOf(id)
        assert.deepStrictEqual(
          events.map((e) => [e.type, e.aggregate, e.changes.length]),
          [
            ["order.created", `product:${id}`, 2],
            ["order.rejected", `product:${id}`, 4],
          ],
        )
        assert.deepStrictEqual(events[1]!.changes[0], {
          order_num: entries[2]!.order_num,
          user_id: 1,
          product_id: id,
          generation: 1,
          quantity: 1,
          state: "rejected",
          version: 1,
          reason: "limit",
        })
        const [audit] = yield* query(
          "SELECT after_json FROM audit WHERE target_type = 'product' AND target_id = ?",
          [String(id)],
        )
        assert.deepStrictEqual(JSON.parse(audit!["after_json"]), { created: 2, rejected: 4, stock_taken: 3 })
      }),
    )

    it.effect(
      "the same batch again, or mixed with new entries, changes nothing for those that have a row",
      () =>
        Effect.gen(function* () {
          const id = yield* product({ stock: 5 })
          const entries = range(1, 9).map((user) => reservation(id, user))
          yield* create(entries)
          const before = yield* query("SELECT * FROM `order` WHERE product_id = ? ORDER BY id", [id])
          assert.deepStrictEqual((yield* create(entries)).decided, [])
          const late = reservation(id, 20)
          const again = yield* create([...entries.toReversed(), late, late])
          assert.deepStrictEqual(
            again.decided.map((d) => [d.event.order_num, d.verdict]),
            [[late.order_num, "stock"]],
          )
          const after = yield* query("SELECT * FROM `order` WHERE product_id = ? ORDER BY id", [id])
          assert.deepStrictEqual(after.slice(0, before.length), before)
          assert.strictEqual(after.length, before.length + 1)
          assert.strictEqual(yield* assertConserved(id), 0)
          assert.strictEqual((yield* toldOf(id)).length, 3)
        }),
    )

    it.effect("a tombstone wins: when stock returns, a late copy of the rejected entry gets no order", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 1 })
        const [winner, loser] = [reservation(id, 1), reservation(id, 2)]
        yield* create([winner, loser])
        yield* query(
          "UPDATE {inventory}.product SET stock = stock + 10, initial_stock = initial_stock + 10 WHERE id = ?",
          [id],
        )
        assert.deepStrictEqual((yield* create([loser])).decided, [])
        const orders = yield* OrderStore
        assert.strictEqual((yield* orders.find(loser.order_num))!.state, "rejected")
        assert.strictEqual(yield* assertConserved(id), 10)
        assert.strictEqual((yield* toldOf(id)).filter((e) => e.type === "order.rejected").length, 1)
      }),
    )

    it.effect("workers with overlapping batches make each order once and sell no more than there is", () =>
      Effect.gen(function* () {
        const a = yield* product({ stock: 120 })
        const b = yield* product({ stock: 30 })
        const entries = range(1, 201).flatMap((user) => [reservation(a, user), reservation(b, user)])
        const batches = range(0, 24).map((i) => {
          const from = (i * 37) % entries.length
          const part = entries.slice(from, from + 120)
          return i % 2 === 0 ? part : part.toReversed()
        })
        yield* Effect.forEach(batches, (batch) => retryConflicts(create(batch)), {
          concurrency: 6,
          discard: true,
        })
        yield* retryConflicts(create(entries))
        assert.strictEqual(yield* assertConserved(a), 0)
        assert.strictEqual(yield* assertConserved(b), 0)
        const [count] = yield* query("SELECT COUNT(*) AS n FROM `order` WHERE product_id IN (?, ?)", [a, b])
        assert.strictEqual(count!["n"], entries.length)
        const changes = (yield* told)
          .flatMap((e) => e.changes)
          .filter((c) => c.product_id === a || c.product_id === b)
        assert.strictEqual(changes.length, entries.length)
        assert.strictEqual(new Set(changes.map((c) => c.order_num)).size, entries.length)
      }),
    )

    it.effect(
      "an entry of a product that isn't there, or of a number that is somebody else's, is handed back",
      () =>
        Effect.gen(function* () {
          const id = yield* product({ stock: 5 })
          const known = reservation(id, 1)
          yield* create([known])
          const orphan = reservation(987_654, 1)
          const impostor = { ...reservation(id, 2), order_num: known.order_num }
          const fine = reservation(id, 3)
          const result = yield* create([orphan, impostor, fine])
          assert.deepStrictEqual(result.orphans, [orphan])
          assert.deepStrictEqual(result.impostors, [impostor])
          assert.deepStrictEqual(
            result.decided.map((d) => d.event.order_num),
            [fine.order_num],
          )
          assert.strictEqual(yield* assertConserved(id), 3)
        }),
    )

    it.effect("a batch that fails at its last statement leaves nothing behind", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 5 })
        const entries = [reservation(id, 1), reservation(id, 2)]
        yield* query(
          "INSERT INTO {inventory}.stock_log (product_id, kind, ref, delta) VALUES (?, 'order', ?, 0)",
          [id, entries[1]!.order_num],
        )
        const exit = yield* Effect.exit(create(entries))
        assert.isTrue(Exit.isFailure(exit))
        const orders = yield* OrderStore
        assert.deepStrictEqual(yield* orders.decided(entries.map((e) => e.order_num)), [])
        assert.strictEqual(yield* assertConserved(id), 5)
        assert.deepStrictEqual(yield* toldOf(id), [])
      }),
    )

    it.effect("a barrier is recorded with its batch, and never goes back", () =>
      Effect.gen(function* () {
        const orders = yield* OrderStore
        const id = yield* product({ stock: 5 })
        const e = reservation(id, 1)
        yield* orders.createBatch([e], [{ partition: 3, epoch: 7 }])
        yield* orders.createBatch([], [{ partition: 5, epoch: 8 }])
        yield* orders.createBatch([], [{ partition: 3, epoch: 6 }])
        assert.deepStrictEqual(yield* orders.decided([e.order_num]), [e.order_num])
        assert.deepStrictEqual(yield* orders.barrier(7), [3, 5])
        assert.deepStrictEqual(yield* orders.barrier(8), [5])
        assert.deepStrictEqual(yield* orders.barrier(9), [])
      }),
    )

    it.effect("a batch of 500 with many products and repeated buyers is exact", () =>
      Effect.gen(function* () {
        const ids = yield* Effect.forEach(range(0, 10), (i) => product({ stock: 20 + i, limit: 2 }))
        const entries = range(0, 500).map((i) =>
          reservation(ids[i % ids.length]!, 1 + (i % 37), { quantity: 1 + (i % 2) }),
        )
        const result = yield* create(entries)
        assert.strictEqual(result.decided.length, 500)
        for (const id of ids) yield* assertConserved(id)
      }),
    )
  })
})

describe("OrderStore's reads", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("lists a buyer's orders newest first, page by page, by state and by status", () =>
      Effect.gen(function* () {
        const orders = yield* OrderStore
        const id = yield* product({ stock: 4, limit: 100 })
        const mine = range(0, 6).map(() => reservation(id, 77))
        yield* create([...mine, reservation(id, 78)])
        const all = yield* orders.list({ userId: 77, limit: 100 })
        assert.deepStrictEqual(
          all.map((row) => row.order_num),
          mine.map((e) => e.order_num).toReversed(),
        )
        const second = yield* orders.list({ userId: 77, limit: 2, beforeId: all[1]!.id })
        assert.deepStrictEqual(second, all.slice(2, 4))
        assert.deepStrictEqual(yield* orders.list({ userId: 77, limit: 100, state: "unpaid" }), all.slice(2))
        assert.deepStrictEqual(yield* orders.list({ userId: 77, limit: 100, status: 2 }), all.slice(0, 2))
        assert.deepStrictEqual(yield* orders.list({ userId: 77, limit: 100, status: 0 }), all.slice(2))
        assert.deepStrictEqual(yield* orders.list({ userId: 77, limit: 100, status: 1 }), [])
      }),
    )

    it.effect("tells every reservation of a product, oldest first, and which of them are live", () =>
      Effect.gen(function* () {
        const orders = yield* OrderStore
        const id = yield* product({ stock: 2 })
        const entries = range(1, 4).map((user) => reservation(id, user, { request_id: `r${user}` }))
        yield* create(entries)
        const records = yield* orders.reservations(id, 0, 100)
        assert.deepStrictEqual(
          records.map((r) => [r.order_num, r.user_id, r.quantity, r.request_id, r.live]),
          entries.map((e, i) => [e.order_num, e.user_id, 1, `r${i + 1}`, i < 2]),
        )
        assert.deepStrictEqual(yield* orders.reservations(id, records[0]!.id, 1), [records[1]!])
      }),
    )

    it.effect("finds everybody's orders by any filter, newest first, page by page", () =>
      Effect.gen(function* () {
        const orders = yield* OrderStore
        const [one, two] = [yield* product({ stock: 3 }), yield* product({ stock: 30 })]
        const entries = range(1, 6).flatMap((user) => [reservation(one, user), reservation(two, user)])
        yield* create(entries)
        const [clock] = yield* query<{ now_ms: number }>(
          "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS now_ms",
        )
        const own = entries.map((e) => e.order_num)
        const listed = (filter: Partial<Parameters<typeof orders.list>[0]>) =>
          Effect.map(orders.list({ limit: 100, ...filter }), (rows) =>
            rows.filter((r) => own.includes(r.order_num)).map((r) => [r.product_id, r.user_id]),
          )
        assert.deepStrictEqual(yield* listed({ productId: one, state: "rejected" }), [
          [one, 5],
          [one, 4],
        ])
        assert.deepStrictEqual(yield* listed({ productId: one, state: "unpaid" }), [
          [one, 3],
          [one, 2],
          [one, 1],
        ])
        assert.deepStrictEqual(yield* listed({ productId: two, userId: 4 }), [[two, 4]])
        assert.deepStrictEqual(yield* listed({ orderNum: own[3] }), [[two, 2]])
        assert.deepStrictEqual(yield* listed({ orderNum: own[3], userId: 1 }), [])
        const first = yield* orders.list({ limit: 3, productId: two })
        const rest = yield* orders.list({ limit: 3, productId: two, beforeId: first[2]!.id })
        assert.deepStrictEqual(
          [...first, ...rest].map((r) => r.user_id),
          [5, 4, 3, 2, 1],
        )
        const now = clock!.now_ms
        assert.strictEqual((yield* listed({ fromMs: now - 60_000, toMs: now + 1_000 })).length, 10)
        assert.deepStrictEqual(yield* listed({ fromMs: now + 1_000 }), [])
        assert.deepStrictEqual(yield* listed({ fromMs: now + 60_000 }), [])
        assert.deepStrictEqual(yield* listed({ toMs: now - 60_000 }), [])
        // A minute ago by MySQL's clock: the bounds are those of the rows, not of the ids around them.
        yield* query(
          "UPDATE `order` SET created_at = created_at - INTERVAL 60 SECOND WHERE order_num IN (?, ?)",
          [own[0], own[1]],
        )
        assert.strictEqual((yield* listed({ fromMs: now - 30_000 })).length, 8)
      }),
    )

    it.effect("no filter of the lists reads a whole table or sorts", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 1_000 })
        yield* create(range(1, 300).map((user) => reservation(id, user)))
        const filters = [
          {},
          { userId: 5 },
          { productId: id },
          { state: "unpaid" as const },
          { state: "paid" as const },
          { productId: id, state: "paid" as const },
          { productId: id, state: "refunding" as const },
          { userId: 5, productId: id, state: "cancelled" as const },
          { orderNum: "x".repeat(38) },
        ]
        const column = { userId: "user_id", productId: "product_id", state: "state", orderNum: "order_num" }
        for (const filter of filters) {
          const index = listIndex(filter)
          const where = Object.keys(filter).map((name) => `o.${column[name as keyof typeof column]} = ?`)
          const rows = yield* query<{ type: string; key: string | null; Extra: string | null }>(
            `EXPLAIN SELECT o.* FROM \`order\` o FORCE INDEX (${index})
              WHERE ${["o.id >= 0", "o.id < 1000000", ...where].join(" AND ")} ORDER BY o.id DESC LIMIT 21`,
            Object.values(filter),
          )
          const [row] = rows
          // An absent number is known from the index alone, without a plan.
          if (index === "order_num" && (row === undefined || row.key === null)) continue
          assert.strictEqual(row!.key, index, JSON.stringify(filter))
          assert.notStrictEqual(row!.type, "ALL")
          assert.notInclude(row!.Extra ?? "", "filesort", JSON.stringify(filter))
        }
        const [span] = yield* query<{ type: string; key: string; Extra: string }>(
          "EXPLAIN SELECT id FROM `order` FORCE INDEX (by_created) WHERE created_at >= UTC_TIMESTAMP(3) ORDER BY created_at, id LIMIT 1",
        )
        assert.deepInclude(span, { type: "range", key: "by_created" })
        assert.notInclude(span!.Extra, "filesort")
      }),
    )

    it.effect("every hot query uses an index", () =>
      Effect.gen(function* () {
        const id = yield* product({ stock: 1_000 })
        yield* create(range(1, 400).map((user) => reservation(id, user)))
        const explain = (text: string, params: ReadonlyArray<unknown>) =>
          Effect.map(
            query<{ table: string; type: string; key: string | null }>(`EXPLAIN ${text}`, params),
            (rows) => rows.filter((row) => row.table === "o").map((row) => [row.type, row.key]),
          )
        assert.deepStrictEqual(
          yield* explain("SELECT * FROM `order` o WHERE o.order_num = ?", ["x".repeat(38)]),
          [],
        )
        assert.deepStrictEqual(
          yield* explain(
            "SELECT o.id FROM `order` o FORCE INDEX (by_user) WHERE o.user_id = ? AND o.id < ? ORDER BY o.id DESC LIMIT 20",
            [5, 1_000],
          ),
          [["range", "by_user"]],
        )
        assert.deepStrictEqual(
          yield* explain(
            "SELECT o.id FROM `order` o FORCE INDEX (by_cancel) WHERE o.state = 'unpaid' AND o.cancel_requested_at IS NULL AND o.expires_at <= UTC_TIMESTAMP(3) ORDER BY o.expires_at LIMIT 200",
            [],
          ),
          [["range", "by_cancel"]],
        )
      }),
    )
  })
})
