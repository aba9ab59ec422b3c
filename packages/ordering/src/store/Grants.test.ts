import { randomBytes } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import * as Grants from "@floodgate/runtime/audit/Grants"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import { inject } from "@floodgate/runtime/testing/Injected"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { assertConserved, product, query, reservation, stores } from "../testing/Fixture.ts"
import * as CancelStore from "./CancelStore.ts"
import * as OrderStore from "./OrderStore.ts"

/** A connection as ordering's own user: everything in its database, and a little in inventory's. */
const asOrdering = Effect.gen(function* () {
  const ordering = yield* TestMysql.schema("ordering")
  const inventory = yield* TestMysql.schema("inventory")
  const user = `t${randomBytes(5).toString("hex")}`
  const password = randomBytes(12).toString("hex")
  const account = `'${user}'@'%'`
  yield* Effect.acquireRelease(query(`CREATE USER ${account} IDENTIFIED BY '${password}'`), () =>
    Effect.ignore(query(`DROP USER ${account}`)),
  )
  const tables = yield* query<{ name: string }>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()",
  )
  // The last one takes back what only older installations have.
  for (const statement of Grants.statements(
    ordering,
    tables.map(({ name }) => name),
    account,
  )) {
    yield* query(statement)
  }
  for (const grant of [
    `SELECT (id, name, price, currency, stock, initial_stock, generation, per_user_limit, state, start_time, end_time),
      UPDATE (stock) ON \`${inventory}\`.product`,
    `SELECT, INSERT ON \`${inventory}\`.stock_log`,
    `SELECT (id, product_id, delta, state, created_at) ON \`${inventory}\`.stock_adjustment`,
    `SELECT (id, bucket, created_at, sent_at) ON \`${inventory}\`.outbox`,
  ]) {
    yield* query(`GRANT ${grant} TO ${account}`)
  }
  const url = new URL(inject("mysqlUrl"))
  url.username = user
  url.password = password
  url.pathname = `/${ordering}`
  return yield* Mysql.make({ url: Config.succeed(Redacted.make(url.href)) })
})

describe("ordering's database user", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("can create, read and cancel orders, and of a product change the stock only", () =>
      Effect.gen(function* () {
        const mysql = yield* asOrdering
        const own = Layer.succeed(Mysql.Mysql, mysql)
        const id = yield* product({ stock: 3 })
        const entries = [reservation(id, 1), reservation(id, 2)]
        yield* Effect.gen(function* () {
          const orders = yield* OrderStore.OrderStore
          const cancels = yield* CancelStore.CancelStore
          yield* orders.createBatch(entries, [{ partition: 1, epoch: 1 }])
          const found = yield* orders.findWithProduct(entries[0]!.order_num, id)
          assert.strictEqual(found?.order?.state, "unpaid")
          yield* cancels.request({ orderNum: entries[0]!.order_num, reason: "user", actorId: 1, note: "" })
          assert.strictEqual((yield* cancels.finish([{ ...entries[0]! }])).length, 1)
        }).pipe(Effect.provide(Layer.mergeAll(OrderStore.layer, CancelStore.layer).pipe(Layer.provide(own))))
        assert.strictEqual(yield* assertConserved(id), 2)

        const inventory = yield* TestMysql.schema("inventory")
        for (const forbidden of [
          `UPDATE \`${inventory}\`.product SET price = 1 WHERE id = ${id}`,
          `UPDATE \`${inventory}\`.product SET generation = 9 WHERE id = ${id}`,
          `DELETE FROM \`${inventory}\`.product WHERE id = ${id}`,
          `DELETE FROM \`${inventory}\`.stock_log WHERE product_id = ${id}`,
          "UPDATE audit SET actor_id = 9",
          "DELETE FROM audit",
        ]) {
          assert.isTrue(Exit.isFailure(yield* Effect.exit(mysql.run("t", mysql.sql.unsafe(forbidden)))))
        }
      }).pipe(Effect.scoped),
    )
  })
})
