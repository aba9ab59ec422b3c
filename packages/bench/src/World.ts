/** What the rows share: a stack, buyers with tokens, the load generator, and ways to see what became of it all. */
import { setTimeout as sleep } from "node:timers/promises"
import * as Shards from "@floodgate/runtime/redis/Shards"
import { Redis } from "ioredis"
import * as mysql from "mysql2/promise"
import type { BenchStack } from "./BenchStack.ts"
import * as EdgeCalls from "./EdgeCalls.ts"
import type { Load } from "./load/Load.ts"
import type { Outcome, Range } from "./load/Plan.ts"
import * as Machine from "./Machine.ts"
import { withReference } from "./reference/Reference.ts"
import type { Settings } from "./reference/server.ts"
import type { Minted } from "./Tokens.ts"

/** How much of everything: see `main.ts`. */
export interface Size {
  readonly quick: boolean
  readonly rounds: number
  /** Connections of the closed loop. */
  readonly connections: number
  /** Buyers whose tokens an edge has seen. */
  readonly known: Range
  /** Buyers whose tokens nobody has seen, as many slices as there are rounds, and one to warm up. */
  readonly fresh: ReadonlyArray<Range>
  /** Products that each known buyer buys in a round. */
  readonly products: number
  /** How long a figure that isn't bounded by its buyers is measured (ms). */
  readonly forMs: number
}

/** Sales far above what is measured. */
const RAISED = 1_000_000
const LIVE_MS = 30_000
const SETTLE_MS = 180_000
const START_IN_MS = 1_500
const AT_ONCE = 16
export const STOCK = 1_000_000

export interface Backlog {
  /** Accepted, and not yet an order when the load ended. */
  readonly left: number
  /** How long it took until all of them were (ms). */
  readonly drainedMs: number
}

/** Processor time by component, seconds. */
export type Used = Readonly<Record<string, number>>

export class World {
  readonly stack: BenchStack
  readonly load: Load
  readonly minted: Minted
  readonly size: Size
  readonly progress: (text: string) => void
  readonly mysql: mysql.Pool
  readonly redis: Redis
  readonly #entries: { readonly reference: string; readonly reserveScript: string }
  readonly #tokens: { readonly operator: string; readonly admin: string }
  #references = 0

  private constructor(
    fields: Pick<World, "stack" | "load" | "minted" | "size" | "progress">,
    entries: { readonly reference: string; readonly reserveScript: string },
    tokens: { readonly operator: string; readonly admin: string },
  ) {
    this.stack = fields.stack
    this.load = fields.load
    this.minted = fields.minted
    this.size = fields.size
    this.progress = fields.progress
    this.#entries = entries
    this.#tokens = tokens
    this.mysql = mysql.createPool({ uri: this.stack.mysqlUrl, connectionLimit: 2, supportBigNumbers: true })
    this.redis = new Redis(this.stack.redisUrl)
  }

  static async make(
    fields: Pick<World, "stack" | "load" | "minted" | "size" | "progress">,
    entries: { readonly reference: string; readonly reserveScript: string },
  ): Promise<World> {
    const port = fields.stack.port("edge")
    const operator = await EdgeCalls.signIn(port, "operator")
    const admin = await EdgeCalls.signIn(port, "admin")
    return new World(fields, entries, { operator, admin })
  }

  async close(): Promise<void> {
    await this.mysql.end()
    this.redis.disconnect()
  }

  /** The edge that is measured. */
  get port(): number {
    return this.stack.port("edge", 2)
  }

  /** The administrators' edge. */
  get adminPort(): number {
    return this.stack.port("edge")
  }

