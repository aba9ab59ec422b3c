import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import { Busy, NotFound, StaleVersion, WrongState } from "@floodgate/contracts/errors/Errors"
import {
  GetProductReadinessResponseSchema,
  ListManagedProductsResponseSchema,
  ListStockLogResponseSchema,
  ManagedProductSchema,
  ProductStatus,
  RebuildProductResponseSchema,
  SaleSwitchSchema,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const headers = TestEdge.bearer({ userId: 3, username: "root", roles: ["admin"] })

let asked: Array<any> = []

/** Notes what it was asked, and by whom; the product's id says how it goes. */
const by =
  <A>(name: string, answer: (request: any) => A) =>
  (request: any, options?: any): Effect.Effect<A, any> => {
    asked.push([name, request, options?.caller?.user_id])
    switch (request.productId) {
      case 404n:
        return Effect.fail(new NotFound({}))
      case 409n:
        return Effect.fail(new StaleVersion({ version: 9 }))
      case 520n:
        return Effect.fail(new WrongState({ state: "live", left: 2 }))
      case 530n:
        return Effect.fail(new Busy({ id: 530, status: "withdrawn" }))
      default:
        return Effect.succeed(answer(request))
    }
  }

const product = ({ productId }: { readonly productId: bigint }) =>
  Messages.product({ id: productId, status: ProductStatus.DRAFT })

const managed = (id: bigint) =>
  create(ManagedProductSchema, {
    product: Messages.product({ id, status: ProductStatus.DRAFT }),
    publisherId: 7n,
    remaining: 90n,
    adjusted: -10n,
    unfinishedAdjustments: 1,
  })

layer(
  TestEdge.layer({
    inventory: {
      getManagedProduct: by("get", ({ productId }) => managed(productId)),
      listManagedProducts: by("list", ({ pageToken }) =>
        create(ListManagedProductsResponseSchema, {
          products: [managed(pageToken === "" ? 2n : 1n)],
          nextPageToken: pageToken === "" ? "next" : "",
        }),
      ),
      updateProduct: by("edit", product),
      warmUp: by("warmUp", product),
      withdrawProduct: by("withdraw", product),
      rebuildProduct: by("rebuild", ({ productId }) =>
        create(RebuildProductResponseSchema, { shard: 5, epoch: 8n, open: productId === 42n }),
      ),
      cloneProduct: by("clone", ({ idempotencyKey, productId }) =>
        Messages.product({ id: productId + 1n, replayed: idempotencyKey === "again" }),
      ),
      changeStock: by("stock", product),
      getProductReadiness: by("readiness", ({ productId }) =>
        create(GetProductReadinessResponseSchema, {
          checks: [
            { check: "published", ok: true, detail: "" },
            { check: "fence", ok: productId === 42n, detail: "closed" },
          ],
        }),
      ),
      listStockLog: by("log", () =>
        create(ListStockLogResponseSchema, {
          entries: [
            { id: 2n, productId: 42n, kind: "adjust", ref: "a", delta: -3n, reason: "=1+1", actorId: 3n },
            { id: 1n, productId: 42n, kind: "initial", ref: "p42", delta: 100n },
          ],
        }),
      ),
      getSaleSwitch: by("sale", () => create(SaleSwitchSchema, {})),
      setSaleSwitch: by("set", ({ paused, reason }) =>
        create(SaleSwitchSchema, { paused, reason, revision: 4n, changedBy: 3n, changedAtMs: 1_000n }),
      ),
    },
  }),
  live,
)("the console's products", (it) => {
  const ask = (method: string, path: string, body?: unknown, more: Record<string, string> = {}) =>
    Effect.suspend(() => {
      asked = []
      return Effect.flatMap(TestEdge.TestEdge, (edge) =>
        edge.ask(path, {
          method,
          headers: { ...headers, ...more },
          ...(body === undefined ? {} : { body }),
        }),
      )
    })

  it.effect("one, with what only operators see; the list by its filters, as JSON and CSV", () =>
    Effect.gen(function* () {
      const one = yield* ask("GET", "/admin/products/42")
      assert.deepInclude(one.json.data, {
        id: 42,
        status: "draft",
        publisher_id: 7,
        generation: 1,
        remaining: 90,
        adjusted: -10,
        unfinished_adjustments: 1,
      })
      assert.deepStrictEqual(asked[0].slice(1), [{ productId: 42n }, 3])
      assert.strictEqual((yield* ask("GET", "/admin/products/404")).json.code, 404)
      const list = yield* ask("GET", "/admin/products?status=withdrawn&q=ph&limit=1")
      assert.deepInclude(asked[0][1], { status: ProductStatus.WITHDRAWN, q: "ph", pageSize: 1 })
      assert.strictEqual(list.json.data.next_cursor, "next")
      const csv = yield* ask("GET", "/admin/products?format=csv")
      assert.lengthOf(csv.text.trim().split("\r\n"), 3)
      assert.strictEqual((yield* ask("GET", "/admin/products?status=gone")).json.code, 400)
    }),
  )

  it.effect("readiness is ready where every check is", () =>
    Effect.gen(function* () {
      assert.isTrue((yield* ask("GET", "/admin/products/42/readiness")).json.data.ready)
      const other = yield* ask("GET", "/admin/products/43/readiness")
      assert.isFalse(other.json.data.ready)
      assert.deepInclude(other.json.data.checks[1], { check: "fence", ok: false, detail: "closed" })
    }),
  )

  describe("an edit", () => {
    it.effect("says only what it changes; null empties", () =>
      Effect.gen(function* () {
        const edit = { price: 5, end_time: null, image: null, reason: "because", version: 3 }
        const answer = yield* ask("PATCH", "/admin/products/42", edit)
        assert.strictEqual(answer.json.data.id, 42)
        const { requestId, ...request } = asked[0][1]
        assert.isNotEmpty(requestId)
        assert.deepStrictEqual(request, {
          productId: 42n,
          version: 3n,
          reason: "because",
          price: 5n,
          endTimeMs: 0n,
          image: "",
        })
      }),
    )

    it.effect("without a version, a reason or a change, or of an unknown field, is 400", () =>
      Effect.gen(function* () {
        const good = { name: "x", reason: "because", version: 3 }
        for (const wrong of [
          { version: undefined },
          { reason: undefined },
          { name: undefined },
          { stock: 5 },
          { price: 0 },
          { start_time: "soon" },
        ]) {
          const answer = yield* ask("PATCH", "/admin/products/42", { ...good, ...wrong })
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400], JSON.stringify(wrong))
        }
        const stale = yield* ask("PATCH", "/admin/products/409", good)
        assert.deepStrictEqual([stale.status, stale.json.code, stale.json.data.version], [409, 525, 9])
      }),
    )
  })

  describe("a stock change", () => {
    const body = { delta: -3, reason: "broken in the warehouse" }

    it.effect("demands its key, and is the same wish each time it carries it", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* ask("POST", "/admin/products/42/stock", body)).json.code, 400)
        assert.lengthOf(asked, 0)
        yield* ask("POST", "/admin/products/42/stock", body, { "idempotency-key": "k" })
        const [, first] = asked[0]
        assert.deepInclude(first, { productId: 42n, delta: -3n, reason: body.reason })
        yield* ask("POST", "/admin/products/42/stock", body, { "idempotency-key": "k" })
        assert.strictEqual(asked[0][1].adjustmentId, first.adjustmentId)
        yield* ask("POST", "/admin/products/43/stock", body, { "idempotency-key": "k" })
        assert.notStrictEqual(asked[0][1].adjustmentId, first.adjustmentId)
      }),
    )

    it.effect("of nothing, of parts or of too much is 400; below zero is 520 with what is left", () =>
      Effect.gen(function* () {
        for (const delta of [0, 1.5, 10_000_001, -10_000_001, "1"]) {
          const answer = yield* ask(
            "POST",
            "/admin/products/42/stock",
            { ...body, delta },
            { "idempotency-key": "k" },
          )
          assert.strictEqual(answer.json.code, 400, String(delta))
        }
        const refused = yield* ask("POST", "/admin/products/520/stock", body, { "idempotency-key": "k" })
        assert.deepStrictEqual([refused.status, refused.json.code], [409, 520])
        assert.deepStrictEqual(refused.json.data, { state: "live", left: 2 })
      }),
    )
  })

  it.effect("commands go on with their reason, and tell what became of them", () =>
    Effect.gen(function* () {
      const body = { reason: "because" }
      for (const command of ["warmup", "withdraw"]) {
        const answer = yield* ask("POST", `/admin/products/42/${command}`, body)
        assert.deepStrictEqual([answer.status, answer.json.data.id], [200, 42])
        assert.deepInclude(asked[0][1], { productId: 42n, reason: "because" })
        assert.strictEqual((yield* ask("POST", `/admin/products/42/${command}`, {})).json.code, 400)
      }
      const open = yield* ask("POST", "/admin/products/42/rebuild", body)
      assert.deepStrictEqual(open.json.data, { product_id: 42, shard: 5, epoch: 8, state: "open" })
      const slow = yield* ask("POST", "/admin/products/43/rebuild", body)
      assert.strictEqual(slow.json.data.state, "recovering")
      const busy = yield* ask("POST", "/admin/products/530/withdraw", body)
      assert.deepStrictEqual([busy.status, busy.json.code], [503, 530])
      assert.deepStrictEqual(busy.json.data, { id: 530, status: "withdrawn" })
    }),
  )

  it.effect("a clone is published at its own address, and replayed by its key", () =>
    Effect.gen(function* () {
      const start = new Date(Date.now() + 60_000).toISOString()
      const body = { start_time: start, reason: "again" }
      const made = yield* ask("POST", "/admin/products/42/clone", body, { "idempotency-key": "again" })
      assert.deepStrictEqual([made.status, made.json.data.id], [201, 43])
      assert.strictEqual(made.headers["location"], "/products/43")
      assert.strictEqual(made.headers["idempotent-replayed"], "true")
      assert.deepInclude(asked[0][1], {
        name: "",
        stock: 0n,
        endTimeMs: 0n,
        startTimeMs: BigInt(Date.parse(start)),
      })
      for (const wrong of [
        { start_time: "2020-01-01T00:00:00Z" },
        { end_time: new Date(Date.now() + 1_000).toISOString() },
        { stock: 0 },
      ]) {
        const answer = yield* ask("POST", "/admin/products/42/clone", { ...body, ...wrong })
        assert.strictEqual(answer.json.code, 400, JSON.stringify(wrong))
      }
    }),
  )

  it.effect("the stock log, one product's; formulas in an export are text", () =>
    Effect.gen(function* () {
      const log = yield* ask("GET", "/admin/stock-log?product_id=42&kind=adjust")
      assert.deepInclude(log.json.data.items[0], { delta: -3, reason: "=1+1", actor_id: 3 })
      assert.deepInclude(log.json.data.items[1], { reason: null, actor_id: null })
      assert.deepInclude(asked[0][1], { productId: 42n, kind: "adjust" })
      const csv = yield* ask("GET", "/admin/stock-log?product_id=42&format=csv")
      assert.notMatch(csv.text, /(^|,|")=1/m)
      assert.strictEqual((yield* ask("GET", "/admin/stock-log")).json.code, 400)
    }),
  )

  it.effect("all sales are paused and resumed with a reason", () =>
    Effect.gen(function* () {
      const untouched = yield* ask("GET", "/admin/sale")
      assert.deepStrictEqual(untouched.json.data, {
        paused: false,
        revision: 0,
        reason: null,
        changed_by: null,
        changed_at: null,
      })
      const paused = yield* ask("POST", "/admin/sale/pause", { reason: "fire" })
      assert.deepStrictEqual(paused.json.data, {
        paused: true,
        revision: 4,
        reason: "fire",
        changed_by: 3,
        changed_at: "1970-01-01T00:00:01.000Z",
      })
      assert.isFalse((yield* ask("POST", "/admin/sale/resume", { reason: "out" })).json.data.paused)
      assert.strictEqual((yield* ask("POST", "/admin/sale/pause", {})).json.code, 400)
    }),
  )
})
