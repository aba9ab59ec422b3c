import { assert, describe, it, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as FreezableProxy from "../testing/FreezableProxy.ts"
import { inject } from "../testing/Injected.ts"
import * as TestMysql from "../testing/TestMysql.ts"
import { affected, Mysql, make, retryConflicts } from "./Mysql.ts"
import { isDuplicateKey } from "./MysqlError.ts"

/** A table of its own, `name`, with rows 1 and 2. */
const table = (name: string) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const { sql } = mysql
    yield* mysql.run(
      "table",
      Effect.gen(function* () {
        yield* sql`CREATE TABLE ${sql(name)} (
          id BIGINT PRIMARY KEY, name VARCHAR(20) NOT NULL, amount BIGINT NOT NULL DEFAULT 0, UNIQUE KEY by_name (name)
        ) ENGINE = InnoDB`
        yield* sql`INSERT INTO ${sql(name)} (id, name) VALUES (1, 'one'), (2, 'two')`
      }),
    )
  })

const amountOf = (name: string, id: number) =>
  Effect.flatMap(Mysql, ({ run, sql }) =>
    Effect.map(
      run("amount", sql<{ amount: number }>`SELECT amount FROM ${sql(name)} WHERE id = ${id}`),
      (rows) => rows[0]?.amount,
    ),
  )

const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    const until = Date.now() + 10_000
    while (!(yield* condition)) {
      if (Date.now() > until) return yield* Effect.dieMessage("it didn't happen within 10 s")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 25)))
    }
  })

/** A pool of its own whose server can be frozen. */
const frozenPool = (options: { readonly deadlineMs: number; readonly maxConnections?: number }) =>
  Effect.gen(function* () {
    const databases = yield* TestMysql.TestDatabases
    const target = new URL(Redacted.value(databases.url("main")))
    const proxy = yield* FreezableProxy.make({ host: target.hostname, port: Number(target.port) })
    target.port = String(proxy.port)
    const mysql = yield* make({ url: Config.succeed(Redacted.make(target.href)), ...options })
    return { proxy, mysql }
  })

const timed = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.map(self, (value) => ({ value, tookMs: performance.now() - startedAt }))
  })

