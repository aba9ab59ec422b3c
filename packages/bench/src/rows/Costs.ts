/**
 * What watching and guarding cost. Tracing can be switched off, so it is: two edges in turn, one that records 1 % of all
 * requests and one that records none. Metrics and limits can't be, on purpose; their cost is their share in a CPU profile
 * of the edge under accepted reservations.
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

export const tracing = async (world: World): Promise<ReadonlyArray<Result>> => {
  const { products: width, rounds: count } = world.size
  await world.stack.restart("edge", { OTEL_TRACES_EXPORTER: "none" })
  const sales = [...(await world.sell((count + 1) * 2 * (width + 1)))]
  const pids = await world.stack.pids()
  const measured = { on: [] as Array<number>, off: [] as Array<number> }
  const cpu = { on: [] as Array<number>, off: [] as Array<number> }
  for (let round = 0; round <= count; round++) {
    for (const side of round % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const)) {
      const pid = pids[side === "on" ? "edge-2" : "edge"]!
      const before = Machine.cpuSeconds(pid)
      const products = sales.slice(0, width + 1)
      sales.splice(0, width + 1)
      const outcome = await buy(world, side === "on" ? world.port : world.adminPort, products)
      if (round === 0) continue
      measured[side].push(rate(outcome))
      cpu[side].push(((Machine.cpuSeconds(pid) - before) / outcome.sent) * 1e6)
    }
    world.progress(`tracing_cost: round ${round} of ${count}`)
  }
  await world.stack.restart("edge")
  const [on, off] = [rounds(cpu.on), rounds(cpu.off)]
  return [
    {
      name: "tracing_cost",
      unit: "/s",
      ours: rounds(measured.on),
      reference: rounds(measured.off),
      against: "the same path through an edge with OTEL_TRACES_EXPORTER=none",
      reach: { more: 0.95 },
      notes: [
        `1 % of the requests recorded; the edge's processor ${on.median.toFixed(0)} µs a request ` +
          `(${on.low.toFixed(0)}–${on.high.toFixed(0)}) against ${off.median.toFixed(0)} (${off.low.toFixed(0)}–${off.high.toFixed(0)})`,
      ],
    },
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
  const row = (name: string, what: string, of: RegExp): Result => ({
    name,
    unit: "of the edge's processor time",
    ours: rounds([share(of) / (1 - share(of))]),
    reference: undefined,
    against: `${what} against all the rest, in a CPU profile of the edge under accepted reservations`,
    reach: { less: 0.05 },
    notes: [`${shares.busySeconds.toFixed(1)} s of samples`],
  })
  return [row("metrics_cost", "counting", METRICS), row("limits_cost", "limits and rules", LIMITS)]
}
