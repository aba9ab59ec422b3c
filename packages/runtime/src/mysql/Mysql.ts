/**
 * MySQL or MariaDB, with deadlines that hold.
 *
 * The statements are @effect/sql's; the connections are ours, because @effect/sql-mysql2's client (0.53) can neither
 * switch multi-statements off, nor give up a connection whose server stopped answering, and turns a failing COMMIT
 * into a defect.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import type { Statement } from "@effect/sql/Statement"
import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Driver from "mysql2"
import * as AppConfig from "../config/AppConfig.ts"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as Instrument from "../metrics/Instrument.ts"
import { failAfter } from "../resilience/Bounded.ts"
import * as Breakers from "../resilience/Breakers.ts"
import { defaults as deadlines, exceeded } from "../resilience/Deadlines.ts"
import {
  classify,
  MysqlConflict,
  MysqlDuplicateKey,
  type MysqlError,
  MysqlUnavailable,
} from "./MysqlError.ts"
import * as MysqlMetrics from "./MysqlMetrics.ts"
import { MysqlSession, parameter } from "./MysqlSession.ts"
import { ServerTime, TOLERATED_MS } from "./ServerTime.ts"
import * as SlowQueries from "./SlowQueries.ts"

export interface RunOptions {
  /** Time for everything: the wait for a connection, the statements, the COMMIT. */
  readonly deadlineMs?: number
  /** Neither asks the breaker nor tells it anything: for what looks whether MySQL is there. */
  readonly bypassBreaker?: boolean
}

export interface MysqlService {
  /** For statements inside `run` and `transaction`; a statement outside of them is a defect. */
  readonly sql: SqlClient.SqlClient
  /**
   * Runs statements on one connection, each committed by itself. Inside a transaction it joins that transaction.
   * `op` names the span and the error.
   */
  readonly run: <A, E, R>(
    op: string,
    self: Effect.Effect<A, E, R>,
    options?: RunOptions,
  ) => Effect.Effect<A, Exclude<E, SqlError> | MysqlError, R>
  /**
   * Runs statements in one transaction (READ COMMITTED): committed when `self` succeeds, else rolled back.
   * Transactions don't nest: one inside another is a defect.
   */
  readonly transaction: <A, E, R>(
    op: string,
    self: Effect.Effect<A, E, R>,
    options?: RunOptions,
  ) => Effect.Effect<A, Exclude<E, SqlError> | MysqlError, R>
}

export class Mysql extends Context.Tag("@floodgate/runtime/mysql/Mysql")<Mysql, MysqlService>() {}

export interface MysqlOptions {
  /** `mysql://user:password@host:port/database` */
  readonly url: Config.Config<Redacted.Redacted>
  /** Default 10. */
  readonly maxConnections?: number
  /** How many may wait for a connection; more fail at once. Default 256. */
  readonly maxWaiting?: number
  /** Session variables of every connection, e.g. `{ wait_timeout: 10 }`. */
  readonly session?: Readonly<Record<string, string | number>>
  /** Default of `RunOptions.deadlineMs`; else those of `Deadlines`: 2 s for `run`, 5 s for `transaction`. */
  readonly deadlineMs?: number
  /** Sets the breaker of a second database apart (`mysql:<name>`); "mysql" unless said. */
  readonly name?: string
}

/** The connection that the current fiber's statements go to. */
class Current extends Context.Tag("@floodgate/runtime/mysql/Current")<
  Current,
  { readonly session: MysqlSession; readonly op: string; readonly transactional: boolean }
>() {}

const rows = (result: unknown): ReadonlyArray<any> => (Array.isArray(result) ? result : [])

const connectionOf = (session: MysqlSession): Connection => {
  const execute: Connection["execute"] = (sql, params, transformRows) => {
    const result = Effect.map(session.execute(sql, params), rows)
    return transformRows === undefined ? result : Effect.map(result, transformRows)
  }
  return {
    execute,
    // Prepared statements only: the text protocol is never used for a caller's SQL.
    executeUnprepared: execute,
    executeRaw: (sql, params) => session.execute(sql, params),
    executeValues: (sql, params) => Effect.map(session.execute(sql, params, true), rows),
    executeStream: (sql, params, transformRows) =>
      Stream.fromIterableEffect(execute(sql, params, transformRows)),
  }
}

