import { assert, layer } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as Exposition from "../metrics/Exposition.ts"
import * as TestMysql from "../testing/TestMysql.ts"
import { make } from "./Mysql.ts"
import { shapeOf } from "./SlowQueries.ts"

const SECRET = "somebody's address"

layer(TestMysql.layer({ migrations: [], main: "main" }), { excludeTestServices: true })((it) => {
  it.effect(
    "a slow statement is counted, and logged once with its text and plan, never with its parameters",
    () =>
      Effect.gen(function* () {
        const lines: Array<Record<string, unknown>> = []
        const log = Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ annotations, message }) => {
            if (String(message) === "a slow query")
              lines.push(Object.fromEntries(HashMap.toEntries(annotations)))
          }),
        )
        const databases = yield* TestMysql.TestDatabases
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { run, sql } = yield* make({
              url: Config.succeed(databases.url("main")),
              maxConnections: 1,
            })
            yield* run(
              "make",
              sql`CREATE TABLE watched (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL) ENGINE = InnoDB`,
            )
            yield* run("fill", sql`INSERT INTO watched (id, name) VALUES (1, 'one'), (2, 'two')`)
            lines.length = 0
            const slow = run(
              "watched.slow",
              sql`SELECT id, SLEEP(0.3) FROM watched WHERE id = ${1} AND name <> ${SECRET}`,
            )
            yield* slow
            yield* slow
            const until = Date.now() + 20_000
            while (!lines.some(({ op }) => op === "watched.slow") && Date.now() < until) {
              yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 25)))
            }
            const told = lines.filter(({ op }) => op === "watched.slow")
            assert.lengthOf(told, 1)
            assert.strictEqual(
              told[0]!["statement"],
              "SELECT id, SLEEP(0.3) FROM watched WHERE id = ? AND name <> ?",
            )
            assert.include(String(told[0]!["plan"]), "watched: const by PRIMARY")
            assert.notInclude(JSON.stringify(told), SECRET)
            const text = yield* Effect.flatten(Exposition.reader("test"))
            assert.include(text, 'floodgate_mysql_slow_queries_total{op="watched.slow"} 2')
          }),
        ).pipe(
          Effect.provide(log),
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["SLOW_QUERY_MS", "250"]]))),
        )
      }),
  )

  it.effect("a statement's shape is one line, and not endless", () =>
    Effect.sync(() => {
      assert.strictEqual(shapeOf("\n  SELECT 1\n    FROM t "), "SELECT 1 FROM t")
      assert.isBelow(shapeOf(`SELECT ${"x".repeat(10_000)}`).length, 2_100)
    }),
  )
})
