/** Sold-out marks as buyers meet them: who is answered by the edge, and who by inventory. */
import { assert, layer } from "@effect/vitest"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import { LIFE_MS } from "./SoldOutMarks.ts"

let asked = 0
/** The shard: one piece, and the version of its stock. */
const shard = { stock: 1, version: 1 }
const buyers = new Set<bigint>()

const edge = TestEdge.layer({
  inventory: {
    getProduct: ({ productId }) => Effect.succeed(Messages.product({ id: productId! })),
    reserveBatch: ({ userId }) =>
      Effect.sync(() => {
        const items = userId!.map((id) => {
          asked++
          if (buyers.has(id)) return [ReserveCode.ALREADY_BOUGHT, `num-${id}`, 1] as const
          if (shard.stock === 0) return [ReserveCode.SOLD_OUT, "", 0] as const
          shard.stock--
          shard.version++
          buyers.add(id)
          return [ReserveCode.RESERVED, `num-${id}`, 0] as const
        })
        return Messages.reserved(items, {
          stock: BigInt(shard.stock),
          stockVersion: BigInt(shard.version),
          liveOrderNums: items.filter(([code]) => code === ReserveCode.ALREADY_BOUGHT).map(([, num]) => num),
        })
      }),
  },
})

layer(edge, { excludeTestServices: true })("a product that is sold out", (it) => {
  it.effect("is told by the edge for half a second, but not to a key, nor to whoever has bought", () =>
    Effect.gen(function* () {
      const buy = (userId: number, key?: string) =>
        Effect.flatMap(TestEdge.TestEdge, ({ ask }) =>
          ask("/seckill", {
            body: { product_id: 1 },
            headers: {
              ...TestEdge.bearer({ userId }),
              ...(key === undefined ? undefined : { "idempotency-key": key }),
            },
          }),
        )
      assert.strictEqual((yield* buy(1)).status, 202)
      assert.strictEqual(asked, 1)
      const told = yield* buy(2)
      assert.deepStrictEqual([told.status, told.json.code, told.json.data], [409, 510, { left: 0 }])
      assert.strictEqual(asked, 1, "the edge has answered by itself")
      assert.strictEqual((yield* buy(2, "a key")).json.code, 510)
      assert.strictEqual(asked, 2)
      assert.strictEqual((yield* buy(1)).json.code, 511)
      assert.strictEqual(asked, 3)

      shard.stock = 1
      shard.version++
      yield* Effect.sleep(LIFE_MS + 20)
      assert.strictEqual((yield* buy(3)).status, 202)
    }),
  )
})
