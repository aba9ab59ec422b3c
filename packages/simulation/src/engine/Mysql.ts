/**
 * The database: rows by key, transactions under READ COMMITTED with row locks. What a transaction wrote is seen by
 * others only after its commit, and is gone where its process or its session dies before.
 */
import { Away, exchange, type Task } from "./Task.ts"

/** How long a lock is waited for, and how long the server keeps a session that says nothing, ms. */
const LOCK_WAIT_MS = 3_000
const SESSION_MS = 10_000

export class Table<Row> {
  readonly rows = new Map<string, Row>()
  constructor(readonly name: string) {}

  get(key: string): Row | undefined {
    return this.rows.get(key)
  }

  values(): ReadonlyArray<Row> {
    return [...this.rows.values()]
  }
}

export class Transaction {
  private readonly written = new Map<Table<unknown>, Map<string, unknown>>()
  private readonly held: Array<string> = []
  /** True once it is committed, rolled back, or lost with its session. */
  over = false
  private spokeAt: number

  constructor(private readonly db: Database) {
    this.spokeAt = db.clock()
    db.sessions.add(this)
  }

  get isSilentTooLong(): boolean {
    return this.db.clock() - this.spokeAt >= SESSION_MS
  }

  private speak(): void {
    if (this.over) throw new Away("MySQL")
    this.spokeAt = this.db.clock()
  }

  private tryLock(name: string): boolean {
    const holder = this.db.locks.get(name)
    if (holder === this) return true
    if (holder !== undefined) return false
    this.db.locks.set(name, this)
    this.held.push(name)
    return true
  }

  /** Locks a row, or the place of one that isn't there yet, waiting for whoever holds it. */
  *lock(table: Table<any>, key: string): Task<void> {
    const name = `${table.name}/${key}`
    const signal = yield {
      what: `locks ${table.name} ${key}`,
      outside: true,
      until: () => {
        const holder = this.db.locks.get(name)
        return holder === undefined || holder === this || this.over
      },
      at: this.db.clock() + LOCK_WAIT_MS,
    }
    if (signal === "request lost" || signal === "answer lost") {
      this.rollback()
      throw new Away("MySQL")
    }
    this.speak()
    if (!this.tryLock(name)) {
      this.rollback()
      throw new Away(`the lock of ${name}`)
    }
  }

  /** SKIP LOCKED: false where another holds the row. */
  skipLocked(table: Table<any>, key: string): boolean {
    this.speak()
    return this.tryLock(`${table.name}/${key}`)
  }

  /** A statement of its own: a place to be overtaken, stopped or cut off between what was read and what is written. */
  *statement(what: string): Task<void> {
    const signal = yield { what, outside: true }
    if (signal === "request lost" || signal === "answer lost") {
      this.rollback()
      throw new Away("MySQL")
    }
    this.speak()
  }

  get<Row>(table: Table<Row>, key: string): Row | undefined {
    const mine = this.written.get(table as Table<unknown>)?.get(key)
    return (mine as Row | undefined) ?? table.rows.get(key)
  }

  values<Row>(table: Table<Row>): ReadonlyArray<Row> {
    const mine = this.written.get(table as Table<unknown>)
    if (mine === undefined) return table.values()
    const all = new Map(table.rows)
    for (const [key, row] of mine) all.set(key, row as Row)
    return [...all.values()]
  }

  /** Writes a row that this transaction has locked, or that nobody else can write. */
  put<Row>(table: Table<Row>, key: string, row: Row): void {
    this.speak()
    const holder = this.db.locks.get(`${table.name}/${key}`)
    // The real engine would wait: here the model of a service forgot to.
    if (holder !== undefined && holder !== this) throw new Error(`${table.name} ${key} is locked by another`)
    let rows = this.written.get(table as Table<unknown>)
    if (rows === undefined) {
      rows = new Map()
      this.written.set(table as Table<unknown>, rows)
    }
    rows.set(key, row)
  }

  commit(): void {
    this.speak()
    if (this.written.size > 0) this.db.commits++
    for (const [table, rows] of this.written) for (const [key, row] of rows) table.rows.set(key, row)
    this.end()
  }

  rollback(): void {
    if (!this.over) this.end()
  }

  private end(): void {
    this.over = true
    this.db.sessions.delete(this)
    for (const name of this.held) this.db.locks.delete(name)
  }
}

export class Database {
  readonly locks = new Map<string, Transaction>()
  readonly sessions = new Set<Transaction>()
  commits = 0
  private lastId = 0

  constructor(readonly clock: () => number) {}

  /** AUTO_INCREMENT: given when the row is inserted, not when it is committed. */
  nextId(): number {
    return ++this.lastId
  }

  /** One transaction. Fails with Away, and then it may have been committed all the same if its answer was lost. */
  *transaction<A>(what: string, body: (tx: Transaction) => Task<A>): Task<A> {
    const tx = new Transaction(this)
    try {
      const result = yield* body(tx)
      yield* exchange("MySQL", `commits: ${what}`, () => tx.commit())
      return result
    } finally {
      tx.rollback()
    }
  }

  /** One statement that reads what is committed. */
  *read<A>(what: string, statement: () => A): Task<A> {
    return yield* exchange("MySQL", what, statement)
  }

  /** One statement that writes, and commits by itself. */
  *write<A>(what: string, statement: () => A): Task<A> {
    return yield* exchange("MySQL", what, () => {
      const result = statement()
      this.commits++
      return result
    })
  }

  /** The server ends sessions that were silent too long: a stopped process doesn't keep its locks. */
  reap(): void {
    for (const session of this.sessions) if (session.isSilentTooLong) session.rollback()
  }

  /** kill -9 of the server: what is committed stays. */
  crash(): void {
    for (const session of [...this.sessions]) session.rollback()
  }
}
