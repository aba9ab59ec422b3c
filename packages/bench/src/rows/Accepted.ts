/**
 * Accepted reservations a second over the whole path, with tracing at 1 %, limits, rules and token checks on, while relay,
 * broker and order worker run: once with tokens that the edge has seen, once with every token first seen.
 */
import type { Outcome, Range } from "../load/Plan.ts"
import { type Result, rounds } from "../Result.ts"
import { counted, latency, rate, type Used, type World } from "../World.ts"

const KEYED = true

interface Round {
  readonly ours: Outcome
  readonly reference: Outcome
  readonly busy: number
  readonly left: number
  readonly drainedMs: number
  readonly used: Used
}

/** Each buyer buys each product once; a first sweep isn't counted where `warm`. */
const buy = async (world: World, products: ReadonlyArray<number>, buyers: Range, warm: boolean) => {
  const size = buyers.to - buyers.from
  const [ours, used] = await world.used(() =>
    world.load.run({
      port: world.port,
      connections: world.size.connections,
      requests: { kind: "buy", products, buyers, keyed: KEYED },
      warmUp: warm ? size : 0,
      most: Number.MAX_SAFE_INTEGER,
      forMs: Number.MAX_SAFE_INTEGER,
      rate: undefined,
    }),
  )
  const { busy, expected } = counted(ours, "202")
  const { drainedMs, left } = await world.settled(products, expected, busy)
  return { ours, used, busy, left, drainedMs }
}

/** The reference under the same load. */
export const ask = (world: World, port: number, buyers: Range): Promise<Outcome> =>
  world.load.run({
    port,
    connections: world.size.connections,
    requests: { kind: "ask", products: [1], buyers, keyed: KEYED },
    warmUp: 2_000,
    most: Number.MAX_SAFE_INTEGER,
    forMs: world.size.forMs,
    rate: undefined,
  })

const perRequest = (round: Round, name: string): number => ((round.used[name] ?? 0) / round.ours.sent) * 1e6

const result = (name: string, against: string, all: ReadonlyArray<Round>): Result => {
  const last = all.at(-1)!
  const cpu = ["edge-2", "inventory", "redis", "ordering"]
    .map((each) => `${each} ${rounds(all.map((round) => perRequest(round, each))).median.toFixed(0)}`)
    .join(", ")
  return {
    name,
    unit: "/s",
    ours: rounds(all.map(({ ours }) => rate(ours))),
    reference: rounds(all.map(({ reference }) => rate(reference))),
    against,
    reach: { more: 0.5 },
    notes: [
      `closed loop, ${latency(last.ours)} (reference ${latency(last.reference)})`,
      `µs of processor a request: ${cpu}; load generator ${(last.ours.ownCpu * 100).toFixed(0)} % of a core`,
      `backlog at the end ${all.map(({ left }) => left).join(", ")} orders, gone after ` +
        `${all.map(({ drainedMs }) => `${(drainedMs / 1_000).toFixed(1)} s`).join(", ")}; every reservation became an order; ` +
        `"busy" was answered ${all.map(({ busy }) => busy).join(", ")} times`,
    ],
  }
}

export const accepted = async (world: World): Promise<ReadonlyArray<Result>> => {
  const { known, products: width, rounds: count } = world.size
  const all: Array<Round> = []
  const sales = await world.sell((width + 1) * (count + 1))
  for (let round = 0; round <= count; round++) {
    const products = sales.slice(round * (width + 1), (round + 1) * (width + 1))
    const reference = await world.reference("reserve", ({ port }) => ask(world, port, known))
    const ours = await buy(world, products, known, true)
    // The first one warms up.
    if (round > 0) all.push({ ...ours, reference })
    world.progress(
      `seckill_accepted: round ${round} of ${count}: ${rate(ours.ours).toFixed(0)} and ${rate(reference).toFixed(0)} /s`,
    )
  }
  return [result("seckill_accepted", "node:http + ioredis EVALSHA of the same script, one process", all)]
}

export const firstSeen = async (world: World): Promise<ReadonlyArray<Result>> => {
  const { fresh, known } = world.size
  const all: Array<Round> = []
  const sales = await world.sell(fresh.length)
  for (const [round, buyers] of fresh.entries()) {
    const products = [sales[round]!]
    const reference = await world.reference("verify", ({ port }) => ask(world, port, known))
    const ours = await buy(world, products, buyers, false)
    if (round > 0) all.push({ ...ours, reference })
    world.progress(
      `seckill_first_seen: round ${round} of ${fresh.length - 1}: ${rate(ours.ours).toFixed(0)} and ${rate(reference).toFixed(0)} /s`,
    )
  }
  return [result("seckill_first_seen", "the same, and one RSA-2048 verification a request", all)]
}
