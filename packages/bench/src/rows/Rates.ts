/** What comes at a rate: what can be kept up, how long a click takes to become an order, and what a flood does to others. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Outcome, Plan } from "../load/Plan.ts"
import { type Result, rounds } from "../Result.ts"
import { FIRST_USER } from "../Tokens.ts"
import { counted, latency, rate, type World } from "../World.ts"
import { ask } from "./Accepted.ts"

const FOR_EVER = Number.MAX_SAFE_INTEGER

/** Connections of a fixed rate: enough that none waits for another while the system keeps up. */
const CONNECTIONS = 256

/** Enough products that each known buyer can buy one more, for so many reservations. */
const widthFor = (world: World, reservations: number): number =>
  Math.ceil(reservations / (world.size.known.to - world.size.known.from))

const buyAt = (
  world: World,
  products: ReadonlyArray<number>,
  perSecond: number,
  more: Partial<Plan>,
): Plan => ({
  port: world.port,
  connections: CONNECTIONS,
  requests: { kind: "buy", products, buyers: world.size.known, keyed: true },
  warmUp: 0,
  most: FOR_EVER,
  forMs: FOR_EVER,
  rate: perSecond,
  ...more,
})

/** Accepted reservations a second in a closed loop, measured once a run: what rates here are parts of. */
const most = new WeakMap<World, Promise<number>>()
export const mostAccepted = (world: World): Promise<number> => {
  const before = most.get(world)
  if (before !== undefined) return before
  const measured = (async () => {
    const products = await world.sell(2)
    const size = world.size.known.to - world.size.known.from
    const outcome = await world.load.run(
      buyAt(world, products, 0, { rate: undefined, connections: world.size.connections, warmUp: size }),
    )
    const { busy, expected } = counted(outcome, "202")
    await world.settled(products, expected, busy)
    return rate(outcome)
  })()
  most.set(world, measured)
  return measured
}

interface Step {
  readonly offered: number
  readonly accepted: number
  /** How fast the backlog grew in the second half, orders a second. */
  readonly growth: number
}

/** The slope of a line through the points. */
const slope = (points: ReadonlyArray<readonly [x: number, y: number]>): number => {
  const n = points.length
  const mx = points.reduce((sum, [x]) => sum + x, 0) / n
  const my = points.reduce((sum, [, y]) => sum + y, 0) / n
  const dx = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
  return dx === 0 ? 0 : points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / dx
}

/** A backlog that grows by less than this share of the rate doesn't grow. */
const STEADY = 0.01

/** Offers a rate for a while, and watches what has no outcome yet. */
const offer = async (world: World, offered: number, forMs: number): Promise<Step> => {
  const products = await world.sell(widthFor(world, (offered * forMs) / 1_000))
  let over = false
  const watching = (async () => {
    const points: Array<readonly [number, number]> = []
    const began = performance.now()
    while (!over) {
      points.push([(performance.now() - began) / 1_000, await world.open(products)])
      await sleep(250)
    }
    return points.slice(Math.floor(points.length / 2))
  })()
  const outcome = await world.load.run(buyAt(world, products, offered, { forMs }))
  over = true
  const points = await watching
  const { busy, expected } = counted(outcome, "202")
  await world.settled(products, expected, busy)
  return { offered, accepted: expected / outcome.seconds, growth: slope(points) }
}

export const sustained = async (world: World): Promise<ReadonlyArray<Result>> => {
  const { quick } = world.size
  const forMs = quick ? 6_000 : 60_000
  const highest = await mostAccepted(world)
  const before = await world.reference("reserve", ({ port }) => ask(world, port, world.size.known))
  const steps: Array<Step> = []
  // By halves, between what is too little to be interesting and what can't be offered.
  let low = 0
  let high = highest
  let best: Step | undefined
  for (let i = 0; i < (quick ? 2 : 5); i++) {
    const step = await offer(world, Math.round(low === 0 ? highest * 0.7 : (low + high) / 2), forMs)
    steps.push(step)
    world.progress(
      `seckill_sustained: ${step.offered} /s offered, ${step.accepted.toFixed(0)} accepted, backlog grows by ${step.growth.toFixed(1)} /s`,
    )
    // What comes late because the load generator was late isn't a rate that was held.
    if (step.growth <= STEADY * step.offered && step.accepted >= 0.95 * step.offered) {
      best = step
      low = step.offered
    } else {
      high = step.offered
      if (low === 0) low = highest * 0.1
    }
  }
  const after = await world.reference("reserve", ({ port }) => ask(world, port, world.size.known))
  return [
    {
      name: "seckill_sustained",
      unit: "/s",
      ours: rounds([best?.accepted ?? 0]),
      reference: rounds([rate(before), rate(after)]),
      against: "node:http + ioredis EVALSHA of the same script, one process",
      reach: { more: 0.2 },
      notes: [
        `each rate for ${forMs / 1_000} s: ` +
          steps
            .map(({ growth, offered }) => `${offered} /s ${growth <= STEADY * offered ? "holds" : "grows"}`)
            .join(", "),
      ],
    },
  ]
}

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!

/** How often the database is asked which orders are there (ms): no figure is finer. */
const LOOK_MS = 5

