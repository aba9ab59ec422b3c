/** Fresh, migrated databases for one test file, on the run's real MySQL; dropped at the end. For tests only. */
import * as crypto from "node:crypto"
import * as path from "node:path"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Driver from "mysql2/promise"
import * as AppConfig from "../config/AppConfig.ts"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as Migrator from "../mysql/Migrator.ts"
import * as MysqlModule from "../mysql/Mysql.ts"
import { inject } from "./Injected.ts"

/** The databases of this test file. */
export class TestDatabases extends Context.Tag("@floodgate/runtime/testing/TestDatabases")<
  TestDatabases,
  {
    /** The database that stands for this service's, e.g. `schema("inventory")`. */
    readonly schema: (service: string) => string
    /** Its URL, `mysql://root@…/<schema>`. */
    readonly url: (service: string) => Redacted.Redacted
  }
>() {}

export interface TestMysqlOptions {
  /** Services whose `packages/<service>/migrations` to run, each in its own database; or a folder under a name. */
  readonly migrations: ReadonlyArray<string | { readonly name: string; readonly dir: string }>
  /** The database that `Mysql` is connected to; made empty when no migrations are named for it. */
  readonly main: string
  readonly mysql?: Omit<MysqlModule.MysqlOptions, "url">
}

const withAdmin = <A>(f: (connection: Driver.Connection) => Promise<A>): Effect.Effect<A> =>
  Effect.promise(async () => {
    const connection = await Driver.createConnection(inject("mysqlUrl"))
    try {
      return await f(connection)
    } finally {
      await connection.end()
    }
  })

/** `TestDatabases` alone: for tests that make their own pools. */
export const databases = (options: TestMysqlOptions): Layer.Layer<TestDatabases> =>
  Layer.scoped(
    TestDatabases,
    Effect.gen(function* () {
      const root = yield* AppConfig.load(AppConfig.root)
      const migrations = options.migrations.map((migration) =>
        typeof migration === "string"
          ? { name: migration, dir: path.join(root, "packages", migration, "migrations") }
          : migration,
      )
      const prefix = `t${crypto.randomBytes(6).toString("hex")}`
      const schema = (service: string) => `${prefix}_${service}`
      const url = (service: string) => {
        const target = new URL(inject("mysqlUrl"))
        target.pathname = `/${schema(service)}`
        return Redacted.make(target.href)
      }
      const names = [...new Set([options.main, ...migrations.map(({ name }) => name)])]
      yield* Effect.acquireRelease(
        withAdmin(async (connection) => {
          for (const name of names) {
            await connection.query(`CREATE DATABASE ${schema(name)} CHARACTER SET utf8mb4`)
          }
        }),
        () =>
          withAdmin(async (connection) => {
            for (const name of names) await connection.query(`DROP DATABASE IF EXISTS ${schema(name)}`)
          }),
      )
      for (const { name, dir } of migrations) yield* Migrator.run(dir, url(name))
      return { schema, url }
    }),
  ).pipe(Layer.orDie)

/** Fresh databases, and `Mysql` on the main one. */
export const layer = (options: TestMysqlOptions): Layer.Layer<MysqlModule.Mysql | TestDatabases> =>
  Layer.unwrapEffect(
    Effect.map(TestDatabases, (made) =>
      MysqlModule.layer({
        // Test machines are slow, and a test of a deadline says its own.
        deadlineMs: 20_000,
        ...options.mysql,
        url: Config.succeed(made.url(options.main)),
      }),
    ),
  ).pipe(Layer.provide(Readiness.layer), Layer.orDie, Layer.provideMerge(databases(options)))

/** The name of the database that stands for a service's. */
export const schema = (service: string): Effect.Effect<string, never, TestDatabases> =>
  Effect.map(TestDatabases, (made) => made.schema(service))
