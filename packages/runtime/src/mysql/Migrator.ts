/**
 * Brings a database to the newest of its numbered migrations, forward only. DDL commits by itself, so a migration
 * that stopped half way can't be rolled back: it is recorded as started before its first statement and as finished
 * after its last, and a started, unfinished one stops every later run with its name.
 */
import * as crypto from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Driver from "mysql2"
import type { ConfigInvalid } from "../config/AppConfig.ts"
import { parseUrl } from "./Mysql.ts"
import { MysqlUnavailable } from "./MysqlError.ts"
import { statementsOf } from "./SqlScript.ts"

/** A migration was started and never finished: a person looks at the schema, repairs it, and settles the row. */
export class MigrationUnfinished extends Data.TaggedError("MigrationUnfinished")<{ readonly name: string }> {
  override get message(): string {
    return `Migration ${this.name} was started and didn't finish. Compare the schema with its file, repair it by hand, then set finished_at in schema_migration (or delete its row to run it again).`
  }
}

/** The files and the record disagree: one was changed after it ran, is missing, or is numbered out of order. */
export class MigrationMismatch extends Data.TaggedError("MigrationMismatch")<{
  readonly name: string
  readonly reason: string
}> {
  override get message(): string {
    return `Migration ${this.name} ${this.reason}`
  }
}

/** A statement (counted from 1) failed; the migration stays recorded as started. */
export class MigrationFailed extends Data.TaggedError("MigrationFailed")<{
  readonly name: string
  readonly statement: number
  readonly cause: unknown
}> {
  override get message(): string {
    const reason = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `Migration ${this.name} failed at statement ${this.statement}: ${reason}`
  }
}

export type MigrationError =
  | ConfigInvalid
  | MigrationUnfinished
  | MigrationMismatch
  | MigrationFailed
  | MysqlUnavailable

interface Migration {
  readonly id: number
  readonly name: string
  readonly checksum: string
  readonly statements: ReadonlyArray<string>
}

const CREATE = `CREATE TABLE IF NOT EXISTS schema_migration (
  id INT UNSIGNED NOT NULL PRIMARY KEY,
  name VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  checksum CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  started_at DATETIME(3) NOT NULL,
  finished_at DATETIME(3) NULL
) ENGINE = InnoDB`

/** How long a second migrator waits for the first one, in seconds. */
const LOCK_WAIT_S = 60

/** How long one statement may take, in ms: an ALTER of a large table is slow, a frozen server must not hold us for ever. */
const STATEMENT_MS = 15 * 60_000

const connect = (url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const target = yield* parseUrl(url)
    const connection = yield* Effect.acquireRelease(
      Effect.async<Driver.Connection, MysqlUnavailable>((resume) => {
        const opened = Driver.createConnection({
          ...target,
          charset: "utf8mb4",
          timezone: "Z",
          multipleStatements: false,
          connectTimeout: 10_000,
        })
        // Without a listener a connection that breaks while idle would end the process.
        opened.on("error", () => {})
        opened.connect((cause) =>
          resume(
            cause
              ? Effect.fail(new MysqlUnavailable({ op: "migrate", outcomeUnknown: false, cause }))
              : Effect.succeed(opened),
          ),
        )
      }),
      (opened) => Effect.sync(() => opened.destroy()),
    )
    const query = (sql: string, values: ReadonlyArray<string | number> = []) =>
      Effect.async<ReadonlyArray<any>, Driver.QueryError>((resume) => {
        connection.query({ sql, values: [...values], timeout: STATEMENT_MS }, (cause, result) =>
          resume(cause ? Effect.fail(cause) : Effect.succeed(Array.isArray(result) ? result : [])),
        )
      })
    return { query, database: target.database }
  })