/** When each buyer's order could first be seen, Unix ms, until `count` are there. */
const watchOrders = async (world: World, product: number, isOver: () => number | undefined) => {
  const seen = new Map<number, number>()
  const [rows] = await world.mysql.query<Array<any>>("SELECT COALESCE(MAX(id), 0) last FROM ordering.`order`")
  let last = Number(rows[0].last)
  const began = performance.now()
  for (;;) {
    const [found] = await world.mysql.query<Array<any>>(
      "SELECT id, user_id, product_id FROM ordering.`order` WHERE id > ? ORDER BY id",
      [last],
    )
    const nowMs = performance.timeOrigin + performance.now()
    for (const { id, product_id, user_id } of found) {
      last = Number(id)
      if (Number(product_id) === product) seen.set(Number(user_id) - FIRST_USER, nowMs)
    }
    const wanted = isOver()
    if (wanted !== undefined && seen.size >= wanted) return seen
    if (performance.now() - began > 120_000) throw new Error(`${seen.size} orders seen of ${wanted}`)
    await sleep(LOOK_MS)
  }
}

export const clickToOrder = async (world: World): Promise<ReadonlyArray<Result>> => {
  const { known, quick } = world.size
  const half = (await mostAccepted(world)) / 2
  const p99: Array<number> = []
  const p50: Array<number> = []
  let http: Outcome | undefined
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    const [product] = await world.sell(1)
    let wanted: number | undefined
    const watching = watchOrders(world, product!, () => wanted)
    http = await world.load.run(buyAt(world, [product!], half, { clicks: true }))
    const { busy, expected } = counted(http, "202")
    wanted = expected
    const seen = await watching
    await world.settled([product!], expected, busy)
    const times = http.clicks
      .flatMap((click, i) => {
        const at = seen.get(known.from + i)
        return at === undefined ? [] : [at - click]
      })
      .sort((a, b) => a - b)
    p50.push(percentile(times, 0.5))
    p99.push(percentile(times, 0.99))
    world.progress(`click_to_order_p99: ${p99.at(-1)!.toFixed(0)} ms at ${half.toFixed(0)} /s`)
  }
  return [
    {
      name: "click_to_order_p99",
      unit: "ms",
      ours: rounds(p99),
      reference: undefined,
      against: "from when the click was due to the order being there for all to read",
      reach: { less: 250 },
      notes: [
        `at ${half.toFixed(0)} /s, half of the highest rate; p50 ${rounds(p50).median.toFixed(0)} ms; ` +
          `the 202 itself: ${latency(http!)}`,
      ],
    },
  ]
}

/** Crowd of a flood in multiples of what is let through. */
const FLOOD = 5
/** Part of the highest rate that the flooded product's limit lets through. */
const LET_THROUGH = 0.1
/** Clicks a second on the product that nobody floods. */
const NEIGHBOUR = 100
/** Connections are opened, and code is compiled, before anything counts. */
const WARM_UP_S = 2

export const flood = async (world: World): Promise<ReadonlyArray<Result>> => {
  const forMs = world.size.quick ? 4_000 : 20_000
  const capacity = Math.round((await mostAccepted(world)) * LET_THROUGH)
  const [calm, hot, neighbour, filled] = (await world.sell(4)) as [number, number, number, number]
  const half = Math.floor((world.size.known.from + world.size.known.to) / 2)
  const crowd = { from: world.size.known.from, to: half }
  const neighbours = { from: half, to: world.size.known.to }
  await world.limitProduct(hot, capacity)
  const unloaded = await world.load.run(
    buyAt(world, [calm], NEIGHBOUR, {
      requests: { kind: "buy", products: [calm], buyers: neighbours, keyed: true },
      warmUp: NEIGHBOUR * WARM_UP_S,
      forMs,
    }),
  )
  counted(unloaded, "202")
  // Just what the limit lets through, and nobody else: what the flood itself adds shows against it.
  const full = await world.load.run(
    buyAt(world, [filled], capacity, {
      requests: { kind: "ask", products: [filled], buyers: crowd, keyed: true },
      warmUp: capacity * WARM_UP_S,
      forMs,
      judged: "202",
    }),
  )
  const [flooded, beside] = await world.withSecondLoad((second) =>
    Promise.all([
      world.load.run(
        buyAt(world, [hot], capacity * FLOOD, {
          requests: { kind: "ask", products: [hot], buyers: crowd, keyed: true },
          warmUp: capacity * FLOOD * WARM_UP_S,
          forMs,
          judged: "202",
        }),
      ),
      second.run(
        buyAt(world, [neighbour], NEIGHBOUR, {
          requests: { kind: "buy", products: [neighbour], buyers: neighbours, keyed: true },
          warmUp: NEIGHBOUR * WARM_UP_S,
          forMs,
          judged: "202",
        }),
      ),
    ]),
  )
  const answers = JSON.stringify(flooded.statuses)
  const row = (name: string, outcome: Outcome, note: string): Result => ({
    name,
    unit: "ms",
    ours: rounds([outcome.p99]),
    reference: rounds([unloaded.p99]),
    against: `p99 of accepted at ${NEIGHBOUR} /s without the flood`,
    reach: { less: 2 },
    notes: [
      `${note}; ${latency(outcome)}, without the flood ${latency(unloaded)}, at ${capacity} /s and none beyond ${latency(full)}`,
    ],
  })
  return [
    row(
      "flood_p99",
      flooded,
      `${capacity * FLOOD} /s at a product whose limit is ${capacity} /s: ${answers}`,
    ),
    row(
      "flood_neighbour_p99",
      beside,
      `accepted of another product meanwhile: ${JSON.stringify(beside.statuses)}`,
    ),
  ]
}
