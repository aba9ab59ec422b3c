/** What is held: Redis' bytes a reservation, an edge's memory under open connections, and everybody's over time. */
import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import * as Machine from "../Machine.ts"
import { type Result, rounds } from "../Result.ts"
import { counted, type World } from "../World.ts"
import { mostAccepted } from "./Rates.ts"

const BATCH = 128
const GENERATION = 1

/**
 * Reservations by the script itself, as inventory calls it, without the rest of the path: a million buyers with tokens
 * would take the afternoon. The keys are no product's, so nothing else touches them.
 */
const reserveMany = async (world: World, tag: string, from: number, to: number): Promise<void> => {
  const keys = ["fence", "stream", "p", "b"].map((name) => `{bench-${tag}}:${name}`)
  const redis = world.redis as unknown as {
    benchReserve?: (...args: ReadonlyArray<string | number>) => Promise<Array<number>>
  }
  if (redis.benchReserve === undefined) {
    world.redis.defineCommand("benchReserve", {
      lua: readFileSync("lua/reserve.lua", "utf8"),
      numberOfKeys: 4,
    })
  }
  const runId = /run_id:(\w+)/.exec(await world.redis.info("server"))![1]!
  await world.redis.hset(keys[0]!, { run_id: runId, epoch: 1 })
  await world.redis.hset(
    keys[2]!,
    "gen",
    GENERATION,
    "open",
    1,
    "limit",
    1,
    "price",
    19_900,
    "stock",
    2e9,
    "ver",
    1,
  )
  for (let at = from; at < to; at += BATCH) {
    const users = Array.from({ length: Math.min(BATCH, to - at) }, (_, i) => 10_000_000 + at + i)
    const reply = await redis.benchReserve!(
      ...keys,
      GENERATION,
      1e9,
      users.length,
      ...users,
      ...users.map(() => 1),
      ...users.map((user) => `r${String(user).padStart(15, "0")}`),
      ...users.map(() => Date.now() + 5_000),
      ...users.map((user) => String(user).padStart(38, "0")),
    )
    if (reply[4] !== 0) throw new Error(`the script answered ${reply[4]}`)
  }
}

const usedMemory = async (world: World): Promise<number> =>
  Number(/used_memory:(\d+)/.exec(await world.redis.info("memory"))![1])

/** A record in a buyers' hash, by Redis' own count. */
const bytesOf = async (world: World, key: string): Promise<number> =>
  Number(await world.redis.call("MEMORY", "USAGE", key, "SAMPLES", "0"))

export const redisBytes = async (world: World): Promise<ReadonlyArray<Result>> => {
  const sizes = world.size.quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000]
  const tag = "bytes"
  const results: Array<Result> = []
  let smallest: number | undefined
  let made = 0
  const before = await usedMemory(world)
  for (const size of sizes) {
    await reserveMany(world, tag, made, size)
    made = size
    const record = (await bytesOf(world, `{bench-${tag}}:b`)) / size
    const entry = (await bytesOf(world, `{bench-${tag}}:stream`)) / size
    const all = ((await usedMemory(world)) - before) / size
    smallest ??= record
    results.push({
      name: `redis_bytes_${size}`,
      unit: "B",
      ours: rounds([record]),
      reference: rounds([smallest]),
      against: `the buyer's record at ${sizes[0]} buyers`,
      reach: { less: 1.1 },
      notes: [
        `what stays of a reservation${record <= 200 ? "" : ", over the 200 B that were promised"}; its entry in the ` +
          `stream, until it has its outcome, ${entry.toFixed(0)} B; the server grew by ${all.toFixed(0)} B`,
      ],
    })
    world.progress(`redis_bytes: ${record.toFixed(0)} B a reservation at ${size} buyers`)
  }
  await world.redis.unlink(...["fence", "stream", "p", "b"].map((name) => `{bench-${tag}}:${name}`))
  return results
}

const MIB = 2 ** 20