describe("Mysql", () => {
  layer(TestMysql.layer({ migrations: [], main: "main" }), {
    timeout: "60 seconds",
    excludeTestServices: true,
  })((it) => {
    it.effect("sends prepared statements, and integers as integers", () =>
      Effect.gen(function* () {
        yield* table("prepared")
        const { run, sql } = yield* Mysql
        const counted = sql<{ name: string; value: number }>`
          SHOW SESSION STATUS WHERE Variable_name IN ('Com_stmt_execute', 'Com_select')`
        const [before, after] = yield* run(
          "count",
          Effect.gen(function* () {
            const first = yield* counted
            const [row] =
              yield* sql`SELECT ${Number.MAX_SAFE_INTEGER} AS big, ${2n ** 64n - 1n} AS bigger, ${-1} AS small`
            assert.deepStrictEqual(row, {
              big: Number.MAX_SAFE_INTEGER,
              bigger: String(2n ** 64n - 1n),
              small: -1,
            })
            assert.lengthOf(yield* sql`SELECT id FROM prepared ORDER BY id LIMIT ${1}`, 1)
            return [first, yield* counted]
          }),
        )
        const executed = (rows: typeof before) =>
          Number((rows as any)?.find((r: any) => r.Variable_name === "Com_stmt_execute")?.Value)
        assert.isAtLeast(executed(after) - executed(before), 3)
      }),
    )

    it.effect("times are UTC and come as text, JSON as text", () =>
      Effect.gen(function* () {
        const { run, sql } = yield* Mysql
        const [row] = yield* run(
          "time",
          sql`SELECT CAST('2026-01-02 03:04:05.678' AS DATETIME(3)) AS at,
            CAST(ROUND(UNIX_TIMESTAMP(CAST('2026-01-02 03:04:05.678' AS DATETIME(3))) * 1000) AS SIGNED) AS at_ms,
            JSON_OBJECT('a', 1) AS doc`,
        )
        assert.deepStrictEqual(row, {
          at: "2026-01-02 03:04:05.678",
          at_ms: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
          doc: '{"a": 1}',
        })
      }),
    )

    it.effect("a duplicate key names its index, also to the code inside", () =>
      Effect.gen(function* () {
        yield* table("duplicate")
        const { run, sql } = yield* Mysql
        const insert = sql`INSERT INTO duplicate (id, name) VALUES (3, 'one')`
        const error = yield* Effect.flip(run("insert", insert))
        assert.deepInclude(error, { _tag: "MysqlDuplicateKey", op: "insert", key: "by_name" })
        const seen = yield* run("insert", Effect.flip(insert))
        assert.isTrue(isDuplicateKey(seen as never, "by_name"))
        assert.isFalse(isDuplicateKey(seen as never, "PRIMARY"))
        const done = yield* run("insert", affected(sql`INSERT INTO duplicate (id, name) VALUES (4, 'four')`))
        assert.strictEqual(done.affectedRows, 1)
      }),
    )

    it.effect("bad SQL is a defect, not an error to handle", () =>
      Effect.gen(function* () {
        const { run, sql } = yield* Mysql
        const cause = yield* Effect.sandbox(run("bad", sql`SELEKT 1`)).pipe(Effect.flip)
        assert.isTrue(Cause.isDie(cause))
      }),
    )

    it.effect("a statement outside run, after it, or a transaction in another is a defect", () =>
      Effect.gen(function* () {
        const { sql, transaction } = yield* Mysql
        const dies = (self: Effect.Effect<unknown, unknown>) =>
          Effect.map(Effect.flip(Effect.sandbox(self)), (cause) => assert.isTrue(Cause.isDie(cause)))
        yield* dies(sql`SELECT 1`)
        yield* dies(sql.withTransaction(sql`SELECT 1`))
        yield* dies(transaction("outer", transaction("inner", sql`SELECT 1`)))
        const gate = yield* Deferred.make<void>()
        const late = yield* transaction(
          "outer",
          Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), sql`SELECT 1`)),
        )
        yield* Deferred.succeed(gate, undefined)
        yield* dies(Fiber.join(late))
      }),
    )

    it.effect("a fiber that outlives a transaction gets a connection of its own from run", () =>
      Effect.gen(function* () {
        const { run, sql, transaction } = yield* Mysql
        const gate = yield* Deferred.make<void>()
        const late = yield* transaction(
          "outer",
          Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), run("late", sql`SELECT 1 AS one`))),
        )
        yield* Deferred.succeed(gate, undefined)
        assert.deepStrictEqual(yield* Fiber.join(late), [{ one: 1 }])
      }),
    )

    it.effect("a failed transaction leaves nothing; a run inside it is part of it", () =>
      Effect.gen(function* () {
        yield* table("atomic")
        const { run, sql, transaction } = yield* Mysql
        const add = run("add", sql`UPDATE atomic SET amount = amount + 1 WHERE id = 1`)
        assert.strictEqual(
          yield* Effect.flip(transaction("t", Effect.zipRight(add, Effect.fail("no")))),
          "no",
        )
        assert.strictEqual(yield* amountOf("atomic", 1), 0)
        const added = yield* Deferred.make<void>()
        const interrupted = yield* Effect.fork(
          transaction(
            "t",
            Effect.zipRight(add, Effect.zipRight(Deferred.succeed(added, undefined), Effect.never)),
          ),
        )
        yield* Deferred.await(added)
        yield* Fiber.interrupt(interrupted)
        yield* transaction("t", add)
        assert.strictEqual(yield* amountOf("atomic", 1), 1)
      }),
    )

    it.effect("a deadlock is a conflict, and redoing it succeeds", () =>
      Effect.gen(function* () {
        yield* table("deadlock")
        const { sql, transaction } = yield* Mysql
        const bump = (id: number) => sql`UPDATE deadlock SET amount = amount + 1 WHERE id = ${id}`
        const both = (
          first: number,
          second: number,
          mine: Deferred.Deferred<void>,
          theirs: Deferred.Deferred<void>,
        ) =>
          transaction(
            "both",
            Effect.gen(function* () {
              yield* bump(first)
              yield* Deferred.succeed(mine, undefined)
              yield* Deferred.await(theirs)
              yield* bump(second)
            }),
          )
        const a = yield* Deferred.make<void>()
        const b = yield* Deferred.make<void>()
        const results = yield* Effect.all(
          [Effect.either(both(1, 2, a, b)), Effect.either(both(2, 1, b, a))],
          { concurrency: "unbounded" },
        )
        const errors = results.flatMap((result) => (result._tag === "Left" ? [result.left] : []))
        assert.lengthOf(errors, 1)
        assert.deepInclude(errors[0], { _tag: "MysqlConflict", errno: 1213 })

        const c = yield* Deferred.make<void>()
        const d = yield* Deferred.make<void>()
        yield* Effect.all([retryConflicts(both(1, 2, c, d)), retryConflicts(both(2, 1, d, c))], {
          concurrency: "unbounded",
        })
        assert.strictEqual(yield* amountOf("deadlock", 1), 3)
        assert.strictEqual(yield* amountOf("deadlock", 2), 3)
      }),
    )

    it.effect("after a conflict that was caught the transaction still can't commit half of itself", () =>
      Effect.gen(function* () {
        yield* table("caught")
        const { run, sql, transaction } = yield* Mysql
        const locked = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        const holder = yield* Effect.fork(
          transaction(
            "hold",
            Effect.gen(function* () {
              yield* sql`SELECT id FROM caught WHERE id = 1 FOR UPDATE`
              yield* Deferred.succeed(locked, undefined)
              yield* Deferred.await(release)
            }),
          ),
        )
        yield* Deferred.await(locked)
        const error = yield* Effect.flip(
          transaction(
            "half",
            Effect.gen(function* () {
              yield* sql`UPDATE caught SET amount = 7 WHERE id = 2`
              yield* Effect.ignore(sql`SELECT id FROM caught WHERE id = 1 FOR UPDATE NOWAIT`)
            }),
          ),
        )
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(holder)
        assert.strictEqual(error._tag, "MysqlConflict")
        assert.strictEqual(yield* amountOf("caught", 2), 0)
        assert.deepStrictEqual(yield* run("fine", sql`SELECT 1 AS one`), [{ one: 1 }])
      }),
    )

    it.effect("a transaction that waits for a locked row keeps its deadline, and certainly did nothing", () =>
      Effect.gen(function* () {
        yield* table("locked")
        const { sql, transaction } = yield* Mysql
        const locked = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        const holder = yield* Effect.fork(
          transaction(
            "hold",
            Effect.gen(function* () {
              yield* sql`UPDATE locked SET amount = 1 WHERE id = 1`
              yield* Deferred.succeed(locked, undefined)
              yield* Deferred.await(release)
            }),
          ),
        )
        yield* Deferred.await(locked)
        const waiting = transaction("wait", sql`UPDATE locked SET amount = 2 WHERE id = 1`, {
          deadlineMs: 400,
        })
        for (const self of [waiting, Effect.uninterruptible(waiting)]) {
          const { value, tookMs } = yield* timed(Effect.flip(self))
          assert.deepInclude(value, { _tag: "MysqlUnavailable", op: "wait", outcomeUnknown: false })
          assert.isBelow(tookMs, 1_500)
        }
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(holder)
        assert.strictEqual(yield* amountOf("locked", 1), 1)
      }),
    )

    it.effect("a frozen server is answered for within the deadline, and the pool recovers", () =>
      Effect.scoped(
        Effect.gen(function* () {
          yield* table("frozen")
          const { proxy, mysql } = yield* frozenPool({ deadlineMs: 400, maxConnections: 2 })
          const { sql } = mysql
          const update = sql`UPDATE frozen SET amount = amount + 1 WHERE id = 1`
          yield* mysql.run("warm", sql`SELECT 1`)
          yield* proxy.freeze
          const { value, tookMs } = yield* timed(
            Effect.all(
              [
                Effect.flip(mysql.transaction("t", update)),
                Effect.flip(mysql.run("r", update)),
                // These two wait for a connection.
                Effect.flip(mysql.run("r", update)),
                Effect.flip(Effect.uninterruptible(mysql.transaction("t", update))),
              ],
              { concurrency: "unbounded" },
            ),
          )
          assert.isBelow(tookMs, 1_500)
          assert.deepStrictEqual(
            value.map((error) => error._tag),
            Array.from({ length: 4 }, () => "MysqlUnavailable"),
          )
          yield* proxy.thaw
          yield* eventually(
            mysql.run("again", sql`SELECT 1`).pipe(
              Effect.as(true),
              Effect.orElseSucceed(() => false),
            ),
          )
        }),
      ),
    )

    it.effect("a COMMIT without an answer is an unknown outcome", () =>
      Effect.scoped(
        Effect.gen(function* () {
          yield* table("unknown")
          const { proxy, mysql } = yield* frozenPool({ deadlineMs: 500 })
          const { sql } = mysql
          const error = yield* Effect.flip(
            mysql.transaction(
              "t",
              Effect.zipRight(sql`UPDATE unknown SET amount = 5 WHERE id = 1`, proxy.freeze),
            ),
          )
          assert.deepInclude(error, { _tag: "MysqlUnavailable", outcomeUnknown: true })
          const cut = yield* Effect.scoped(
            Effect.gen(function* () {
              const { proxy: second, mysql: other } = yield* frozenPool({ deadlineMs: 5_000 })
              return yield* Effect.flip(
                other.transaction(
                  "cut",
                  Effect.zipRight(other.sql`SELECT 1`, Effect.zipRight(second.cut, other.sql`SELECT 1`)),
                ),
              )
            }),
          )
          assert.deepInclude(cut, { _tag: "MysqlUnavailable", outcomeUnknown: false })
        }),
      ),
    )

    it.effect("callers beyond the waiting line are refused at once", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const databases = yield* TestMysql.TestDatabases
          const { run, sql } = yield* make({
            url: Config.succeed(databases.url("main")),
            maxConnections: 1,
            maxWaiting: 1,
          })
          const first = yield* Effect.fork(run("slow", sql`SELECT SLEEP(0.3)`))
          const second = yield* Effect.fork(run("slow", sql`SELECT 1`))
          yield* Effect.yieldNow()
          const { value, tookMs } = yield* timed(Effect.flip(run("refused", sql`SELECT 1`)))
          assert.deepInclude(value, { _tag: "MysqlUnavailable", outcomeUnknown: false })
          assert.isBelow(tookMs, 200)
          yield* Fiber.join(first)
          yield* Fiber.join(second)
        }),
      ),
    )

    it.effect("connections have the session settings asked for, and READ COMMITTED", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const databases = yield* TestMysql.TestDatabases
          const { run, sql } = yield* make({
            url: Config.succeed(databases.url("main")),
            session: { wait_timeout: 10, innodb_lock_wait_timeout: 3 },
          })
          const rows = yield* run(
            "settings",
            sql`SELECT @@session.wait_timeout AS wait, @@session.innodb_lock_wait_timeout AS lock_wait`,
          )
          assert.deepStrictEqual(rows, [{ wait: 10, lock_wait: 3 }])
        }),
      ),
    )
  })

  it.effect("an unreachable server, a wrong database and a bad URL stop the start", () =>
    Effect.gen(function* () {
      const start = (url: string) =>
        Effect.flip(Effect.scoped(make({ url: Config.succeed(Redacted.make(url)), deadlineMs: 3_000 })))
      assert.strictEqual((yield* start("mysql://u:p@127.0.0.1:1/x"))._tag, "MysqlUnavailable")
      const target = new URL(inject("mysqlUrl"))
      target.pathname = "/there_is_no_such_database"
      assert.strictEqual((yield* start(target.href))._tag, "MysqlUnavailable")
      const bad = yield* start("postgres://u:geheim@h/x")
      assert.strictEqual(bad._tag, "ConfigInvalid")
      assert.notInclude(String(bad), "geheim")
    }).pipe(Effect.provide(Layer.empty)),
  )
})