const outside = Effect.dieMessage("A statement was run outside Mysql.run and Mysql.transaction")

const makeSql = SqlClient.make({
  acquirer: outside,
  compiler: MysqlClient.makeCompiler(),
  spanAttributes: [["db.system.name", "mysql"]],
}).pipe(
  Effect.map((client): SqlClient.SqlClient => {
    const guarded = Object.assign(client, {
      withTransaction: () => Effect.dieMessage("Use Mysql.transaction: it has a deadline and typed errors"),
    })
    return guarded
  }),
  Effect.provide(Reactivity.layer),
)

const identifier = /^[a-z_][a-z0-9_]*$/

const sessionStatements = (session: Readonly<Record<string, string | number>>): ReadonlyArray<string> => {
  const variables = Object.entries({ time_zone: "+00:00", ...session }).map(([name, value]) => {
    if (!identifier.test(name)) throw new Error(`not a session variable: ${name}`)
    return `${name} = ${typeof value === "number" ? value : Driver.escape(value)}`
  })
  return ["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", `SET SESSION ${variables.join(", ")}`]
}

/** Parses a `mysql://` URL; fails with what is wrong, without the URL (it holds a password). */
export const parseUrl = (
  url: Redacted.Redacted,
): Effect.Effect<
  { host: string; port: number; user: string; password: string; database: string },
  AppConfig.ConfigInvalid
> =>
  Effect.try({
    try: () => {
      const parsed = new URL(Redacted.value(url))
      if (parsed.protocol !== "mysql:" || parsed.hostname === "") throw new Error("not mysql://")
      return {
        host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"),
        port: parsed.port === "" ? 3306 : Number(parsed.port),
        user: decodeURIComponent(parsed.username),
        password: decodeURIComponent(parsed.password),
        database: decodeURIComponent(parsed.pathname.slice(1)),
      }
    },
    catch: () =>
      new AppConfig.ConfigInvalid({
        issues: ["a MySQL URL must be mysql://user:password@host:port/database"],
      }),
  })

/** Our own bound, met. */
class CrowdedPool extends Error {}

/** Our own deadline, passed. */
class NoAnswer extends Error {}

/** What an error says of MySQL: a conflict, a duplicate key and whatever the caller fails with are answers. */
const verdictOn = (error: unknown, tookMs: number, deadlineMs: number): Breakers.Verdict => {
  if (!(error instanceof MysqlUnavailable)) return "answered"
  if (error.cause instanceof CrowdedPool) return "ignored"
  return error.cause instanceof NoAnswer ? Breakers.timedOut(tookMs, deadlineMs) : "failed"
}

/** `SLOW_QUERY_MS`: a statement that takes longer is logged with its plan, and counted; 200 unless said. */
export const slowQueryMs: Config.Config<number> = Config.withDefault(Config.integer("SLOW_QUERY_MS"), 200)

/** How long a plan may take to be had (ms). */
const EXPLAIN_MS = 1_000

/** A statement's plan, asked for on a connection of its own: who looks at slow queries must not take the pool's places. */
const explain = (
  target: Driver.ConnectionOptions,
  text: string,
  params: ReadonlyArray<unknown>,
): Effect.Effect<ReadonlyArray<SlowQueries.PlanRow>, unknown> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const connection = Driver.createConnection({ ...target, connectTimeout: EXPLAIN_MS })
      // Told to whoever waits on it, too.
      connection.on("error", () => {})
      return connection
    }),
    (connection) =>
      Effect.async<ReadonlyArray<SlowQueries.PlanRow>, unknown>((resume) => {
        connection.execute(`EXPLAIN ${text}`, params.map(parameter) as any, (cause, result) =>
          resume(cause ? Effect.fail(cause) : Effect.succeed(rows(result))),
        )
      }),
    (connection) => Effect.sync(() => connection.destroy()),
  ).pipe(Effect.timeout(EXPLAIN_MS))

