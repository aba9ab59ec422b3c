import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

/** What differs between two answers by its nature. */
const OWN = new Set(["date", "x-trace-id", "x-server-time"])

const shown = ({ headers, status, text }: TestEdge.Answer) => ({
  status,
  text,
  headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN.has(name))),
})

layer(
  TestEdge.layer({
    inventory: {
      getProduct: ({ productId }) =>
        Effect.succeed(
          Messages.product({
            id: BigInt(productId ?? 0),
            // Large enough to be compressed.
            description: productId === 9_000n ? "long ".repeat(400) : "short",
          }),
        ),
    },
  }),
  { excludeTestServices: true },
)("a product that this edge holds", (it) => {
  const cases = [
    ["/product/", {}],
    ["/products/", {}],
    ["/product/", { "if-none-match": "*" }],
    ["/product/", { "accept-encoding": "gzip" }],
    ["/product/", { origin: "https://shop.example", "accept-language": "zh-CN" }],
  ] as const
  cases.forEach(([path, headers], n) => {
    it.effect(`${path} with ${JSON.stringify(headers)} is answered as one that it has to ask for`, () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        // Asked for one after the other: the first answer is the HttpApi's, and those that follow at once are not.
        for (let id = 100 * (n + 1); id < 100 * (n + 1) + 5; id++) {
          const first = yield* ask(`${path}${id}`, { headers })
          const second = yield* ask(`${path}${id}`, { headers })
          assert.deepStrictEqual(shown(second), shown(first))
          assert.match(String(second.headers["x-trace-id"]), /^[0-9a-f]{32}$/)
          assert.match(String(second.headers["x-server-time"]), /^\d{13}$/)
        }
      }),
    )
  })

  it.effect("is compressed where it is large, and HEAD has no body", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      yield* ask("/product/9000")
      const large = yield* ask("/product/9000", { headers: { "accept-encoding": "gzip" } })
      assert.strictEqual(large.headers["content-encoding"], "gzip")
      yield* ask("/product/901")
      const head = yield* ask("/product/901", { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.text], [200, ""])
    }),
  )
})
