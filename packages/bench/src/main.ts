/**
 * `pnpm bench [row…] [--quick] [--json]`: every figure as a ratio of two things measured in this run. Words choose the
 * rows whose names begin with them.
 */
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { withStack } from "./BenchStack.ts"
import { Load } from "./load/Load.ts"
import * as Machine from "./Machine.ts"
import { json, type Result, table } from "./Result.ts"
import { accepted, firstSeen } from "./rows/Accepted.ts"
import { productRead, soldOut } from "./rows/Constant.ts"
import { ordersPersisted } from "./rows/OrdersPersisted.ts"
import * as Tokens from "./Tokens.ts"
import { type Size, World } from "./World.ts"

/** Figures that are measured together, under their names. */
interface Row {
  readonly names: ReadonlyArray<string>
  readonly run: (world: World) => Promise<ReadonlyArray<Result>>
}

const rows: ReadonlyArray<Row> = [
  { names: ["seckill_accepted"], run: accepted },
  { names: ["seckill_first_seen"], run: firstSeen },
  { names: ["seckill_sold_out", "seckill_sold_out_with_key"], run: soldOut },
  { names: ["product_read", "product_read_bare"], run: productRead },
  {
    names: ["orders_persisted", "orders_persisted_one_product", "orders_persisted_against_single"],
    run: (world) =>
      ordersPersisted(
        world.stack,
        world.size.quick
          ? { orders: 10_000, rounds: 2, single: 300 }
          : { orders: 50_000, rounds: 5, single: 1_000 },
        world.progress,
      ),
  },
]

const slices = (from: number, count: number, width: number) =>
  Array.from({ length: count }, (_, i) => ({ from: from + i * width, to: from + (i + 1) * width }))

const sizeOf = (quick: boolean): Size =>
  quick
    ? {
        quick,
        rounds: 2,
        connections: 64,
        known: { from: 0, to: 5_000 },
        fresh: slices(5_000, 3, 4_000),
        products: 1,
        forMs: 1_500,
      }
    : {
        quick,
        rounds: 5,
        connections: 64,
        known: { from: 0, to: 10_000 },
        fresh: slices(10_000, 6, 15_000),
        products: 4,
        forMs: 5_000,
      }

/** Below the range from which systems take the ports of outgoing connections. */
const PORT_BASE = "29000"

const { positionals, values } = parseArgs({
  args: process.argv.slice(2).filter((word) => word !== "--"),
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "port-base": { type: "string", default: PORT_BASE },
    stack: { type: "string" },
  },
})
const began = performance.now()
const progress = (text: string) =>
  process.stderr.write(`${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${text}\n`)
const entry = (name: string) => fileURLToPath(new URL(`./${name}.mjs`, import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))

const chosen = rows.filter(
  ({ names }) =>
    positionals.length === 0 || names.some((name) => positionals.some((word) => name.startsWith(word))),
)
if (chosen.length === 0) {
  process.stderr.write(
    `No row begins with that. There are: ${rows.flatMap(({ names }) => names).join(", ")}\n`,
  )
  process.exit(1)
}

const size = sizeOf(values.quick)
progress(Machine.describe())
const results = await withStack(
  { portBase: Number(values["port-base"]), running: values.stack },
  async (stack) => {
    progress(`the stack is up after ${(stack.startMs / 1_000).toFixed(1)} s`)
    const buyers = size.fresh.at(-1)!.to
    const minted = await Tokens.mint(stack.jwtKeysFile, `${stack.jwtKeysFile}.tokens`, buyers, (done) =>
      progress(`${done} of ${buyers} buyers have a token of their own`),
    )
    const load = await Load.start(entry("generator"))
    try {
      await load.buyers(minted.file)
      const world = await World.make(
        { stack, load, minted, size, progress },
        { reference: entry("reference"), reserveScript: `${root}lua/reserve.lua` },
      )
      try {
        await world.raise("seckill-product")
        const all: Array<Result> = []
        for (const row of chosen) all.push(...(await row.run(world)))
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
process.stdout.write(`${values.json ? json(results) : table(results)}\n`)