/** How an operation failed; undefined where the failure is the caller's own. */
const kindOf = (cause: Cause.Cause<unknown>) => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (failure instanceof MysqlUnavailable) {
    if (failure.retryAfterMs !== undefined) return "breaker_open"
    if (failure.cause instanceof CrowdedPool) return "crowded"
    return failure.cause instanceof NoAnswer ? "timeout" : "unavailable"
  }
  if (failure instanceof MysqlConflict) return "conflict"
  if (failure instanceof MysqlDuplicateKey) return "duplicate_key"
  return Cause.isDie(cause) ? "defect" : undefined
}

const isSqlError = (u: unknown): u is SqlError => u instanceof SqlError

/**
 * A pool of connections to one database.
 * Fails with ConfigInvalid for a bad URL or a server whose settings break our promises, with MysqlUnavailable when
 * it can't be reached.
 */
export const make = (
  options: MysqlOptions,
): Effect.Effect<MysqlService, AppConfig.ConfigInvalid | MysqlUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const url = yield* AppConfig.load(options.url)
    const target = yield* parseUrl(url)
    const maxConnections = options.maxConnections ?? 10
    const maxWaiting = options.maxWaiting ?? 256
    const deadlineOf = (transactional: boolean): number =>
      options.deadlineMs ?? deadlines[transactional ? "mysql.transaction" : "mysql.query"]
    const session = options.session ?? {}
    const setUp = sessionStatements(session)
    const waitTimeoutMs = Number(session["wait_timeout"] ?? 60) * 1000
    const breaker = yield* Breakers.gate("mysql", options.name)
    const slowMs = yield* AppConfig.load(slowQueryMs)

    const pool = Driver.createPool({
      ...target,
      charset: "utf8mb4",
      timezone: "Z",
      dateStrings: true,
      jsonStrings: true,
      supportBigNumbers: true,
      multipleStatements: false,
      connectionLimit: maxConnections,
      // Our semaphore keeps callers in line; only connections on their way out can make one wait here.
      queueLimit: maxConnections * 2,
      connectTimeout: deadlines["mysql.connect"],
      // An idle connection goes before the server hangs up on it.
      maxIdle: Math.max(1, maxConnections - 1),
      idleTimeout: Math.min(60_000, Math.max(1000, waitTimeoutMs / 2)),
      maxPreparedStatements: 256,
      enableKeepAlive: true,
      keepAliveInitialDelay: 10_000,
    })
    yield* Effect.addFinalizer(() => closePool(pool))

    const sql = yield* makeSql
    const semaphore = Effect.unsafeMakeSemaphore(maxConnections)
    const prepared = new WeakSet<Driver.PoolConnection>()
    let inside = 0

    const pools = { pool: options.name ?? "mysql" }
    for (const gauge of [MysqlMetrics.inUse, MysqlMetrics.waiting, MysqlMetrics.size]) {
      gauge.declare({ pool: [pools.pool] })
    }
    yield* Instrument.observing(() => {
      MysqlMetrics.inUse.set(pools, Math.min(inside, maxConnections))
      MysqlMetrics.waiting.set(pools, Math.max(0, inside - maxConnections))
      MysqlMetrics.size.set(pools, maxConnections)
    })
    const onSlow = yield* SlowQueries.make(({ params, sql: text }) => explain(target, text, params))
    const statementOf = (op: string) => (text: string, params: ReadonlyArray<unknown>, tookMs: number) => {
      if (tookMs > slowMs) onSlow({ op, sql: text, params, tookMs })
    }

    const acquire = (keep: (connection: Driver.PoolConnection) => MysqlSession | undefined) =>
      Effect.async<MysqlSession, SqlError>((resume) => {
        pool.getConnection((cause, connection) => {
          if (cause) {
            // Whatever the reason (refused, wrong password, too many), nothing was asked of the database.
            const unreachable = Object.assign(new Error(cause.message, { cause }), { code: "UNREACHABLE" })
            resume(Effect.fail(new SqlError({ cause: unreachable, message: "no connection" })))
            return
          }
          const held = keep(connection)
          if (held === undefined) {
            connection.release()
            return
          }
          if (prepared.has(connection)) {
            resume(Effect.succeed(held))
            return
          }
          // Not for the application's SQL: these two can't be prepared on every engine.
          const run = (index: number): void => {
            const text = setUp[index]
            if (text === undefined) {
              prepared.add(connection)
              resume(Effect.succeed(held))
              return
            }
            connection.query(text, (error) => {
              if (error) {
                held.discard()
                resume(Effect.fail(new SqlError({ cause: error, message: "session settings refused" })))
              } else run(index + 1)
            })
          }
          run(0)
        })
      })

    const toMysqlError = (
      op: string,
      error: SqlError,
      outcomeUnknown: boolean,
    ): Effect.Effect<never, MysqlError> => {
      const classified = classify(error)
      switch (classified.kind) {
        case "duplicate":
          return Effect.fail(new MysqlDuplicateKey({ op, key: classified.key }))
        case "conflict":
          return Effect.fail(new MysqlConflict({ op, errno: classified.errno }))
        case "refused":
          return Effect.fail(new MysqlUnavailable({ op, outcomeUnknown: false, cause: error.cause }))
        case "ended":
          return Effect.fail(new MysqlUnavailable({ op, outcomeUnknown, cause: error.cause }))
        case "defect":
          return Effect.die(error.cause ?? error)
      }
    }

    const typed = <A, E, R>(
      op: string,
      self: Effect.Effect<A, E | SqlError, R>,
      outcomeUnknown: () => boolean,
    ): Effect.Effect<A, Exclude<E, SqlError> | MysqlError, R> =>
      Effect.catchAll(
        self,
        (error): Effect.Effect<never, Exclude<E, SqlError> | MysqlError> =>
          isSqlError(error)
            ? toMysqlError(op, error, outcomeUnknown())
            : Effect.fail(error as Exclude<E, SqlError>),
      )

    const use = <A, E, R>(
      op: string,
      self: Effect.Effect<A, E, R>,
      deadlineMs: number,
      transactional: boolean,
      gate: Breakers.Gate,
    ): Effect.Effect<A, Exclude<E, SqlError> | MysqlError, R> =>
      Effect.suspend(() => {
        if (inside >= maxConnections + maxWaiting) {
          return Effect.fail(
            new MysqlUnavailable({
              op,
              outcomeUnknown: false,
              cause: new CrowdedPool("too many wait for a connection"),
            }),
          )
        }
        inside += 1
        let held: MysqlSession | undefined
        let over = false
        const outcomeUnknown = () =>
          held !== undefined && (transactional ? held.commitSent : held.statementSent)
        const startedAt = performance.now()
        const leftMs = () => Math.max(1, deadlineMs - (performance.now() - startedAt))

        const session = acquire((connection) => {
          if (over) return undefined
          // A plain timer, so that neither an interrupted caller nor an uninterruptible one can keep the connection.
          held = new MysqlSession(connection, leftMs(), statementOf(op))
          return held
        })

        const provided = (current: MysqlSession) =>
          Effect.mapInputContext(self, (context: Context.Context<R>) =>
            context.pipe(
              Context.add(SqlClient.TransactionConnection, [connectionOf(current), 0] as const),
              Context.add(Current, { session: current, op, transactional }),
            ),
          )

        const body: Effect.Effect<A, E | SqlError, R> = transactional
          ? Effect.uninterruptibleMask((restore) =>
              Effect.flatMap(restore(session), (current) =>
                restore(Effect.zipRight(current.control("BEGIN"), provided(current))).pipe(
                  Effect.exit,
                  Effect.flatMap(
                    (exit): Effect.Effect<A, E | SqlError> =>
                      Exit.isSuccess(exit)
                        ? Effect.as(current.commit, exit.value)
                        : Effect.zipRight(current.rollback, exit),
                  ),
                ),
              ),
            )
          : Effect.flatMap(session, provided)

        return semaphore
          .withPermits(1)(
            Effect.onExit(body, () =>
              Effect.sync(() => {
                over = true
                held?.giveBack()
              }),
            ),
          )
          .pipe(
            Effect.ensuring(
              Effect.sync(() => {
                inside -= 1
              }),
            ),
            (result) => typed(op, result, outcomeUnknown),
            failAfter(deadlineMs, () => {
              over = true
              const unknown = outcomeUnknown()
              // From here on no statement and no COMMIT can leave on it: what is unknown now stays the only unknown.
              held?.discard()
              return new MysqlUnavailable({
                op,
                outcomeUnknown: unknown,
                cause: new NoAnswer(`no answer within ${deadlineMs} ms`),
              })
            }),
          )
      }).pipe(
        Breakers.through(
          gate,
          deadlineMs,
          (error, tookMs) => verdictOn(error, tookMs, deadlineMs),
          (waitMs) =>
            new MysqlUnavailable({
              op,
              outcomeUnknown: false,
              retryAfterMs: Math.ceil(waitMs),
              cause: new Error("the breaker is open"),
            }),
        ),
        measured(op, transactional),
        Effect.withSpan(`mysql.${op}`, {
          kind: "client",
          captureStackTrace: false,
          attributes: {
            "db.system.name": "mysql",
            "db.namespace": target.database,
            "db.query.summary": op,
            "server.address": target.host,
            "server.port": target.port,
            "floodgate.transaction": transactional,
          },
        }),
      )

    const measured =
      (op: string, transactional: boolean) =>
      <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        Effect.suspend(() => {
          const startedAt = performance.now()
          return Effect.onExit(self, (exit) =>
            Effect.sync(() => {
              MysqlMetrics.query.observe({ op }, (performance.now() - startedAt) / 1_000)
              if (Exit.isSuccess(exit)) return
              const kind = kindOf(exit.cause)
              if (kind === undefined) return
              MysqlMetrics.errors.inc({ kind })
              if (kind === "timeout") {
                exceeded.inc({
                  op: transactional ? "mysql.transaction" : "mysql.query",
                })
              }
            }),
          )
        })

    const enter =
      (transactional: boolean): MysqlService["run"] =>
      (op, self, runOptions) =>
        Effect.flatMap(Effect.serviceOption(Current), (current) => {
          if (Option.isNone(current) || !current.value.session.open) {
            const deadlineMs = runOptions?.deadlineMs ?? deadlineOf(transactional)
            const gate = runOptions?.bypassBreaker === true ? Breakers.open : breaker
            return use(op, self, deadlineMs, transactional, gate)
          }
          if (transactional) {
            return Effect.dieMessage(`transaction ${op} inside ${current.value.op}: transactions don't nest`)
          }
          const { session: joined, transactional: inTransaction } = current.value
          return typed(op, self, () => (inTransaction ? joined.commitSent : joined.statementSent))
        })

    const service: MysqlService = { sql, run: enter(false), transaction: enter(true) }
    yield* verify(service)
    return service
  })