export const connectionsMemory = async (world: World): Promise<ReadonlyArray<Result>> => {
  const { quick } = world.size
  const connections = quick ? 2_000 : 10_000
  const forMs = world.size.watchMs ?? (quick ? 15_000 : 600_000)
  const settleMs = Math.min(60_000, forMs / 3)
  const pid = (await world.stack.pids())["edge-2"]!
  const idle = Machine.residentBytes(pid)
  // Each connection says something every 20 s, well before it would be closed as idle.
  const load = world.load.run({
    port: world.port,
    connections,
    requests: { kind: "get", paths: ["/livez"] },
    greets: true,
    warmUp: 0,
    most: Number.MAX_SAFE_INTEGER,
    forMs,
    rate: connections / 20,
  })
  const began = performance.now()
  const samples: Array<readonly [number, number]> = []
  const sampling = (async () => {
    while (performance.now() - began < forMs - 1_000) {
      samples.push([performance.now() - began, Machine.residentBytes(pid) / MIB])
      await sleep(500)
    }
  })()
  await Promise.all([load, sampling])
  const first = samples.filter(([at]) => at >= settleMs && at < settleMs * 1.5).map(([, bytes]) => bytes)
  const last = samples.filter(([at]) => at >= forMs - settleMs * 0.8).map(([, bytes]) => bytes)
  return [
    {
      name: "connections_memory",
      unit: "MiB",
      ours: rounds(last),
      reference: rounds(first),
      against: `the same edge ${settleMs / 1_000} s after the beginning`,
      reach: { less: 1.1 },
      notes: [
        `${connections} connections for ${forMs / 1_000} s; before them ${(idle / MIB).toFixed(0)} MiB` +
          (quick ? "; in full 10,000 for 10 min" : ""),
      ],
    },
  ]
}

/** Components whose memory is watched over time. */
const WATCHED = {
  "edge-2": ["edgeOps", 2],
  inventory: ["inventoryOps", 1],
  ordering: ["orderingOps", 1],
} as const

const heapUsed = async (port: number): Promise<number> => {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return Number(/floodgate_process_memory_bytes\{[^}]*kind="heap_used"[^}]*\} ([0-9.e+]+)/.exec(text)?.[1])
}

export const soak = async (world: World): Promise<ReadonlyArray<Result>> => {
  const forMs = world.size.watchMs ?? (world.size.quick ? 15_000 : 3_600_000)
  const perSecond = Math.round((await mostAccepted(world)) / (world.size.quick ? 2 : 10))
  const names = Object.keys(WATCHED) as ReadonlyArray<keyof typeof WATCHED>
  const pids = await world.stack.pids()
  const samples = new Map(names.map((name) => [name, [] as Array<{ rss: number; heap: number }>]))
  let over = false
  const sampling = (async () => {
    while (!over) {
      for (const name of names) {
        const [port, instance] = WATCHED[name]
        samples.get(name)!.push({
          rss: Machine.residentBytes(pids[name]!) / MIB,
          heap: (await heapUsed(world.stack.port(port, instance))) / MIB,
        })
      }
      await sleep(forMs / 60)
    }
  })()
  // In portions, each with products of its own, so that the books of each can be closed.
  const size = world.size.known.to - world.size.known.from
  const portion = Math.min(20, Math.max(1, Math.floor((perSecond * forMs) / 1_000 / size)))
  let reservations = 0
  try {
    for (const began = performance.now(); performance.now() - began < forMs; ) {
      const products = await world.sell(portion)
      const outcome = await world.load.run({
        port: world.port,
        connections: world.size.connections,
        requests: { kind: "buy", products, buyers: world.size.known, keyed: true },
        warmUp: 0,
        most: Number.MAX_SAFE_INTEGER,
        forMs: Math.max(1_000, forMs - (performance.now() - began)),
        rate: perSecond,
      })
      const { busy, expected } = counted(outcome, "202")
      await world.settled(products, expected, busy)
      reservations += expected
      world.progress(`soak: ${reservations} reservations, each an order`)
    }
  } finally {
    over = true
    await sampling
  }
  return names.map((name) => {
    const all = samples.get(name)!
    const third = Math.max(1, Math.floor(all.length / 3))
    // The lowest heap of a while is what is left after a collection.
    const heapOf = (some: typeof all) => Math.min(...some.map(({ heap }) => heap))
    const [first, last] = [all.slice(0, third), all.slice(-third)]
    return {
      name: `soak_${name.replace("-2", "")}`,
      unit: "MiB",
      ours: rounds([heapOf(last)]),
      reference: rounds([heapOf(first)]),
      against: "heap in use after collections, last third against first",
      reach: { less: 1.15 },
      notes: [
        `${reservations} reservations at ${perSecond} /s for ${forMs / 1_000} s; resident ` +
          `${first[0]!.rss.toFixed(0)} MiB at first, ${last.at(-1)!.rss.toFixed(0)} MiB at the end`,
      ],
    }
  })
}

/** What `pnpm start` promises, engines warm. */
export const startTime = async (world: World): Promise<ReadonlyArray<Result>> => [
  {
    name: "start_time",
    unit: "s",
    ours: rounds([world.stack.startMs / 1_000]),
    reference: undefined,
    against:
      "`up --detach` until every component is ready, a second edge and the bundling of the code included",
    reach: { less: 10 },
    notes: [],
  },
]
