/** What the rows share: a stack, buyers with tokens, the load generator, and ways to see what became of it all. */
import { setTimeout as sleep } from "node:timers/promises"
import * as Shards from "@floodgate/runtime/redis/Shards"
import { Redis } from "ioredis"
import * as mysql from "mysql2/promise"
import type { BenchStack } from "./BenchStack.ts"
import * as EdgeCalls from "./EdgeCalls.ts"
import { Load } from "./load/Load.ts"
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
  /** How long memory is watched (ms), where it isn't as long as a row says by itself. */
  readonly watchMs?: number
}

/** Sales far above what is measured. */
const RAISED = 1_000_000
const LIVE_MS = 30_000
const SETTLE_MS = 180_000
const START_IN_MS = 2_000
const PUBLISH_TRIES = 20
const PUBLISH_PAUSE_MS = 500
const AT_ONCE = 4
export const STOCK = 1_000_000

export interface Backlog {
  /** Accepted, and not yet an order when the load ended. */
  readonly left: number
  /** How long it took until all of them were (ms). */
  readonly drainedMs: number
}

/** Files of what runs beside us. */
export interface Entries {
  readonly edge: string
  readonly generator: string
  readonly profiler: string
  readonly reference: string
  readonly reserveScript: string
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
  readonly entries: Entries
  readonly #operator: () => Promise<string>
  readonly #admin: () => Promise<string>
  #references = 0

  private constructor(
    fields: Pick<World, "stack" | "load" | "minted" | "size" | "progress">,
    entries: Entries,
  ) {
    this.stack = fields.stack
    this.load = fields.load
    this.minted = fields.minted
    this.size = fields.size
    this.progress = fields.progress
    this.entries = entries
    this.#operator = EdgeCalls.staff(this.adminPort, "operator")
    this.#admin = EdgeCalls.staff(this.adminPort, "admin")
    this.mysql = mysql.createPool({ uri: this.stack.mysqlUrl, connectionLimit: 2, supportBigNumbers: true })
    this.redis = new Redis(this.stack.redisUrl)
  }

  static async make(
    fields: Pick<World, "stack" | "load" | "minted" | "size" | "progress">,
    entries: Entries,
  ): Promise<World> {
    const world = new World(fields, entries)
    await Promise.all([world.#operator(), world.#admin()])
    return world
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
    await EdgeCalls.call(this.adminPort, "PUT", `/admin/limits/${name}`, { body, token: await this.#admin() })
    this.progress(`limit raised by the admin API: ${name} to ${RAISED}`)
  }

  /** A product's own limit: requests a second, and as many at once. */
  async limitProduct(product_id: number, perSecond: number): Promise<void> {
    const body = { rate: perSecond, burst: perSecond, product_id, reason: "a benchmark" }
    await EdgeCalls.call(this.adminPort, "PUT", "/admin/limits/seckill-product", {
      body,
      token: await this.#admin(),
    })
    // In force on the other edge within a second.
    await sleep(1_500)
  }

  /** New products, live on the edge that is measured. It takes seconds: better once for all rounds. */
  async sell(count: number, fields: Readonly<Record<string, unknown>> = {}): Promise<ReadonlyArray<number>> {
    const ids: Array<number> = []
    let next = 0
    const publish = async (n: number, tries = PUBLISH_TRIES): Promise<void> => {
      const body = {
        name: `bench ${n}`,
        price: 100,
        stock: STOCK,
        // A sale can't begin in the past, and publishing on a busy machine takes a while.
        start_time: new Date(
          Date.now() + START_IN_MS + (PUBLISH_TRIES - tries) * PUBLISH_PAUSE_MS,
        ).toISOString(),
        ...fields,
      }
      try {
        const { id } = await EdgeCalls.call(this.adminPort, "POST", "/products", {
          token: await this.#operator(),
          body,
        })
        ids.push(id)
      } catch (cause) {
        if (tries === 1) throw cause
        await sleep(PUBLISH_PAUSE_MS)
        await publish(n, tries - 1)
      }
    }
    const work = async () => {
      while (next < count) await publish(++next)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    const deadline = performance.now() + LIVE_MS
    for (const id of ids.slice(-AT_ONCE)) {
      while ((await EdgeCalls.call(this.port, "GET", `/product/${id}`)).status === "upcoming") {
        if (performance.now() > deadline) throw new Error(`product ${id} doesn't open`)
        await sleep(50)
      }
    }
    return ids
  }

  /** A second load generator, with the same buyers. */
  async withSecondLoad<A>(work: (load: Load) => Promise<A>): Promise<A> {
    const load = await Load.start(this.entries.generator)
    try {
      await load.buyers(this.minted.file)
      return await work(load)
    } finally {
      load.stop()
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

  /**
   * Waits until every reservation has its outcome, each an order; throws where that doesn't happen. Of the `unsure`
   * ones, that were answered "busy", some may have been made.
   */
  async settled(products: ReadonlyArray<number>, accepted: number, unsure: number): Promise<Backlog> {
    const began = performance.now()
    const first = await this.orders(products)
    for (let now = first; ; now = await this.orders(products)) {
      if (now.rejected > 0) throw new Error(`${now.rejected} reservations were rejected`)
      if (now.orders > accepted + unsure) throw new Error(`${now.orders} orders of ${accepted} accepted`)
      if (now.orders >= accepted && (await this.open(products)) === 0) {
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
    const { reference, reserveScript } = this.entries
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

/** An answer that says "not now": part of a rush, as long as it stays rare. */
const BUSY = "503/530"
const MOST_BUSY = 0.05

/** Answers of one status, and "busy" ones; throws where there are others, because then something else was measured. */
export const counted = (
  outcome: Outcome,
  expected: string,
): { readonly expected: number; readonly busy: number } => {
  const { [expected]: good = 0, [BUSY]: busy = 0, ...others } = outcome.statuses
  if (Object.keys(others).length > 0 || busy > MOST_BUSY * (good + busy)) {
    throw new Error(`expected ${expected}, but got ${JSON.stringify(outcome.statuses)}`)
  }
  return { expected: good, busy }
}

/** Answers a second, without "busy". */
export const rate = (outcome: Outcome): number => {
  const all = Object.values(outcome.statuses).reduce((sum, n) => sum + n, 0)
  return (outcome.answered / outcome.seconds) * (1 - (outcome.statuses[BUSY] ?? 0) / all)
}

const ms = (n: number): string => (n < 10 ? n.toFixed(2) : n.toFixed(0))

export const latency = (outcome: Outcome): string =>
  `p50 ${ms(outcome.p50)} p99 ${ms(outcome.p99)} p99.9 ${ms(outcome.p999)} ms`
