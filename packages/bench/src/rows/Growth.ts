/** Whether more products, more buyers or a mixed crowd slow a sale down. */
import * as Shards from "@floodgate/runtime/redis/Shards"
import type { Outcome } from "../load/Plan.ts"
import { type Result, rounds } from "../Result.ts"
import { counted, rate, type World } from "../World.ts"

const FOR_EVER = Number.MAX_SAFE_INTEGER

const buy = async (
  world: World,
  products: ReadonlyArray<number>,
  kind: "buy" | "spread",
  sweeps: number,
  /** Orders of these products that are there already. */
  before = 0,
): Promise<Outcome> => {
  const { connections, known } = world.size
  const size = known.to - known.from
  const outcome = await world.load.run({
    port: world.port,
    connections,
    requests: { kind, products, buyers: known, keyed: true },
    warmUp: Math.floor(size / 5),
    most: size * sweeps,
    forMs: FOR_EVER,
    rate: undefined,
  })
  const { busy, expected } = counted(outcome, "202")
  await world.settled(products, before + expected, busy)
  return outcome
}

export const products = async (world: World): Promise<ReadonlyArray<Result>> => {
  const counts = world.size.quick ? [100] : [100, 10_000]
  const measured = new Map<number, Array<number>>([
    [1, []],
    ...counts.map((n) => [n, []] as [number, Array<number>]),
  ])
  const rounded = world.size.rounds
  const singles = await world.sell(rounded + 1)
  const many = new Map<number, ReadonlyArray<number>>()
  const bought = new Map<number, number>()
  for (const n of counts) many.set(n, await world.sell(n))
  for (let round = 0; round <= rounded; round++) {
    const one = await buy(world, [singles[round]!], "buy", 1)
    if (round > 0) measured.get(1)!.push(rate(one))
    for (const n of counts) {
      // Another product for each buyer in each round.
      const all = many.get(n)!
      const before = bought.get(n) ?? 0
      const outcome = await buy(world, [...all.slice(round), ...all.slice(0, round)], "spread", 1, before)
      bought.set(n, before + counted(outcome, "202").expected)
      if (round > 0) measured.get(n)!.push(rate(outcome))
    }
    world.progress(`growth_products: round ${round} of ${rounded}`)
  }
  return counts.map((n) => ({
    name: `growth_products_${n}`,
    unit: "/s",
    ours: rounds(measured.get(n)!),
    reference: rounds(measured.get(1)!),
    against: "accepted of one product",
    reach: { more: 0.9 },
    notes: [`${n} products in turn, one request each`],
  }))
}

const BATCH = 1_000

/** Records of people who bought once and gave it back: they hold nothing, so the books stay right. */
const fill = async (world: World, product: number, count: number): Promise<void> => {
  const key = Shards.key(Shards.shardOf(product), `b:${product}:1`)
  for (let at = 0; at < count; at += BATCH) {
    const fields: Array<string> = []
    for (let i = at; i < Math.min(count, at + BATCH); i++) {
      const user = String(100_000_000 + i)
      fields.push(user, `${user.padStart(38, "0")},1,r${user.padStart(15, "0")},r;`)
    }
    await world.redis.hset(key, ...fields)
  }
}

export const buyers = async (world: World): Promise<ReadonlyArray<Result>> => {
  const [few, many] = world.size.quick ? [10_000, 100_000] : [10_000, 1_000_000]
  const rounded = world.size.rounds
  const sales = await world.sell(2 * (rounded + 1))
  const measured = { few: [] as Array<number>, many: [] as Array<number> }
  for (let round = 0; round <= rounded; round++) {
    for (const [side, count] of [
      ["few", few!],
      ["many", many!],
    ] as const) {
      const product = sales[2 * round + (side === "few" ? 0 : 1)]!
      await fill(world, product, count)
      const outcome = await buy(world, [product], "buy", 1)
      if (round > 0) measured[side].push(rate(outcome))
    }
    world.progress(`growth_buyers: round ${round} of ${rounded}`)
  }
  return [
    {
      name: `growth_buyers_${many}`,
      unit: "/s",
      ours: rounds(measured.many),
      reference: rounds(measured.few),
      against: `a product that ${few} others have bought`,
      reach: { more: 0.9 },
      notes: ["the others' records are written beforehand, as of people who gave it back"],
    },
  ]
}

/** Page views a second, and pages that are open with their event streams, beside the sale. */
const READS = 500
const STREAMS = 200

/** Opens event streams; what comes is read and forgotten. */
const openStreams = async (port: number, count: number, product: number): Promise<() => void> => {
  const stop = new AbortController()
  const open = async (_: unknown, n: number) => {
    const response = await fetch(`http://127.0.0.1:${port}/events?topics=stock:${product}`, {
      headers: { "x-forwarded-for": `10.200.${n >> 8}.${n & 255}` },
      signal: stop.signal,
    })
    if (!response.ok) throw new Error(`an event stream was answered ${response.status}`)
    const reader = response.body!.getReader()
    const drain = async () => {
      while (!(await reader.read()).done) {
        // Nothing is done with it.
      }
    }
    drain().catch(() => undefined)
  }
  await Promise.all(Array.from({ length: count }, open))
  return () => stop.abort()
}

export const hotProduct = async (world: World): Promise<ReadonlyArray<Result>> => {
  const rounded = world.size.rounds
  const sales = await world.sell(2 * (rounded + 1))
  const measured = { alone: [] as Array<number>, mixed: [] as Array<number> }
  let streams = 0
  for (let round = 0; round <= rounded; round++) {
    const alone = await buy(world, [sales[2 * round]!], "buy", 1)
    const hot = sales[2 * round + 1]!
    const close = await openStreams(world.port, STREAMS, hot)
    streams = STREAMS
    const mixed = await world
      .withSecondLoad(async (second) => {
        let over = false
        const reading = (async () => {
          while (!over) {
            await second.run({
              port: world.port,
              connections: 16,
              requests: { kind: "get", paths: [`/product/${hot}`] },
              warmUp: 0,
              most: FOR_EVER,
              forMs: 500,
              rate: READS,
            })
          }
        })()
        try {
          return await buy(world, [hot], "buy", 1)
        } finally {
          over = true
          await reading
        }
      })
      .finally(close)
    if (round > 0) {
      measured.alone.push(rate(alone))
      measured.mixed.push(rate(mixed))
    }
    world.progress(`hot_product_mix: round ${round} of ${rounded}`)
  }
  return [
    {
      name: "hot_product_mix",
      unit: "/s",
      ours: rounds(measured.mixed),
      reference: rounds(measured.alone),
      against: "accepted of a product that nobody looks at",
      reach: undefined,
      notes: [`beside it ${READS} page views a second and ${streams} open event streams of that product`],
    },
  ]
}