  /** Raises a limit as an operator of a benchmark does, and says so: no check is off. */
  async raise(name: string): Promise<void> {
    const body = { rate: RAISED, burst: RAISED, reason: "a benchmark" }
    await EdgeCalls.call(this.adminPort, "PUT", `/admin/limits/${name}`, { body, token: this.#tokens.admin })
    this.progress(`limit raised by the admin API: ${name} to ${RAISED}`)
  }

  /** New products, live on the edge that is measured. */
  async sell(count: number, fields: Readonly<Record<string, unknown>> = {}): Promise<ReadonlyArray<number>> {
    const ids: Array<number> = []
    let next = 0
    const publish = async () => {
      while (next < count) {
        next++
        const { id } = await EdgeCalls.call(this.adminPort, "POST", "/products", {
          token: this.#tokens.operator,
          body: {
            name: `bench ${next}`,
            price: 100,
            stock: STOCK,
            start_time: new Date(Date.now() + START_IN_MS).toISOString(),
            ...fields,
          },
        })
        ids.push(id)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, publish))
    const deadline = performance.now() + LIVE_MS
    for (;;) {
      const { status } = await EdgeCalls.call(this.port, "GET", `/product/${Math.max(...ids)}`)
      if (status === "live") return ids
      if (performance.now() > deadline) throw new Error(`a product stays ${status}`)
      await sleep(50)
    }
  }

  /** Orders of these products so far, rejected ones apart. */
  async orders(
    products: ReadonlyArray<number>,
  ): Promise<{ readonly orders: number; readonly rejected: number }> {
    const [rows] = await this.mysql.query<Array<mysql.RowDataPacket>>(
      `SELECT CAST(COALESCE(SUM(state <> 'rejected'), 0) AS SIGNED) orders,
        CAST(COALESCE(SUM(state = 'rejected'), 0) AS SIGNED) rejected
       FROM ordering.\`order\` WHERE product_id IN (?)`,
      [products],
    )
    return rows[0] as { orders: number; rejected: number }
  }

  /** Entries in the streams of these products' shards: reservations without an outcome that the relay knows of. */
  async open(products: ReadonlyArray<number>): Promise<number> {
    const shards = new Set(products.map(Shards.shardOf))
    const lengths = await Promise.all(
      [...shards].map((shard) => this.redis.xlen(Shards.key(shard, "stream"))),
    )
    return lengths.reduce((sum, n) => sum + n, 0)
  }

  /** Waits until every reservation has its outcome, each an order; throws where that doesn't happen. */
  async settled(products: ReadonlyArray<number>, accepted: number): Promise<Backlog> {
    const began = performance.now()
    const first = await this.orders(products)
    for (let now = first; ; now = await this.orders(products)) {
      if (now.rejected > 0) throw new Error(`${now.rejected} reservations were rejected`)
      if (now.orders > accepted) throw new Error(`${now.orders} orders of ${accepted} accepted`)
      if (now.orders === accepted && (await this.open(products)) === 0) {
        return { left: Math.max(0, accepted - first.orders), drainedMs: performance.now() - began }
      }
      if (performance.now() - began > SETTLE_MS)
        throw new Error(`${now.orders} orders of ${accepted} accepted`)
      await sleep(50)
    }
  }

  /** Runs `work` with a reference server. */
  reference<A>(
    mode: Settings["mode"],
    work: (server: { readonly port: number; readonly pid: number }) => Promise<A>,
  ): Promise<A> {
    const { reference, reserveScript } = this.#entries
    const settings: Settings = {
      mode,
      redisUrl: this.stack.redisUrl,
      script: reserveScript,
      publicKey: this.minted.publicKey,
      tag: `r${++this.#references}`,
    }
    return withReference(reference, settings, work)
  }

  /** Processor time of the stack's components while `work` runs. */
  async used<A>(work: () => Promise<A>): Promise<readonly [A, Used]> {
    const pids = Object.entries(await this.stack.pids())
    const before = pids.map(([, pid]) => Machine.cpuSeconds(pid))
    const done = await work()
    return [
      done,
      Object.fromEntries(pids.map(([name, pid], i) => [name, Machine.cpuSeconds(pid) - before[i]!])),
    ]
  }
}

/** Answers of one status; throws where there are others, because then something else was measured. */
export const only = (outcome: Outcome, ...expected: ReadonlyArray<string>): number => {
  const others = Object.entries(outcome.statuses).filter(([status]) => !expected.includes(status))
  if (others.length > 0) {
    throw new Error(
      `expected ${expected.join(" or ")}, but also got ${JSON.stringify(Object.fromEntries(others))}`,
    )
  }
  return expected.reduce((sum, status) => sum + (outcome.statuses[status] ?? 0), 0)
}

export const rate = (outcome: Outcome): number => outcome.answered / outcome.seconds

const ms = (n: number): string => (n < 10 ? n.toFixed(2) : n.toFixed(0))

export const latency = (outcome: Outcome): string =>
  `p50 ${ms(outcome.p50)} p99 ${ms(outcome.p99)} p99.9 ${ms(outcome.p999)} ms`
