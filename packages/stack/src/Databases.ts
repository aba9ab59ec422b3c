/** Databases, users, grants and migrations of one MySQL server. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Grants from "@floodgate/runtime/audit/Grants"
import * as Migrator from "@floodgate/runtime/mysql/Migrator"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as mysql from "mysql2/promise"
import { runEffect } from "./RunEffect.ts"
import { type Database, databases } from "./Services.ts"
import { StackError } from "./StackError.ts"

/** Adds `/<database>` to a server's URL. */
export const withDatabase = (serverUrl: string, database: string): string => {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}

/** The URL under which a service reaches its own database. */
export const serviceUrl = (port: number, database: Database, password: string): string =>
  `mysql://${database}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`

const administer = async <A>(
  adminUrl: string,
  work: (connection: mysql.Connection) => Promise<A>,
): Promise<A> => {
  const connection = await mysql.createConnection({ uri: adminUrl, connectTimeout: 10_000 })
  connection.on("error", () => {})
  try {
    return await work(connection)
  } finally {
    connection.destroy()
  }
}

const folderOf = (root: string, name: Database): string => path.join(root, "packages", name, "migrations")

/** Creates what is missing: a database and a user for each service. `grant` gives the rights, once there are tables. */
export const createDatabases = (adminUrl: string, passwords: Record<Database, string>): Promise<void> =>
  administer(adminUrl, async (connection) => {
    for (const name of databases) {
      await connection.query(
        `CREATE DATABASE IF NOT EXISTS \`${name}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`,
      )
      await connection.query("CREATE USER IF NOT EXISTS ?@'%' IDENTIFIED BY ?", [name, passwords[name]])
      // The data folder may be older than the secrets folder beside it.
      await connection.query("ALTER USER ?@'%' IDENTIFIED BY ?", [name, passwords[name]])
    }
  })

/** Gives a user its rights to its own database, table by table: what is append-only stays so for the service itself. */
export const grantOwn = (adminUrl: string, database: string, user: string): Promise<void> =>
  administer(adminUrl, async (connection) => {
    const [tables] = await connection.query<Array<mysql.RowDataPacket & { readonly name: string }>>(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE'",
      [database],
    )
    const names = tables.map(({ name }) => name)
    for (const statement of Grants.statements(database, names, `${mysql.escape(user)}@'%'`)) {
      await connection.query(statement)
    }
  })

/**
 * Every service's rights, after the migrations of these databases: rights name existing tables. With ordering and
 * inventory comes the one right across databases: an order and its product's stock change in one transaction.
 * UPDATE(stock) alone fails with 1143 on MariaDB: the WHERE needs SELECT.
 */
export const grant = async (adminUrl: string, migrated: ReadonlySet<Database>): Promise<void> => {
  for (const name of migrated) await grantOwn(adminUrl, name, name)
  if (!migrated.has("ordering") || !migrated.has("inventory")) return
  await administer(adminUrl, async (connection) => {
    await connection.query(
      "GRANT SELECT (id, name, price, currency, stock, initial_stock, generation, per_user_limit, state, start_time, end_time), UPDATE (stock) ON inventory.product TO 'ordering'@'%'",
    )
    await connection.query("GRANT SELECT, INSERT ON inventory.stock_log TO 'ordering'@'%'")
    // What the reconciler asks of inventory: which stock changes are half done, and whether events wait for the bus.
    await connection.query(
      "GRANT SELECT (id, product_id, delta, state, created_at) ON inventory.stock_adjustment TO 'ordering'@'%'",
    )
    await connection.query(
      "GRANT SELECT (id, bucket, created_at, sent_at) ON inventory.outbox TO 'ordering'@'%'",
    )
  })
}

/**
 * Runs each service's outstanding migrations, side by side; answers the names of those that ran, as `service/name`. A
 * service without a `migrations` folder keeps nothing yet.
 */
export const migrate = async (
  root: string,
  urls: Partial<Record<Database, string>>,
): Promise<ReadonlyArray<string>> => {
  const results = await runEffect(
    Effect.forEach(
      databases.filter((name) => urls[name] !== undefined && fs.existsSync(folderOf(root, name))),
      (name) =>
        Migrator.run(folderOf(root, name), Redacted.make(urls[name] ?? "")).pipe(
          Effect.map((names) => names.map((migration) => `${name}/${migration}`)),
          Effect.mapError((error) => new StackError(`${name}: ${error.message}`)),
          // One that fails must not interrupt another in the middle of its DDL.
          Effect.either,
        ),
      { concurrency: 2 },
    ),
  )
  const failures = results.flatMap((result) => (Either.isLeft(result) ? [result.left.message] : []))
  if (failures.length > 0) throw new StackError(failures.join("\n"))
  return results.flatMap((result) => (Either.isRight(result) ? result.right : []))
}
