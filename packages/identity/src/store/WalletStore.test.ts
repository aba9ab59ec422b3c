import { assert, describe, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type { EntryKind } from "../domain/Wallet.ts"
import { UserStore } from "./UserStore.ts"
import { WalletStore } from "./WalletStore.ts"

const stores = Layer.mergeAll(WalletStore.layer, UserStore.layer).pipe(
  Layer.provideMerge(TestMysql.layer({ migrations: ["identity"], main: "identity" })),
)

let names = 0

const credit = (
  userId: number,
  amount: number,
  creditId: string,
  kind: EntryKind = "topup",
  currency = "CNY",
) =>
  Effect.flatMap(WalletStore, (wallets) =>
    wallets.credit({ creditId, userId, amount, currency, kind, orderNum: "" }),
  )

const debit = (userId: number, amount: number, paymentId: string, currency = "CNY") =>
  Effect.flatMap(WalletStore, (wallets) =>
    wallets.debit({ paymentId, userId, amount, currency, orderNum: `o-${paymentId}` }),
  )

const voidDebit = (userId: number, paymentId: string) =>
  Effect.flatMap(WalletStore, (wallets) => wallets.voidDebit(paymentId, userId))

/** A new user with this much money. */
const userWith = (balance: number) =>
  Effect.gen(function* () {
    const users = yield* UserStore
    const user = yield* users.create({ username: `user_${names++}`, passwordHash: "-" })
    if (balance > 0) yield* credit(user.id, balance, `start-${user.id}`)
    return user.id
  })

const booksOf = (userId: number) =>
  Effect.flatMap(Mysql, ({ run, sql }) =>
    run(
      "books",
      Effect.gen(function* () {
        const entries = yield* sql<{ amount: number; balance_after: number }>`
          SELECT amount, balance_after FROM wallet_entry WHERE user_id = ${userId} ORDER BY id`
        const [wallet] = yield* sql<{ balance: number }>`SELECT balance FROM wallet WHERE user_id = ${userId}`
        return { entries, balance: wallet!.balance }
      }),
    ),
  )

/** Every entry follows from the one before, none goes below zero, and the last one is the balance. */
const assertBooks = (userId: number) =>
  Effect.map(booksOf(userId), ({ entries, balance }) => {
    let running = 0
    for (const entry of entries) {
      running += entry.amount
      assert.strictEqual(entry.balance_after, running)
      assert.isAtLeast(running, 0)
    }
    assert.strictEqual(balance, running)
    return balance
  })

describe("WalletStore", () => {
  layer(stores, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("100 parallel debits of one payment make one entry, and get one answer", () =>
      Effect.gen(function* () {
        const userId = yield* userWith(1_000)
        const decisions = yield* Effect.all(
          Array.from({ length: 100 }, () => debit(userId, 300, "parallel")),
          { concurrency: "unbounded" },
        )
        assert.strictEqual(new Set(decisions.map((decision) => JSON.stringify(decision))).size, 1)
        assert.deepInclude(decisions[0], { outcome: "debited", balanceAfter: 700, orderNum: "o-parallel" })
        assert.strictEqual(yield* assertBooks(userId), 700)
      }),
    )

    it.effect("parallel debits of different payments never take more than there is", () =>
      Effect.gen(function* () {
        const userId = yield* userWith(100)
        const decisions = yield* Effect.all(
          Array.from({ length: 40 }, (_, i) => debit(userId, 10, `many-${i}`)),
          { concurrency: "unbounded" },
        )
        assert.lengthOf(
          decisions.filter(({ outcome }) => outcome === "debited"),
          10,
        )
        assert.strictEqual(yield* assertBooks(userId), 0)
      }),
    )

    it.effect("a decline is stored: money that arrives later doesn't turn it", () =>
      Effect.gen(function* () {
        const userId = yield* userWith(5)
        assert.deepInclude(yield* debit(userId, 10, "declined"), { outcome: "declined", balanceAfter: 5 })
        yield* credit(userId, 100, "later")
        assert.deepInclude(yield* debit(userId, 10, "declined"), { outcome: "declined", balanceAfter: 5 })
        assert.deepInclude(yield* voidDebit(userId, "declined"), { outcome: "declined" })
        assert.strictEqual(yield* assertBooks(userId), 105)
      }),
    )

    it.effect("a debit after a void is refused; a void after a debit tells of the debit", () =>
      Effect.gen(function* () {
        const userId = yield* userWith(100)
        assert.deepInclude(yield* voidDebit(userId, "void-first"), { outcome: "void", balanceAfter: 100 })
        assert.deepInclude(yield* debit(userId, 10, "void-first"), { outcome: "void" })
        yield* debit(userId, 10, "debit-first")
        assert.deepInclude(yield* voidDebit(userId, "debit-first"), { outcome: "debited", balanceAfter: 90 })
        assert.strictEqual(yield* assertBooks(userId), 90)
      }),
    )

    it.effect("a debit that races its void: both are told the same outcome", () =>
      Effect.gen(function* () {
        const userId = yield* userWith(1_000)
        let debited = 0
        for (let i = 0; i < 20; i++) {
          const [a, b] = yield* Effect.all([debit(userId, 10, `race-${i}`), voidDebit(userId, `race-${i}`)], {
            concurrency: "unbounded",
          })
          assert.deepStrictEqual(a, b)
          if (a.outcome === "debited") debited += 1
        }
        assert.strictEqual(yield* assertBooks(userId), 1_000 - 10 * debited)
      }),
    )

    it.effect("a credit is booked once, and its key is for that credit only", () =>
      Effect.gen(function* () {
        const userId = yield* userWith(0)
        const other = yield* userWith(0)
        const entries = yield* Effect.all(
          Array.from({ length: 30 }, () => credit(userId, 50, "once", "refund")),
          { concurrency: "unbounded" },
        )
        assert.strictEqual(new Set(entries.map((entry) => JSON.stringify(entry))).size, 1)
        for (const misuse of [
          credit(userId, 51, "once", "refund"),
          credit(userId, 50, "once", "topup"),
          credit(other, 50, "once", "refund"),
          credit(userId, 50, "foreign", "topup", "USD"),
          credit(userId, Number.MAX_SAFE_INTEGER, "huge"),
        ]) {
          assert.strictEqual((yield* Effect.flip(misuse))._tag, "InvalidInput")
        }
        assert.strictEqual(yield* assertBooks(userId), 50)
        assert.strictEqual(yield* assertBooks(other), 0)
      }),
    )

    it.effect("a payment's key is for one debit only, also when two users race for it", () =>
      Effect.gen(function* () {
        const a = yield* userWith(100)
        const b = yield* userWith(100)
        yield* debit(a, 10, "mine")
        assert.strictEqual((yield* Effect.flip(debit(a, 11, "mine")))._tag, "InvalidInput")
        assert.strictEqual((yield* Effect.flip(debit(b, 10, "mine")))._tag, "InvalidInput")
        assert.strictEqual((yield* Effect.flip(voidDebit(b, "mine")))._tag, "NotFound")
        assert.strictEqual((yield* Effect.flip(debit(a, 10, "dollars", "USD")))._tag, "InvalidInput")
        for (let i = 0; i < 5; i++) {
          const raced = yield* Effect.all(
            [Effect.either(debit(a, 1, `raced-${i}`)), Effect.either(debit(b, 1, `raced-${i}`))],
            { concurrency: "unbounded" },
          )
          assert.deepStrictEqual(
            raced.map((result) => (result._tag === "Right" ? result.right.outcome : result.left._tag)).sort(),
            ["InvalidInput", "debited"],
          )
        }
        assert.strictEqual((yield* assertBooks(a)) + (yield* assertBooks(b)), 185)
      }),
    )

    it.effect("nobody's wallet is not found", () =>
      Effect.gen(function* () {
        const wallets = yield* WalletStore
        for (const self of [
          wallets.get(2 ** 40),
          wallets.entries(2 ** 40, undefined, 1),
          debit(2 ** 40, 1, "x"),
          voidDebit(2 ** 40, "x"),
          credit(2 ** 40, 1, "x"),
        ].map((effect) => Effect.asVoid(effect as Effect.Effect<unknown, { _tag: string }, WalletStore>))) {
          assert.strictEqual((yield* Effect.flip(self))._tag, "NotFound")
        }
      }),
    )

    it.effect("entries come newest first, page by page, each once", () =>
      Effect.gen(function* () {
        const wallets = yield* WalletStore
        const userId = yield* userWith(0)
        for (let i = 0; i < 5; i++) yield* credit(userId, i + 1, `page-${i}`)
        const first = yield* wallets.entries(userId, undefined, 3)
        const rest = yield* wallets.entries(userId, first[2]?.id, 3)
        assert.deepStrictEqual(
          [...first, ...rest].map(({ amount }) => amount),
          [5, 4, 3, 2, 1],
        )
      }),
    )

    it.effect.prop(
      "whatever is asked, in whatever order and how often, the books balance and decisions stand",
      {
        steps: FastCheck.array(
          FastCheck.record({
            what: FastCheck.constantFrom("credit", "debit", "void"),
            key: FastCheck.integer({ min: 0, max: 5 }),
            amount: FastCheck.integer({ min: 1, max: 50 }),
          }),
          { minLength: 1, maxLength: 25 },
        ),
        together: FastCheck.integer({ min: 1, max: 8 }),
      },
      ({ steps, together }) =>
        Effect.gen(function* () {
          const userId = yield* userWith(60)
          const known = new Map<string, string>()
          yield* Effect.forEach(
            steps,
            ({ what, key, amount }) => {
              const id = `prop-${userId}-${key}`
              if (what === "credit") return Effect.either(Effect.asVoid(credit(userId, amount, id)))
              return (what === "debit" ? debit(userId, amount, id) : voidDebit(userId, id)).pipe(
                Effect.flatMap(({ outcome }) =>
                  Effect.sync(() => {
                    assert.strictEqual(known.get(id) ?? outcome, outcome)
                    known.set(id, outcome)
                  }),
                ),
                Effect.catchTag("InvalidInput", () => Effect.void),
              )
            },
            { concurrency: together },
          )
          yield* assertBooks(userId)
        }).pipe(Effect.asVoid),
      { fastCheck: { numRuns: 25 } },
    )
  })
})
