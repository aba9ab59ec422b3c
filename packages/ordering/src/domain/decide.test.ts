import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { decide, type Entry, type ProductState, purchaseKey } from "./decide.ts"

const entry = (user_id: number, o: Partial<Entry> = {}): Entry => ({
  user_id,
  product_id: 1,
  generation: 1,
  quantity: 1,
  ...o,
})

const products = (...rows: ReadonlyArray<ProductState>) => new Map(rows.map((row) => [row.id, row]))

const thing = (o: Partial<ProductState> = {}): ProductState => ({
  id: 1,
  stock: 10,
  generation: 1,
  per_user_limit: 1,
  ...o,
})

describe("decide", () => {
  it("gives the stock to the first entries, and nothing to the rest", () => {
    const { taken, verdicts } = decide(
      [entry(1), entry(2), entry(3)],
      products(thing({ stock: 2 })),
      new Map(),
    )
    assert.deepStrictEqual(verdicts, ["fits", "fits", "stock"])
    assert.deepStrictEqual([...taken], [[1, 2]])
  })

  it("lets a smaller wish have what a larger one before it could not", () => {
    const { verdicts } = decide(
      [entry(1, { quantity: 3 }), entry(2, { quantity: 2 })],
      products(thing({ stock: 2, per_user_limit: 5 })),
      new Map(),
    )
    assert.deepStrictEqual(verdicts, ["stock", "fits"])
  })

  it("counts what the buyer holds already, and what the batch gave before", () => {
    const limit3 = products(thing({ per_user_limit: 3 }))
    const { bought, verdicts } = decide(
      [entry(1), entry(1), entry(1), entry(2, { quantity: 3 }), entry(2)],
      limit3,
      new Map([[purchaseKey(1, 1), 1]]),
    )
    assert.deepStrictEqual(verdicts, ["fits", "fits", "limit", "fits", "limit"])
    assert.deepStrictEqual(
      [...bought],
      [
        [purchaseKey(1, 1), 2],
        [purchaseKey(1, 2), 3],
      ],
    )
  })

  it("calls an entry of an older generation lost, and one of a newer generation unknown", () => {
    const { taken, verdicts } = decide(
      [entry(1, { generation: 1 }), entry(2, { generation: 2 }), entry(3, { generation: 3 })],
      products(thing({ generation: 2 })),
      new Map(),
    )
    assert.deepStrictEqual(verdicts, ["lost", "fits", "generation"])
    assert.deepStrictEqual([...taken], [[1, 1]])
  })

  it("judges by the generation first, then the limit, then the stock", () => {
    const none = products(thing({ stock: 0 }))
    const full = new Map([[purchaseKey(1, 1), 1]])
    assert.deepStrictEqual(decide([entry(1, { generation: 0 })], none, full).verdicts, ["lost"])
    assert.deepStrictEqual(decide([entry(1)], none, full).verdicts, ["limit"])
    assert.deepStrictEqual(decide([entry(2)], none, full).verdicts, ["stock"])
  })

  const scene = FastCheck.record({
    products: FastCheck.array(
      FastCheck.record({
        stock: FastCheck.nat(30),
        generation: FastCheck.integer({ min: 1, max: 3 }),
        per_user_limit: FastCheck.integer({ min: 1, max: 4 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    held: FastCheck.array(FastCheck.tuple(FastCheck.nat(2), FastCheck.nat(6), FastCheck.nat(4))),
    entries: FastCheck.array(
      FastCheck.record({
        product: FastCheck.nat(2),
        user_id: FastCheck.nat(6),
        generation: FastCheck.integer({ min: 1, max: 3 }),
        quantity: FastCheck.integer({ min: 1, max: 4 }),
      }),
      { maxLength: 60 },
    ),
  })

  type Scene = typeof scene extends FastCheck.Arbitrary<infer A> ? A : never

  const build = (s: Scene) => {
    const rows: ReadonlyArray<ProductState> = s.products.map((p, id) => ({ id, ...p }))
    const map = products(...rows)
    const live = new Map<string, number>()
    for (const [p, user, quantity] of s.held) {
      const row = rows[p % rows.length]!
      live.set(purchaseKey(row.id, user), Math.min(quantity, row.per_user_limit))
    }
    const entries: ReadonlyArray<Entry> = s.entries.map(({ product, ...e }) => ({
      ...e,
      product_id: rows[product % rows.length]!.id,
    }))
    return { rows, map, live, entries, decision: decide(entries, map, live) }
  }

  it("takes exactly what the fits ask for, never more than there is, and judges every entry once", () => {
    FastCheck.assert(
      FastCheck.property(scene, (s) => {
        const { decision, entries, rows } = build(s)
        assert.strictEqual(decision.verdicts.length, entries.length)
        for (const row of rows) {
          const fits = entries
            .filter((e, i) => e.product_id === row.id && decision.verdicts[i] === "fits")
            .reduce((sum, e) => sum + e.quantity, 0)
          assert.strictEqual(decision.taken.get(row.id) ?? 0, fits)
          assert.isAtMost(fits, row.stock)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it("never lets a buyer hold more than the limit", () => {
    FastCheck.assert(
      FastCheck.property(scene, (s) => {
        const { decision, live, rows } = build(s)
        for (const row of rows) {
          for (let user = 0; user <= 6; user++) {
            const key = purchaseKey(row.id, user)
            assert.isAtMost((live.get(key) ?? 0) + (decision.bought.get(key) ?? 0), row.per_user_limit)
          }
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it("judges a batch as it judges its entries one by one", () => {
    FastCheck.assert(
      FastCheck.property(scene, (s) => {
        const { decision, entries, live, rows } = build(s)
        const now = new Map(rows.map((row) => [row.id, { ...row }]))
        const held = new Map(live)
        entries.forEach((e, i) => {
          const one = decide([e], now, held)
          assert.strictEqual(one.verdicts[0], decision.verdicts[i])
          for (const [id, n] of one.taken) now.set(id, { ...now.get(id)!, stock: now.get(id)!.stock - n })
          for (const [key, n] of one.bought) held.set(key, (held.get(key) ?? 0) + n)
        })
      }),
      { numRuns: 2_000 },
    )
  })

  it("refuses for a reason that holds", () => {
    FastCheck.assert(
      FastCheck.property(scene, (s) => {
        const { decision, entries, map } = build(s)
        entries.forEach((e, i) => {
          const generation = map.get(e.product_id)!.generation
          const verdict = decision.verdicts[i]
          assert.strictEqual(verdict === "lost", e.generation < generation)
          assert.strictEqual(verdict === "generation", e.generation > generation)
        })
      }),
      { numRuns: 2_000 },
    )
  })
})
