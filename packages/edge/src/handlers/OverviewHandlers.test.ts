import { create } from "@bufbuild/protobuf"
import { assert, layer } from "@effect/vitest"
import { Busy } from "@floodgate/contracts/errors/Errors"
import { GetSaleFiguresResponseSchema } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { GetVitalsResponseSchema } from "@floodgate/contracts/gen/floodgate/vitals/v1/vitals_pb"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as FigureStore from "../overview/FigureStore.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const

const auditor = TestEdge.bearer({ userId: 5, username: "auditor", roles: ["auditor"] })
const customer = TestEdge.bearer({ userId: 6, username: "buyer", roles: ["customer"] })

let asked = 0

const vitals = (more: object) => ({
  getVitals: () => Effect.sync(() => create(GetVitalsResponseSchema, more)),
})

const peers = {
  identity: vitals({}),
  inventory: vitals({ outboxUnsent: 1n, relayOpenEntries: 2n }),
  ordering: {
    ...vitals({ outboxUnsent: 2n, backlogs: [{ group: "ordering", topic: "t", messages: 3n }] }),
    getSaleFigures: () =>
      Effect.sync(() => {
        asked++
        const atMs = BigInt(Math.floor(Date.now() / 10_000) * 10_000)
        return create(GetSaleFiguresResponseSchema, {
          figures: [{ atMs, persisted: 4, paid: 2, cancelled: 1 }],
        })
      }),
  },
  payment: { getVitals: () => new Busy({}) },
}

const figures = FigureStore.layer.pipe(Layer.provide(TestRedis.layer))

layer(TestEdge.layer(peers, {}, undefined, { figures: Layer.orDie(figures) as never }), live)(
  "the console's overview",
  (it) => {
    it.effect("is gathered once a second for all who look, and shows who is away as a gap", () =>
      Effect.gen(function* () {
        const edge = yield* TestEdge.TestEdge
        const before = yield* edge.ask("/admin/overview", { headers: auditor })
        assert.strictEqual(before.status, 200)
        for (let i = 0; i < 3; i++) {
          const wish = yield* edge.ask("/seckill", { body: { product_id: 7 } })
          assert.strictEqual(wish.status, 401)
        }
        yield* Effect.sleep(1_100)
        asked = 0
        const startedAt = performance.now()
        const answers = yield* Effect.all(
          Array.from({ length: 30 }, () => edge.ask("/admin/overview?window=5m", { headers: auditor })),
          { concurrency: "unbounded" },
        )
        assert.isAtMost(asked, 1 + Math.ceil((performance.now() - startedAt) / 1_000))
        assert.isBelow(asked, answers.length)
        assert.strictEqual(new Set(answers.map(({ json }) => json.data.at)).size, asked)
        const { data } = answers[answers.length - 1]!.json
        assert.strictEqual(data.funnel.asked - before.json.data.funnel.asked, 3)
        assert.deepInclude(data.funnel, { persisted: 4, paid: 2, cancelled: 1 })
        assert.isAbove(data.latency_ms.p99, 0)
        assert.isAbove(data.rates.asked, 0)
        assert.isAbove(data.rates.requests, 0)
        assert.deepStrictEqual(data.lag, { relay: 2, kafka: 3, outbox: 3 })
        assert.deepStrictEqual(data.unreachable, ["payment"])
        assert.isFalse(data.alone)
        assert.strictEqual(data.series.length, 30)
      }),
    )

    it.effect("knows two windows, and answers those who may read reports", () =>
      Effect.gen(function* () {
        const edge = yield* TestEdge.TestEdge
        const hour = yield* edge.ask("/admin/overview?window=1h", { headers: auditor })
        assert.strictEqual(hour.json.data.series.length, 60)
        const other = yield* edge.ask("/admin/overview?window=1d", { headers: auditor })
        assert.strictEqual(other.status, 400)
        const refused = yield* edge.ask("/admin/overview", { headers: customer })
        assert.strictEqual(refused.status, 403)
      }),
    )
  },
)

const away = { getVitals: () => new Busy({}) }

const nobody = {
  identity: vitals({}),
  inventory: away,
  ordering: { ...away, getSaleFigures: () => new Busy({}) },
  payment: away,
}

layer(TestEdge.layer(nobody), live)("the overview of an edge that reaches nobody", (it) => {
  it.effect("is this edge's own, with gaps", () =>
    Effect.gen(function* () {
      const edge = yield* TestEdge.TestEdge
      yield* edge.ask("/seckill", { body: { product_id: 7 } })
      const { json, status } = yield* edge.ask("/admin/overview", { headers: auditor })
      assert.strictEqual(status, 200)
      assert.isTrue(json.data.alone)
      assert.isAbove(json.data.funnel.asked, 0)
      assert.isNull(json.data.funnel.persisted)
      assert.sameMembers(json.data.unreachable, ["inventory", "ordering", "payment"])
    }),
  )
})