const closePool = (pool: Driver.Pool): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    pool.end(() => resume(Effect.void))
  }).pipe(Effect.disconnect, Effect.interruptible, Effect.timeout("1 second"), Effect.ignore)

/** No request waits for a start: the first connection of a busy server may take its time. */
const VERIFY_MS = 15_000

/** The promises that correctness rests on: asked of the server, since a proxy or an init script may undo them. */
const verify = (mysql: MysqlService): Effect.Effect<void, AppConfig.ConfigInvalid | MysqlUnavailable> =>
  mysql
    .run(
      "verify",
      mysql.sql<{ name: string; value: string }>`
        SELECT 'time_zone' AS name, @@session.time_zone AS value
        UNION ALL SELECT 'sql_mode', @@session.sql_mode
        UNION ALL SELECT 'autocommit', IF(@@session.autocommit, '1', '0')`.pipe(
        Effect.zipWith(
          // MySQL 8 knows only the one name, MariaDB 10.11 only the other.
          mysql.sql<{ Value: string }>`
            SHOW SESSION VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')`,
          (settings, isolation) => ({
            ...Object.fromEntries(settings.map(({ name, value }) => [name, value])),
            isolation: isolation[0]?.Value,
          }),
        ),
      ),
      { deadlineMs: VERIFY_MS },
    )
    .pipe(
      Effect.catchTags({ MysqlDuplicateKey: Effect.die, MysqlConflict: Effect.die }),
      Effect.flatMap((found: Record<string, string | undefined>) => {
        const issues = [
          found["time_zone"] === "+00:00" ? [] : [`MySQL's time_zone is ${found["time_zone"]}, not +00:00`],
          found["isolation"] === "READ-COMMITTED"
            ? []
            : [`MySQL's isolation is ${found["isolation"]}, not READ-COMMITTED`],
          found["sql_mode"]?.includes("STRICT_") === true ? [] : ["MySQL's sql_mode isn't strict"],
          found["autocommit"] === "1" ? [] : ["MySQL's autocommit is off"],
        ].flat()
        return issues.length === 0 ? Effect.void : new AppConfig.ConfigInvalid({ issues })
      }),
    )

