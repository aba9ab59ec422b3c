/** What needs no decision: sold-out answers and a product from the cache, against servers that answer a constant. */
import type { Outcome, Requests } from "../load/Plan.ts"
import { type Result, rounds } from "../Result.ts"
import { counted, latency, rate, type World } from "../World.ts"

const loop = (world: World, port: number, requests: Requests): Promise<Outcome> =>
  world.load.run({
    port,
    connections: world.size.connections,
    requests,
    warmUp: 3_000,
    most: Number.MAX_SAFE_INTEGER,
    forMs: world.size.forMs,
    rate: undefined,
  })

interface Measured {
  readonly ours: ReadonlyArray<Outcome>
  readonly reference: ReadonlyArray<Outcome>
}

const notes = ({ ours, reference }: Measured): ReadonlyArray<string> => [
  `closed loop, ${latency(ours.at(-1)!)} (reference ${latency(reference.at(-1)!)}); ` +
    `load generator ${(ours.at(-1)!.ownCpu * 100).toFixed(0)} % of a core (${(reference.at(-1)!.ownCpu * 100).toFixed(0)} %)`,
]

/** Ours and references in turn, the first round not counted. */
const inTurn = async (
  world: World,
  name: string,
  works: ReadonlyArray<() => Promise<Outcome>>,
): Promise<ReadonlyArray<ReadonlyArray<Outcome>>> => {
  const all = works.map((): Array<Outcome> => [])
  for (let round = 0; round <= world.size.rounds; round++) {
    const rates: Array<string> = []
    for (const [i, work] of works.entries()) {
      const outcome = await work()
      rates.push(rate(outcome).toFixed(0))
      if (round > 0) all[i]!.push(outcome)
    }
    world.progress(`${name}: round ${round} of ${world.size.rounds}: ${rates.join(" and ")} /s`)
  }
  return all
}

export const soldOut = async (world: World): Promise<ReadonlyArray<Result>> => {
  const buyers = world.size.known
  const [product] = await world.sell(1, { stock: 1 })
  const sale = { products: [product!], buyers }
  // Somebody has it.
  await world.load.run({
    port: world.port,
    connections: 1,
    requests: { kind: "buy", ...sale, buyers: { from: buyers.from, to: buyers.from + 1 }, keyed: true },
    warmUp: 0,
    most: 1,
    forMs: Number.MAX_SAFE_INTEGER,
    rate: undefined,
  })
  const others = { from: buyers.from + 1, to: buyers.to }
  const asking = (keyed: boolean) => async () => {
    const outcome = await loop(world, world.port, {
      kind: "ask",
      products: [product!],
      buyers: others,
      keyed,
    })
    counted(outcome, "409/510")
    return outcome
  }
  const [marked, keyed, constant] = await inTurn(world, "seckill_sold_out", [
    asking(false),
    asking(true),
    () =>
      world.reference("constant", ({ port }) =>
        loop(world, port, { kind: "ask", products: [product!], buyers: others, keyed: false }),
      ),
  ])
  const against = "node:http answering a constant"
  const row = (name: string, ours: ReadonlyArray<Outcome>, reach: Result["reach"]): Result => ({
    name,
    unit: "/s",
    ours: rounds(ours.map(rate)),
    reference: rounds(constant!.map(rate)),
    against,
    reach,
    notes: notes({ ours, reference: constant! }),
  })
  return [
    row("seckill_sold_out", marked!, { more: 0.6 }),
    // A key may stand for a reservation that was made, so these are never answered by the edge alone.
    row("seckill_sold_out_with_key", keyed!, undefined),
  ]
}

export const productRead = async (world: World): Promise<ReadonlyArray<Result>> => {
  const [product] = await world.sell(1)
  const get = (port: number, path: string) => async () => {
    const outcome = await loop(world, port, { kind: "get", paths: [path] })
    counted(outcome, "200")
    return outcome
  }
  const [read, same, bare] = await inTurn(world, "product_read", [
    get(world.port, `/product/${product}`),
    get(world.port, "/livez"),
    () => world.reference("constant", ({ port }) => get(port, "/")()),
  ])
  const row = (
    name: string,
    reference: ReadonlyArray<Outcome>,
    against: string,
    reach: Result["reach"],
  ): Result => ({
    name,
    unit: "/s",
    ours: rounds(read!.map(rate)),
    reference: rounds(reference.map(rate)),
    against,
    reach,
    notes: notes({ ours: read!, reference }),
  })
  return [
    row("product_read", same!, "the same server's constant (/livez)", { more: 0.7 }),
    row("product_read_bare", bare!, "node:http answering a constant", undefined),
  ]
}
