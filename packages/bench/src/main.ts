/**
 * `pnpm bench [row…] [--quick] [--json]`: every figure as a ratio of two things measured in this run. Words choose the
 * rows whose names begin with them. `--guard` measures a few briefly and fails where one is far below its baseline;
 * `--picture FILE` draws latency against rate; `--stack DIR` measures a stack with two edges that runs already;
 * `--minutes N` is how long `soak` and `connections_memory` watch.
 */
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { withStack } from "./BenchStack.ts"
import * as Guard from "./Guard.ts"
import { Load } from "./load/Load.ts"
import * as Machine from "./Machine.ts"
import { picture } from "./Picture.ts"
import { json, type Result, table } from "./Result.ts"
import { accepted, firstSeen } from "./rows/Accepted.ts"
import { productRead, soldOut } from "./rows/Constant.ts"
import * as Costs from "./rows/Costs.ts"
import * as Growth from "./rows/Growth.ts"
import * as Memory from "./rows/Memory.ts"
import { ordersPersisted } from "./rows/OrdersPersisted.ts"
import { payments } from "./rows/Payments.ts"
import * as Rates from "./rows/Rates.ts"
import * as Tokens from "./Tokens.ts"
import { type Size, World } from "./World.ts"

interface Row {
  /** Figures that are measured together begin with one of these. */
  readonly names: ReadonlyArray<string>
  readonly run: (world: World) => Promise<ReadonlyArray<Result>>
  /** Part of `--quick`, unless asked for by name: a few need their time to say anything. */
  readonly quick: boolean
}

const rows: ReadonlyArray<Row> = [
  { names: ["start_time"], run: Memory.startTime, quick: true },
  { names: ["seckill_accepted"], run: accepted, quick: true },
  { names: ["seckill_first_seen"], run: firstSeen, quick: true },
  { names: ["seckill_sold_out"], run: soldOut, quick: true },
  { names: ["product_read"], run: productRead, quick: true },
  { names: ["seckill_sustained"], run: Rates.sustained, quick: true },
  { names: ["click_to_order_p99"], run: Rates.clickToOrder, quick: true },
  { names: ["flood"], run: Rates.flood, quick: true },
  { names: ["payments"], run: payments, quick: false },
  { names: ["redis_bytes"], run: Memory.redisBytes, quick: true },
  { names: ["growth_products"], run: Growth.products, quick: false },
  { names: ["growth_buyers"], run: Growth.buyers, quick: false },
  { names: ["hot_product_mix"], run: Growth.hotProduct, quick: false },
  { names: ["tracing_cost"], run: Costs.tracing, quick: false },
  { names: ["limits_cost"], run: Costs.limits, quick: false },
  { names: ["metrics_cost", "limits_share"], run: Costs.profiles, quick: false },
  { names: ["connections_memory"], run: Memory.connectionsMemory, quick: false },
  { names: ["soak"], run: Memory.soak, quick: false },
  // Last: what it writes was never reserved, and the next reconciliation says so.
  {
    names: ["orders_persisted"],
    run: (world) =>
      ordersPersisted(
        world.stack,
        world.size.quick
          ? { orders: 10_000, rounds: 2, single: 300 }
          : { orders: 50_000, rounds: 5, single: 1_000 },
        world.progress,
      ),
    quick: true,
  },
]

/** What `--guard` looks at. */
const guarded = ["seckill_accepted", "seckill_first_seen", "seckill_sold_out", "product_read"]

const slices = (from: number, count: number, width: number) =>
  Array.from({ length: count }, (_, i) => ({ from: from + i * width, to: from + (i + 1) * width }))

const sizes: Readonly<Record<"guard" | "quick" | "full", Size>> = {
  guard: {
    quick: true,
    rounds: 2,
    connections: 64,
    known: { from: 0, to: 4_000 },
    fresh: slices(4_000, 3, 3_000),
    products: 1,
    forMs: 1_000,
  },
  quick: {
    quick: true,
    rounds: 2,
    connections: 64,
    known: { from: 0, to: 5_000 },
    fresh: slices(5_000, 3, 4_000),
    products: 1,
    forMs: 1_500,
  },
  full: {
    quick: false,
    rounds: 5,
    connections: 64,
    known: { from: 0, to: 10_000 },
    fresh: slices(10_000, 6, 15_000),
    products: 4,
    forMs: 5_000,
  },
}

