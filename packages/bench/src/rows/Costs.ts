/**
 * What watching and guarding cost: two edges in turn, one that records 1 % of all requests and one that records none; one
 * with its limits and rules and one, of the benchmark's own making, whose limits and rules let everything pass. Beside it
 * the share of limits, rules and metrics in a CPU profile of the edge under accepted reservations.
 */
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { pathToFileURL } from "node:url"
import type { Outcome } from "../load/Plan.ts"
import * as Machine from "../Machine.ts"
import * as Profile from "../Profile.ts"
import { type Result, rounds } from "../Result.ts"
import { counted, rate, type World } from "../World.ts"

const FOR_EVER = Number.MAX_SAFE_INTEGER

const buy = async (world: World, port: number, products: ReadonlyArray<number>): Promise<Outcome> => {
  const { connections, known } = world.size
  const outcome = await world.load.run({
    port,
    connections,
    requests: { kind: "buy", products, buyers: known, keyed: true },
    warmUp: known.to - known.from,
    most: FOR_EVER,
    forMs: FOR_EVER,
    rate: undefined,
  })
  const { busy, expected } = counted(outcome, "202")
  await world.settled(products, expected, busy)
  return outcome
}

/** The same path through two edges in turn, which differ in nothing but these variables. */
const compared = async (
  world: World,
  name: string,
  variables: Readonly<Record<"on" | "off", Readonly<Record<string, string>> | undefined>>,
  words: { readonly against: string; readonly note: string },
): Promise<Result> => {
  const { products: width, rounds: count } = world.size
  const components = { on: "edge-2", off: "edge" } as const
  for (const side of ["on", "off"] as const) {
    if (variables[side] !== undefined) await world.stack.restart(components[side], variables[side])
  }
  const sales = [...(await world.sell((count + 1) * 2 * (width + 1)))]
  const pids = await world.stack.pids()
  const measured = { on: [] as Array<number>, off: [] as Array<number> }
  const cpu = { on: [] as Array<number>, off: [] as Array<number> }
  for (let round = 0; round <= count; round++) {
    for (const side of round % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const)) {
      const pid = pids[components[side]]!
      const before = Machine.cpuSeconds(pid)
      const products = sales.slice(0, width + 1)
      sales.splice(0, width + 1)
      const outcome = await buy(world, side === "on" ? world.port : world.adminPort, products)
      if (round === 0) continue
      measured[side].push(rate(outcome))
      cpu[side].push(((Machine.cpuSeconds(pid) - before) / outcome.sent) * 1e6)
    }
    world.progress(`${name}: round ${round} of ${count}`)
  }
  for (const side of ["on", "off"] as const) {
    if (variables[side] !== undefined) await world.stack.restart(components[side])
  }
  const [on, off] = [rounds(cpu.on), rounds(cpu.off)]
  return {
    name,
    unit: "/s",
    ours: rounds(measured.on),
    reference: rounds(measured.off),
    against: words.against,
    reach: { more: 0.95 },
    notes: [
      `${words.note}; the edge's processor ${on.median.toFixed(0)} µs a request ` +
        `(${on.low.toFixed(0)}–${on.high.toFixed(0)}) against ${off.median.toFixed(0)} (${off.low.toFixed(0)}–${off.high.toFixed(0)})`,
    ],
  }
}

export const tracing = async (world: World): Promise<ReadonlyArray<Result>> => [
  await compared(
    world,
    "tracing_cost",
    { on: undefined, off: { OTEL_TRACES_EXPORTER: "none" } },
    {
      against: "the same path through an edge with OTEL_TRACES_EXPORTER=none",
      note: "1 % of the requests recorded",
    },
  ),
]

export const limits = async (world: World): Promise<ReadonlyArray<Result>> => {
  const edge = (guards: "on" | "off") => ({
    NODE_OPTIONS: `--import=${pathToFileURL(world.entries.edge).href}`,
    FLOODGATE_BENCH_GUARDS: guards,
  })
  return [
    await compared(
      world,
      "limits_cost",
      { on: edge("on"), off: edge("off") },
      {
        against: "the same path through an edge whose limits and rules let everything pass",
        note: "limits of users, addresses and products, and six rules",
      },
    ),
  ]
}

const METRICS =
  /^packages\/(runtime\/src\/metrics\/|edge\/src\/(http\/HttpMetrics|seckill\/SeckillMetrics|limits\/LimitMetrics|products\/ProductMetrics))/
const LIMITS = /^packages\/edge\/src\/(limits|risk)\//

const WRITTEN_MS = 30_000

/** A profile of one component while `work` runs for the second time; it is started for it, and again afterwards. */
export const profiled = async (
  world: World,
  name: string,
  work: () => Promise<void>,
): Promise<Profile.Shares> => {
  const folder = await mkdtemp(join(tmpdir(), "floodgate-profile-"))
  const file = join(folder, "cpu.json")
  try {
    await world.stack.restart(name, {
      NODE_OPTIONS: `--import=${pathToFileURL(world.entries.profiler).href}`,
      FLOODGATE_BENCH_PROFILE: file,
    })
    const pid = (await world.stack.pids())[name]!
    await work()
    process.kill(pid, "SIGUSR2")
    await work()
    process.kill(pid, "SIGUSR2")
    for (const began = performance.now(); !existsSync(file); await sleep(50)) {
      if (performance.now() - began > WRITTEN_MS) throw new Error(`${name} wrote no profile`)
    }
    return Profile.read(file, process.cwd())
  } finally {
    await world.stack.restart(name)
    await rm(folder, { recursive: true, force: true })
  }
}

const largest = (parts: ReadonlyArray<Profile.Part>, count: number): string =>
  parts
    .slice(0, count)
    .map(({ file, share }) => `${(share * 100).toFixed(1)} % ${file}`)
    .join("; ")

export const profiles = async (world: World): Promise<ReadonlyArray<Result>> => {
  const sales = [...(await world.sell(2 * (world.size.products + 1)))]
  const shares = await profiled(world, "edge-2", async () => {
    await buy(world, world.port, sales.splice(0, world.size.products + 1))
  })
  const share = (of: RegExp): number =>
    shares.files.filter(({ file }) => of.test(file)).reduce((sum, part) => sum + part.share, 0)
  world.progress(`edge by file: ${largest(shares.files, 25)}`)
  world.progress(`edge by function: ${largest(shares.functions, 25)}`)
  const row = (name: string, what: string, of: RegExp, reach: Result["reach"]): Result => ({
    name,
    unit: "of the edge's processor time",
    ours: rounds([share(of) / (1 - share(of))]),
    reference: undefined,
    against: `${what} against all the rest, in a CPU profile of the edge under accepted reservations`,
    reach,
    notes: [`${shares.busySeconds.toFixed(1)} s of samples`],
  })
  return [
    row("metrics_cost", "counting", METRICS, { less: 0.05 }),
    row("limits_share", "limits and rules", LIMITS, undefined),
  ]
}
