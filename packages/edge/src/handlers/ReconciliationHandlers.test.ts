import { create } from "@bufbuild/protobuf"
import { assert, layer } from "@effect/vitest"
import { GetReconciliationResponseSchema } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import * as Effect from "effect/Effect"
import * as TestEdge from "../testing/TestEdge.ts"

const answers = [
  create(GetReconciliationResponseSchema, {}),
  create(GetReconciliationResponseSchema, {
    checkedAtMs: 1_000n,
    ledgersOk: false,
    drift: [
      { kind: "redis_above", subject: "product:7", productId: 7n, redis: 12n, mysql: 0n, repaired: true },
      { kind: "money_mismatch", subject: "order:x", orderNum: "x", mysql: 9900n, ledger: 0n },
    ],
  }),
]

layer(TestEdge.layer({ ordering: { getReconciliation: () => Effect.sync(() => answers.shift()!) } }), {
  excludeTestServices: true,
})("the console's reconciliation", (it) => {
  it.effect("answers what the contract says: null before the first round, and where nobody was asked", () =>
    Effect.gen(function* () {
      const edge = yield* TestEdge.TestEdge
      const ask = edge.ask("/admin/reconciliation", {
        headers: TestEdge.bearer({ userId: 5, username: "auditor", roles: ["auditor"] }),
      })
      const first = yield* ask
      assert.strictEqual(first.status, 200)
      assert.deepStrictEqual(first.json.data, { checked_at: null, drift: [], ledgers_ok: false })
      const second = yield* ask
      assert.deepStrictEqual(second.json.data, {
        checked_at: "1970-01-01T00:00:01.000Z",
        drift: [
          { kind: "redis_above", product_id: 7, redis: 12, mysql: 0, ledger: null, repaired: true },
          { kind: "money_mismatch", order_num: "x", redis: null, mysql: 9900, ledger: 0, repaired: false },
        ],
        ledgers_ok: false,
      })
    }),
  )
})