/** How often this process's clock is held against MySQL's. */
const LOOK_AT_CLOCK = "10 seconds"

/**
 * Tells `ServerTime` what time it is by MySQL, and the log of a clock that is wrong. Never fails: who can't ask goes on
 * with what is known.
 */
const learnTime = (mysql: MysqlService) =>
  Effect.gen(function* () {
    const serverTime = yield* ServerTime
    const before = serverTime.offsetMs()
    // Read beside the statement, not around it: waiting for a connection is no part of the answer's way.
    const row = yield* mysql.run(
      "time",
      Effect.gen(function* () {
        const sentMs = yield* Clock.currentTimeMillis
        const [answer] = yield* mysql.sql<{ ms: number }>`
          SELECT CAST(ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000) AS SIGNED) AS ms`
        return { ms: Number(answer?.ms), sentMs, receivedMs: yield* Clock.currentTimeMillis }
      }),
      { deadlineMs: 2_000, bypassBreaker: true },
    )
    serverTime.learn(row.ms, row.sentMs, row.receivedMs)
    const after = serverTime.offsetMs()
    if (after !== 0 && Math.abs(after - before) > TOLERATED_MS) {
      yield* Effect.logError("this machine's clock is wrong: tokens go by MySQL's").pipe(
        Effect.annotateLogs({ offset_ms: after }),
      )
    }
  }).pipe(Effect.ignore, Effect.withTracerEnabled(false))

