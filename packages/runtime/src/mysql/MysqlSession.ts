/** One checked-out connection: what was sent on it, and how it is given back. Private to Mysql.ts. */
import type * as net from "node:net"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Driver from "mysql2"
import { classify } from "./MysqlError.ts"

type Resume = (effect: Effect.Effect<unknown, SqlError>) => void

const lost = (): SqlError =>
  new SqlError({
    cause: Object.assign(new Error("the connection was given up"), { code: "PROTOCOL_CONNECTION_LOST" }),
    message: "connection given up",
  })

/**
 * JavaScript's integers are sent as BIGINT: the driver would send DOUBLE, which MySQL 8 refuses in LIMIT and which
 * compares BIGINT columns as floating point.
 */
export const parameter = (value: unknown): unknown => {
  if (typeof value === "number" && Number.isSafeInteger(value)) return Driver.TypedParameter.BIGINT(value)
  if (typeof value === "bigint") {
    return value < 0n ? Driver.TypedParameter.BIGINT(value) : Driver.TypedParameter.BIGINT.unsigned(value)
  }
  return value
}

export class MysqlSession {
  readonly #connection: Driver.PoolConnection
  readonly #onStatement: (sql: string, params: ReadonlyArray<unknown>, tookMs: number) => void
  readonly #timer: NodeJS.Timeout
  readonly #pending = new Set<Resume>()
  #state: "open" | "returned" | "discarded" = "open"
  #inTransaction = false
  /** The first error after which the transaction is no longer what its caller believes. */
  #doom: SqlError | undefined

  statementSent = false
  commitSent = false

  /**
   * The connection is given up after `deadlineMs`, whatever its user does. `onStatement` hears of every statement that
   * was answered, and must not throw.
   */
  constructor(
    connection: Driver.PoolConnection,
    deadlineMs: number,
    onStatement: (sql: string, params: ReadonlyArray<unknown>, tookMs: number) => void = () => {},
  ) {
    this.#connection = connection
    this.#onStatement = onStatement
    this.#timer = setTimeout(() => this.discard(), deadlineMs)
  }

  get open(): boolean {
    return this.#state === "open"
  }

  /** A prepared statement. */
  execute(
    sql: string,
    params: ReadonlyArray<unknown>,
    rowsAsArray = false,
  ): Effect.Effect<unknown, SqlError> {
    return Effect.async((resume) => {
      if (!this.open) {
        resume(this.#refused())
        return
      }
      if (this.#doom !== undefined) {
        resume(Effect.fail(this.#doom))
        return
      }
      this.statementSent = true
      const startedAt = performance.now()
      this.#send(resume, (done) =>
        this.#connection.execute(
          { sql, values: params.map(parameter) as any, rowsAsArray },
          (cause, result) => {
            this.#onStatement(sql, params, performance.now() - startedAt)
            done(cause, result)
          },
        ),
      )
    })
  }

  /** BEGIN, COMMIT, ROLLBACK: they can't be prepared. */
  control(sql: "BEGIN" | "COMMIT" | "ROLLBACK"): Effect.Effect<unknown, SqlError> {
    return Effect.async((resume) => {
      if (!this.open) {
        resume(this.#refused())
        return
      }
      if (sql === "BEGIN") this.#inTransaction = true
      this.#send(resume, (done) => this.#connection.query({ sql }, done))
    })
  }

  /** Fails, without sending COMMIT, where an earlier statement's error has ended the transaction already. */
  get commit(): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      if (this.#doom !== undefined) {
        return Effect.zipRight(this.rollback, Effect.fail(this.#doom))
      }
      if (this.open) this.commitSent = true
      return Effect.asVoid(this.control("COMMIT"))
    })
  }

  /** Never fails: a connection that can't roll back is given up, and the server rolls back. */
  get rollback(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!this.open || this.#pending.size > 0) {
        this.discard()
        return Effect.void
      }
      return Effect.catchAll(this.control("ROLLBACK"), () => Effect.sync(() => this.discard()))
    })
  }

  /** Back to the pool; given up instead while an answer is still due or a fatal error was seen. */
  giveBack(): void {
    if (!this.open) return
    if (this.#pending.size > 0 || (this.#doom !== undefined && classify(this.#doom).kind === "ended")) {
      this.discard()
      return
    }
    this.#state = "returned"
    clearTimeout(this.#timer)
    this.#connection.release()
  }

  /** Closes the connection at once. Whoever waits for an answer on it gets a lost connection. */
  discard(): void {
    if (!this.open) return
    this.#state = "discarded"
    clearTimeout(this.#timer)
    this.#connection.destroy()
    // `destroy` only says goodbye; a server that doesn't read would keep the socket.
    const { stream } = this.#connection as unknown as { readonly stream: net.Socket }
    stream.destroy()
    for (const resume of this.#pending) resume(Effect.fail(lost()))
    this.#pending.clear()
  }

  #refused(): Effect.Effect<never, SqlError> {
    return this.#state === "discarded"
      ? Effect.fail(lost())
      : Effect.dieMessage("A statement was run after its Mysql.run or Mysql.transaction had ended")
  }

  #send(
    resume: Resume,
    call: (done: (cause: Driver.QueryError | null, result: unknown) => void) => unknown,
  ): void {
    this.#pending.add(resume)
    call((cause, result) => {
      if (!this.#pending.delete(resume)) return
      if (cause === null || cause === undefined) {
        resume(Effect.succeed(result))
        return
      }
      const error = new SqlError({ cause, message: cause.message })
      const { kind } = classify(error)
      // After a conflict the server has rolled back (or half of it): going on would commit the rest by itself.
      if (kind === "ended" || (this.#inTransaction && (kind === "conflict" || kind === "refused"))) {
        this.#doom ??= error
      }
      resume(Effect.fail(error))
    })
  }
}