/** Below the range from which systems take the ports of outgoing connections. */
const PORT_BASE = "29000"

const { positionals, values } = parseArgs({
  args: process.argv.slice(2).filter((word) => word !== "--"),
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    guard: { type: "boolean", default: false },
    /** With `--guard`: what is measured becomes what is expected. */
    accept: { type: "boolean", default: false },
    picture: { type: "string" },
    "port-base": { type: "string", default: PORT_BASE },
    stack: { type: "string" },
    minutes: { type: "string" },
  },
})
const began = performance.now()
const progress = (text: string) =>
  process.stderr.write(`${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${text}\n`)
const entry = (name: string) => fileURLToPath(new URL(`./${name}.mjs`, import.meta.url))

const words = values.guard ? guarded : positionals
const asked = (row: Row): boolean =>
  words.some((word) => row.names.some((name) => name.startsWith(word) || word.startsWith(name)))
const chosen = rows.filter((row) =>
  words.length > 0 ? asked(row) : values.picture === undefined && (row.quick || !values.quick),
)
if (words.length > 0 && chosen.length === 0) {
  process.stderr.write(`There is no such row. There are: ${rows.flatMap(({ names }) => names).join(", ")}\n`)
  process.exit(1)
}

const size: Size = {
  ...sizes[values.guard ? "guard" : values.quick ? "quick" : "full"],
  ...(values.minutes === undefined ? {} : { watchMs: Number(values.minutes) * 60_000 }),
}
if (size.watchMs !== undefined && !(size.watchMs > 0))
  throw new RangeError("--minutes wants a number above 0")
const BASELINE = "packages/bench/baseline.json"
const baseline = values.guard && !values.accept ? await Guard.load(BASELINE) : undefined
progress(Machine.describe())
const results = await withStack(
  { portBase: Number(values["port-base"]), running: values.stack },
  async (stack) => {
    progress(`the stack is up after ${(stack.startMs / 1_000).toFixed(1)} s`)
    const buyers = size.fresh.at(-1)!.to
    const minted = await Tokens.mint(stack.jwtKeysFile, `${stack.jwtKeysFile}.tokens`, buyers, (done) =>
      progress(`${done} of ${buyers} buyers have a token of their own`),
    )
    const entries = {
      generator: entry("generator"),
      edge: entry("edge"),
      profiler: entry("profiler"),
      reference: entry("reference"),
      reserveScript: "lua/reserve.lua",
    }
    const load = await Load.start(entries.generator)
    try {
      await load.buyers(minted.file)
      const world = await World.make({ stack, load, minted, size, progress }, entries)
      try {
        await world.raise("seckill-product")
        const measure = async (): Promise<ReadonlyArray<Result>> => {
          const all: Array<Result> = []
          for (const row of chosen) {
            try {
              const found = await row.run(world)
              all.push(...found)
              // At once: the run may take hours.
              if (values.json) process.stdout.write(`${json(found)}\n`)
            } catch (cause) {
              // The others say something without it.
              process.exitCode = 1
              progress(
                `${row.names.join(", ")} failed: ${cause instanceof Error ? cause.message : String(cause)}`,
              )
            }
          }
          return all
        }
        let all = await measure()
        if (baseline !== undefined && Guard.regressions(baseline, all).length > 0) {
          progress("measured again, because something fell behind")
          all = Guard.better(all, await measure())
        }
        if (values.picture !== undefined) await picture(world, values.picture)
        progress(`traces sent to the collector: ${stack.traced()} bytes`)
        return all
      } finally {
        await world.close()
      }
    } finally {
      load.stop()
    }
  },
)
if (results.length > 0 && !values.json) process.stdout.write(`${table(results)}\n`)

if (values.guard && values.accept) await Guard.accept(BASELINE, results)
else if (baseline !== undefined) {
  const behind = Guard.regressions(baseline, results)
  for (const sentence of behind) process.stdout.write(`failed: ${sentence}\n`)
  process.stdout.write(`${Object.keys(baseline).length - behind.length} passed, ${behind.length} failed\n`)
  process.exitCode = behind.length > 0 ? 1 : 0
}
