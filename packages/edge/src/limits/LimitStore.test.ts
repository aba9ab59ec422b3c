/** Changes of limits on a real database: audited, by version, and in force on every edge within a second. */
import { assert, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as LimitSettings from "./LimitSettings.ts"
import * as LimitStore from "./LimitStore.ts"

const database = TestMysql.layer({ migrations: ["edge"], main: "edge" })

const edge = Effect.flatMap(LimitStore.make, (store) =>
  Effect.provideService(LimitSettings.make, LimitStore.LimitStore, store),
)

const change = (more: Partial<LimitStore.Change>): LimitStore.Change => ({
  name: "pay",
  productId: undefined,
  rate: 7,
  burst: 70,
  version: undefined,
  reason: "a busy day",
  actorId: 9,
  ...more,
})

layer(database, { excludeTestServices: true })("changes of limits", (it) => {
  it.scoped("are in force where they were made at once, and on another edge within a second", () =>
    Effect.gen(function* () {
      const [here, there] = yield* Effect.all([edge, edge])
      assert.deepStrictEqual(there.rateOf("login-failures", "x"), { rate: 10 / 60, burst: 10 })
      const epoch = there.epoch()
      yield* here.change(change({ name: "login-failures", rate: 30, burst: 5 }))
      const beganMs = performance.now()
      assert.deepStrictEqual(here.rateOf("login-failures", "x"), { rate: 0.5, burst: 5 })
      yield* here.change(change({ name: "seckill-product", productId: 4, rate: 50, burst: 60 }))
      while (there.rateOf("seckill-product", 4).burst !== 60) {
        yield* Effect.sleep(10)
        assert.isBelow(performance.now() - beganMs, 1_000)
      }
      assert.deepStrictEqual(there.rateOf("login-failures", "x"), { rate: 0.5, burst: 5 })
      assert.deepStrictEqual(there.rateOf("seckill-product", 5), { rate: 1_000, burst: 2_000 })
      assert.isAbove(there.epoch(), epoch)
    }),
  )

  it.scoped("rise in version, refuse a stale one, and each leaves its line in the trail", () =>
    Effect.gen(function* () {
      const store = yield* LimitStore.make
      const mysql = yield* Mysql
      const first = yield* store.change(change({ version: 1 }))
      assert.deepInclude(first, { name: "pay", rate: 7, burst: 70, version: 2, productId: undefined })
      assert.approximately(first.updatedMs, Date.now(), 60_000)
      const stale = yield* Effect.flip(store.change(change({ version: 1, rate: 8 })))
      assert.deepInclude(stale, { _tag: "StaleVersion", version: 2 })
      const both = yield* Effect.all(
        [store.change(change({ version: 2, rate: 8 })), store.change(change({ version: 2, rate: 9 }))].map(
          Effect.either,
        ),
        { concurrency: 2 },
      )
      assert.strictEqual(both.filter(({ _tag }) => _tag === "Right").length, 1)
      const lines = yield* mysql.run(
        "test",
        mysql.sql<{
          target_id: string
          before_json: string
          after_json: string
          reason: string
          actor_id: number
        }>`SELECT target_id, before_json, after_json, reason, actor_id FROM audit WHERE action = 'limit.change' AND target_id = 'pay' ORDER BY id`,
      )
      assert.lengthOf(lines, 2)
      assert.deepInclude(lines[0], {
        before_json: '{"rate":2,"burst":10}',
        after_json: '{"rate":7,"burst":70}',
        reason: "a busy day",
        actor_id: 9,
      })
      const list = yield* store.list
      assert.strictEqual(list.find(({ name }) => name === "pay")?.version, 3)
    }),
  )
})