const read = (dir: string): Effect.Effect<ReadonlyArray<Migration>, MigrationMismatch> =>
  Effect.gen(function* () {
    const names = yield* Effect.tryPromise({
      try: async () => (await fs.readdir(dir)).filter((name) => name.endsWith(".sql")).sort(),
      catch: () => new MigrationMismatch({ name: dir, reason: "isn't a folder that can be read" }),
    })
    const migrations: Array<Migration> = []
    for (const file of names) {
      const match = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(file)
      const name = file.replace(/\.sql$/, "")
      if (match === null) {
        return yield* new MigrationMismatch({ name, reason: "isn't named like 0001_what_it_does.sql" })
      }
      const id = Number(match[1])
      if (id !== migrations.length + 1) {
        return yield* new MigrationMismatch({ name, reason: `isn't number ${migrations.length + 1}` })
      }
      const text = yield* Effect.tryPromise({
        try: () => fs.readFile(path.join(dir, file), "utf8"),
        catch: () => new MigrationMismatch({ name, reason: "can't be read" }),
      })
      migrations.push({
        id,
        name,
        checksum: crypto.createHash("sha256").update(text).digest("hex"),
        statements: statementsOf(text),
      })
    }
    return migrations
  })

/** A lock's name has at most 64 characters, and locks are the whole server's. */
const lockName = (database: string): string =>
  `floodgate.migrate.${crypto.createHash("sha256").update(database).digest("hex").slice(0, 32)}`

const migrate = (
  dir: string,
  url: Redacted.Redacted,
): Effect.Effect<ReadonlyArray<string>, MigrationError, Scope.Scope> =>
  Effect.gen(function* () {
    const migrations = yield* read(dir)
    const { query: raw, database } = yield* connect(url)
    const query = (sql: string, values?: ReadonlyArray<string | number>) =>
      Effect.mapError(
        raw(sql, values),
        (cause) => new MysqlUnavailable({ op: "migrate", outcomeUnknown: false, cause }),
      )

    // The lock belongs to this connection: if it or we die, it is free again.
    const [lock] = yield* query("SELECT GET_LOCK(?, ?) AS got", [lockName(database), LOCK_WAIT_S])
    if (lock?.got !== 1) {
      return yield* new MysqlUnavailable({
        op: "migrate",
        outcomeUnknown: false,
        cause: new Error(`another migration of ${database} is running`),
      })
    }
    yield* query(CREATE)
    const recorded: ReadonlyArray<{ id: number; name: string; checksum: string; finished: number }> =
      yield* query(
        "SELECT id, name, checksum, finished_at IS NOT NULL AS finished FROM schema_migration ORDER BY id",
      )
    for (const row of recorded) {
      if (row.finished === 0) return yield* new MigrationUnfinished({ name: row.name })
      const file = migrations[row.id - 1]
      if (file === undefined || file.name !== row.name) {
        return yield* new MigrationMismatch({ name: row.name, reason: "ran here, but its file is gone" })
      }
      if (file.checksum !== row.checksum) {
        return yield* new MigrationMismatch({ name: row.name, reason: "was changed after it ran here" })
      }
    }
    const done = new Set(recorded.map((row) => row.id))
    const missed = migrations.find((file) => !done.has(file.id) && file.id < recorded.length)
    if (missed !== undefined) {
      return yield* new MigrationMismatch({ name: missed.name, reason: "never ran here, but later ones did" })
    }

    const ran: Array<string> = []
    for (const { id, name, checksum, statements } of migrations) {
      if (done.has(id)) continue
      yield* query(
        "INSERT INTO schema_migration (id, name, checksum, started_at) VALUES (?, ?, ?, UTC_TIMESTAMP(3))",
        [id, name, checksum],
      )
      for (const [index, statement] of statements.entries()) {
        yield* Effect.mapError(
          raw(statement),
          (cause) => new MigrationFailed({ name, statement: index + 1, cause }),
        )
      }
      yield* query("UPDATE schema_migration SET finished_at = UTC_TIMESTAMP(3) WHERE id = ?", [id])
      ran.push(name)
      yield* Effect.logInfo("migrated").pipe(Effect.annotateLogs({ database, migration: name }))
    }
    return ran
  })

/**
 * Runs what has not run yet of `<dir>/0001_name.sql`, `0002_…`, in order, one migrator of a database at a time, and
 * answers the names of those it ran.
 * Fails with MigrationUnfinished, MigrationMismatch or MigrationFailed, each with the migration's name.
 */
export const run = (
  dir: string,
  url: Redacted.Redacted,
): Effect.Effect<ReadonlyArray<string>, MigrationError> =>
  Effect.scoped(migrate(dir, url)).pipe(Effect.withSpan("Migrator.run", { attributes: { dir } }))