/** `make`, with a readiness check named "mysql", and with an eye on the clocks. */
export const layer = (
  options: MysqlOptions,
): Layer.Layer<Mysql, AppConfig.ConfigInvalid | MysqlUnavailable, Readiness> =>
  Layer.scoped(
    Mysql,
    Effect.gen(function* () {
      const mysql = yield* make(options)
      const readiness = yield* Readiness
      yield* readiness.register(
        "mysql",
        mysql.run("ready", mysql.sql`SELECT 1`, { deadlineMs: 1000, bypassBreaker: true }).pipe(
          Effect.as(true),
          Effect.catchAll(() => Effect.succeed(false)),
        ),
      )
      yield* learnTime(mysql)
      yield* Effect.forkScoped(Effect.repeat(Effect.delay(learnTime(mysql), LOOK_AT_CLOCK), Schedule.forever))
      return mysql
    }),
  )

/** Redoes what MySQL rolled back for a conflict: at most 5 times, 10 to 160 ms apart with jitter. */
export const retryConflicts = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(self, {
    while: (error) => (error as unknown) instanceof MysqlConflict,
    times: 5,
    schedule: Schedule.jittered(Schedule.exponential("10 millis")),
  })

export interface Affected {
  /** Rows that the statement's WHERE matched, whether or not their values changed. */
  readonly affectedRows: number
  /** The AUTO_INCREMENT value of the (first) inserted row; 0 if none. */
  readonly insertId: number
}

/** Runs a statement that writes, and says what it did. */
export const affected = (statement: Statement<any>): Effect.Effect<Affected, SqlError> =>
  Effect.map(statement.raw, (result) => {
    const header = result as Driver.ResultSetHeader
    return { affectedRows: header.affectedRows, insertId: header.insertId }
  })
