import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestMysql from "../testing/TestMysql.ts"
import * as Migrator from "./Migrator.ts"
import { Mysql } from "./Mysql.ts"
import { statementsOf } from "./SqlScript.ts"

const folder = (files: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const dir = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-migrations-"))
      for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text)
      return dir
    }),
    (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true })),
  )

const migrate = (dir: string) =>
  Effect.flatMap(TestMysql.TestDatabases, (databases) => Migrator.run(dir, databases.url("main")))

const fresh = Effect.flatMap(Mysql, ({ run, sql }) =>
  run(
    "fresh",
    Effect.gen(function* () {
      const rows = yield* sql<{ name: string }>`
        SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()`
      yield* Effect.forEach(rows, ({ name }) => sql`DROP TABLE ${sql(name)}`)
    }),
  ),
)

const tables = Effect.flatMap(Mysql, ({ run, sql }) =>
  run(
    "tables",
    Effect.map(
      sql<{ name: string }>`
        SELECT table_name AS name FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_name <> 'schema_migration' ORDER BY 1`,
      (rows) => rows.map(({ name }) => name),
    ),
  ),
)

describe("Migrator", () => {
  it("splits a script at its semicolons only", () => {
    assert.deepStrictEqual(
      statementsOf(`-- first; comment
        INSERT INTO t VALUES ('a;b', "c'';d", \`e;f\`, 'it''s; \\'ok');  # another; one
        /* a; b */ SELECT 1 -- end
        ; /*!50000 SELECT 2; */ ; ;
        SELECT 5--3`),
      [
        `INSERT INTO t VALUES ('a;b', "c'';d", \`e;f\`, 'it''s; \\'ok')`,
        "SELECT 1",
        "/*!50000 SELECT 2; */",
        "SELECT 5--3",
      ],
    )
  })

  layer(TestMysql.layer({ migrations: [], main: "main" }), {
    timeout: "60 seconds",
    excludeTestServices: true,
  })((it) => {
    it.scoped("runs what is new, in order, once", () =>
      Effect.gen(function* () {
        yield* fresh
        const dir = yield* folder({
          "0002_b.sql": "CREATE TABLE b (id INT); INSERT INTO b VALUES (1);",
          "0001_a.sql": "CREATE TABLE a (id INT);",
          "notes.txt": "not a migration",
        })
        assert.deepStrictEqual(yield* migrate(dir), ["0001_a", "0002_b"])
        assert.deepStrictEqual(yield* migrate(dir), [])
        fs.writeFileSync(path.join(dir, "0003_c.sql"), "CREATE TABLE c (id INT)")
        assert.deepStrictEqual(yield* migrate(dir), ["0003_c"])
        assert.deepStrictEqual(yield* tables, ["a", "b", "c"])
      }),
    )

    it.scoped("two at once: one migrates, the other finds it done", () =>
      Effect.gen(function* () {
        yield* fresh
        const dir = yield* folder({ "0001_a.sql": "CREATE TABLE a (id INT); DO SLEEP(0.2);" })
        const ran = yield* Effect.all([migrate(dir), migrate(dir)], { concurrency: "unbounded" })
        assert.deepStrictEqual(ran.flat(), ["0001_a"])
      }),
    )

    it.scoped("one killed in the middle stops every later run with its name", () =>
      Effect.gen(function* () {
        yield* fresh
        const { run, sql } = yield* Mysql
        const dir = yield* folder({
          "0001_a.sql": "CREATE TABLE a (id INT);",
          "0002_slow.sql": "CREATE TABLE b (id INT); DO SLEEP(60); CREATE TABLE c (id INT);",
          "0003_d.sql": "CREATE TABLE d (id INT);",
        })
        const running = yield* Effect.fork(Effect.flip(migrate(dir)))
        const find = run(
          "find",
          sql<{ id: number }>`
            SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info = 'DO SLEEP(60)'`,
        )
        let found = yield* find
        const until = Date.now() + 10_000
        while (found.length === 0 && Date.now() < until) found = yield* find
        yield* run("kill", sql.unsafe(`KILL ${found[0]?.id}`))
        assert.deepInclude(yield* Fiber.join(running), {
          _tag: "MigrationFailed",
          name: "0002_slow",
          statement: 2,
        })
        for (let again = 0; again < 2; again++) {
          const error = yield* Effect.flip(migrate(dir))
          assert.deepInclude(error, { _tag: "MigrationUnfinished", name: "0002_slow" })
          assert.include(error.message, "0002_slow")
        }
        assert.deepStrictEqual(yield* tables, ["a", "b"])
      }),
    )

    it.scoped("a statement that fails is named, and what it left unfinished stops later runs", () =>
      Effect.gen(function* () {
        yield* fresh
        const dir = yield* folder({ "0001_a.sql": "CREATE TABLE a (id INT); CREATE TABLE a (id INT);" })
        assert.deepInclude(yield* Effect.flip(migrate(dir)), { _tag: "MigrationFailed", statement: 2 })
        assert.deepInclude(yield* Effect.flip(migrate(dir)), { _tag: "MigrationUnfinished", name: "0001_a" })
      }),
    )

    it.scoped("a file that was changed, lost, misnamed or numbered with a gap is refused", () =>
      Effect.gen(function* () {
        yield* fresh
        const dir = yield* folder({ "0001_a.sql": "CREATE TABLE a (id INT);" })
        yield* migrate(dir)
        const refused = (name: string) =>
          Effect.map(Effect.flip(migrate(dir)), (error) =>
            assert.deepInclude(error, { _tag: "MigrationMismatch", name }),
          )
        fs.writeFileSync(path.join(dir, "0001_a.sql"), "CREATE TABLE a (id BIGINT);")
        yield* refused("0001_a")
        fs.renameSync(path.join(dir, "0001_a.sql"), path.join(dir, "0001_z.sql"))
        yield* refused("0001_a")
        fs.renameSync(path.join(dir, "0001_z.sql"), path.join(dir, "0002_z.sql"))
        yield* refused("0002_z")
        fs.renameSync(path.join(dir, "0002_z.sql"), path.join(dir, "z.sql"))
        yield* refused("z")
      }),
    )
  })
})
