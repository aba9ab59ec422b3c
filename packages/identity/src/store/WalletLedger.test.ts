import { assert, describe, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { UserStore } from "./UserStore.ts"
import { WalletLedger } from "./WalletLedger.ts"
import { WalletStore } from "./WalletStore.ts"

const stores = Layer.mergeAll(WalletStore.layer, WalletLedger.layer, UserStore.layer).pipe(
  Layer.provideMerge(TestMysql.layer({ migrations: ["identity"], main: "identity" })),
)

describe("the wallets' ledger", () => {
  layer(stores, { excludeTestServices: true })((it) => {
    it.effect("tells balance, entries and decisions, by name and page by page", () =>
      Effect.gen(function* () {
        const users = yield* UserStore
        const wallets = yield* WalletStore
        const ledger = yield* WalletLedger
        const { run, sql } = yield* Mysql
        const ids: Array<number> = []
        for (const username of ["ann", "bob", "cat"]) {
          const { id } = yield* users.create({ username, passwordHash: "-" })
          ids.push(id)
        }
        const [ann, bob, cat] = ids as [number, number, number]
        const money = { currency: "CNY", orderNum: "" }
        yield* wallets.credit({ ...money, creditId: "c1", userId: ann, amount: 500, kind: "topup" })
        yield* wallets.debit({ ...money, paymentId: "p1", userId: ann, amount: 200 })
        yield* wallets.debit({ ...money, paymentId: "p2", userId: bob, amount: 200 })
        yield* wallets.voidDebit("p3", bob)
        // What no transaction of ours could leave behind.
        yield* run("plant", sql`UPDATE wallet SET balance = 7 WHERE user_id = ${cat}`)

        const first = yield* ledger.books({ _tag: "page", after: 0, limit: 2 })
        assert.deepStrictEqual(first, [
          { userId: ann, balance: 300, entriesTotal: 300 },
          { userId: bob, balance: 0, entriesTotal: 0 },
        ])
        const wrong = [{ userId: cat, balance: 7, entriesTotal: 0 }]
        assert.deepStrictEqual(yield* ledger.books({ _tag: "page", after: bob, limit: 2 }), wrong)
        assert.deepStrictEqual(yield* ledger.books({ _tag: "named", keys: [cat, 999] }), wrong)
        assert.deepStrictEqual(yield* ledger.books({ _tag: "named", keys: [] }), [])

        const decisions = yield* ledger.decisions({ _tag: "page", after: "", limit: 10 })
        assert.deepStrictEqual(
          decisions.map(({ paymentId, outcome, amount }) => [paymentId, outcome, amount]),
          [
            ["p1", "debited", 200],
            ["p2", "declined", 200],
            ["p3", "void", 0],
          ],
        )
        const [third] = yield* ledger.decisions({ _tag: "page", after: "p2", limit: 1 })
        assert.strictEqual(third!.paymentId, "p3")
        assert.strictEqual(third!.userId, bob)
        assert.isAtMost(third!.ageMs, 60_000)
        assert.lengthOf(yield* ledger.decisions({ _tag: "named", keys: ["p1", "none"] }), 1)
      }),
    )
  })
})
