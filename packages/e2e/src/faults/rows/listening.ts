/** Row 23: a thousand people listen to an edge that dies, and one of them doesn't read. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Redis } from "ioredis"
import type { Edge } from "../../support/Edge.ts"
import { inParallel, poll } from "../../support/Poll.ts"
import { saleAt } from "../Crowds.ts"
import { holds } from "../Holds.ts"
import { Listener } from "../Listener.ts"
import * as Metrics from "../Metrics.ts"
import { patient } from "../Patience.ts"
import type { Row, Trial } from "../Trial.ts"

/** One user may have ten streams; those who only look at the stock needn't sign in. */
const STREAMS_A_USER = 10
const STREAMS = 1_000

/** The n-th of those who have an address of their own (TEST-NET ranges are few: the stack trusts 10.0.0.0/8). */
const addressOf = (n: number): string => `10.23.${n >> 8}.${n & 255}`

/** The names of an edge's process and of its fellow, which the dice choose. */
const choose = (trial: Trial) => {
  const victim = trial.dice.between(0, trial.world.edges.length - 1)
  return {
    name: victim === 0 ? "edge" : `edge-${victim + 1}`,
    edge: trial.world.edges[victim]!,
    others: trial.world.edges.filter((_, i) => i !== victim),
  }
}

/** Has them listen, some at a time, and returns when each has been greeted. */
const gather = async (listeners: ReadonlyArray<Listener>, first: Edge, later: ReadonlyArray<Edge>) => {
  const running: Array<Promise<void>> = []
  await inParallel(40, listeners, async (listener) => {
    running.push(listener.listen(first, later))
    await poll("a stream is open", async () => listener.isListening, patient(60_000))
  })
  return running
}

const refusalsOf = (listeners: ReadonlyArray<Listener>): string => {
  const counts = new Map<number, number>()
  for (const { refused } of listeners)
    for (const [status, n] of refused) counts.set(status, (counts.get(status) ?? 0) + n)
  return [...counts].map(([status, n]) => `${n} × ${status}`).join(", ")
}

const edgeKilled = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const victim = choose(trial)
  const sale = await saleAt(trial, victim.others, {
    stock: 400,
    habits: { perSecond: 20, percent: { wallet: 30, provider: 5, cancel: 30 } },
  })
  const ears = dice.fork("ears")
  const users = (await world.buyers()).map(({ id, token }, i) => ({
    id,
    streams: Array.from(
      { length: STREAMS_A_USER },
      () => new Listener({ topics: ["orders"], address: addressOf(i), token, dice: ears }),
    ),
  }))
  const signedIn = users.flatMap(({ streams }) => streams)
  const lookers = Array.from(
    { length: STREAMS - signedIn.length },
    (_, i) =>
      new Listener({
        topics: [`stock:${sale.productId}`],
        address: addressOf(users.length + i),
        dice: ears,
      }),
  )
  const everybody = [...signedIn, ...lookers]
  const running: Array<Promise<void>> = []
  try {
    running.push(...(await gather(everybody, victim.edge, world.edges)))
    holds(everybody.length === STREAMS, `${everybody.length} streams instead of ${STREAMS}`)
    sale.crowd.start()
    await trial.promised(sale, 30)
    await poll(
      "somebody hears of an order",
      async () => signedIn.some(({ orders }) => orders.size > 0),
      patient(20_000),
    )
    await trial.sometime(300, 2000)
    const open = everybody.filter(({ isListening }) => isListening).length
    const before = sale.crowd.promised.length
    await world.stack.kill(victim.name)
    const killedAt = Date.now()
    trial.note(`${victim.name} died with ${open} streams open`)
    holds(open === STREAMS, `only ${open} streams were open`)
    await trial.sometime(1_000, 4_000)
    await world.restart(victim.name)
    trial.healed()
    await poll(
      "everybody listens again",
      async () => everybody.every((one) => one.isListening && one.greeted >= 2),
      patient(30_000),
    )
    trial.note(`all were back after ${Date.now() - killedAt} ms`)
    await poll("the sale went on", async () => sale.crowd.promised.length > before, patient(20_000))
    await sale.crowd.stop()

    // What MySQL says in the end is what each of them was told in the end.
    const wrong = async (): Promise<ReadonlyArray<string>> => {
      const orders = await world.ledger.orders(sale.productId)
      const product = await victim.others[0]!.get(`/product/${sale.productId}`)
      const { stock } = product.data ?? {}
      return [
        ...users.flatMap(({ id, streams }) =>
          orders
            .filter(({ user_id }) => user_id === id)
            .flatMap(({ order_num, state }) =>
              streams.flatMap(({ orders: told }) =>
                told.get(order_num)?.state === state
                  ? []
                  : [`${order_num} is ${state}, one was told ${told.get(order_num)?.state}`],
              ),
            ),
        ),
        ...lookers.flatMap(({ stock: told }) =>
          told.get(sale.productId) === stock
            ? []
            : [`the stock is ${stock}, one was told ${told.get(sale.productId)}`],
        ),
      ]
    }
    let last: ReadonlyArray<string> = []
    await poll(
      "everybody knows the final state",
      async () => {
        last = await wrong()
        return last.length === 0
      },
      patient(30_000),
    ).catch((cause) => {
      throw new Error(`${(cause as Error).message}: ${last.length} are wrong; ${last[0]}`)
    })
    const told = signedIn.reduce((total, one) => total + one.told, 0)
    const resets = everybody.reduce((total, { resets }) => total + resets, 0)
    trial.note(`${told} changes told; refused on the way: ${refusalsOf(everybody) || "nobody"}`)
    holds(resets === 0, `${resets} times a stream had to begin anew, though nothing of the journal was lost`)
  } finally {
    for (const one of everybody) one.close()
    await Promise.all(running)
  }
}

/** Numbers whose changes are told, how many one entry of the journal brings, and how many entries at most (17 MB). */
const NUMBERS = 100
const MOST_ENTRIES = 900
const AT_ONCE = 2

/** As the edge's own script does. */
const APPEND = `local n = redis.call('INCR', KEYS[2])
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', 5000, '*', 'n', n, 'e', ARGV[1])`

const slowReader = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const victim = choose(trial)
  const { id, token } = await world.edges[0]!.newcomer()
  const ears = dice.fork("ears")
  const make = () => new Listener({ topics: ["orders"], address: addressOf(0), token, dice: ears })
  const [reader, ...hung] = [make(), make(), make()]
  const dropped = () => Metrics.sum(world, "edge", "floodgate_sse_streams_dropped_total")
  const before = await dropped()
  const running: Array<Promise<void>> = []
  try {
    running.push(...(await gather([reader!, ...hung], victim.edge, [victim.edge])))
    for (const one of hung) one.hang()
    let entries = 0
    for (; entries < MOST_ENTRIES; entries += AT_ONCE) {
      for (let i = 1; i <= AT_ONCE; i++) {
        const orders = Array.from({ length: NUMBERS }, (_, n) => [
          id,
          `told-${n}`,
          "unpaid",
          entries + i,
          new Date(0).toISOString(),
        ])
        await (world.ledger.redis as Redis).eval(
          APPEND,
          2,
          "{push}:journal",
          "{push}:journal:n",
          JSON.stringify({ orders }),
        )
      }
      if (entries % 50 === 0 && (await dropped()) - before >= hung.length) break
      await sleep(15)
    }
    await poll(
      "those who don't read are let go",
      async () => (await dropped()) - before >= hung.length,
      patient(20_000),
    )
    const last = entries >= MOST_ENTRIES ? MOST_ENTRIES : entries + AT_ONCE
    trial.note(`${last * NUMBERS} changes written, ${(await dropped()) - before} streams dropped`)
    for (const one of hung) one.wake()
    trial.healed()
    for (const one of [reader!, ...hung]) {
      await poll(
        "each has heard the last of everything",
        async () =>
          one.orders.size === NUMBERS && [...one.orders.values()].every(({ version }) => version === last),
        patient(30_000),
      )
      holds(one.resets === 0, `${one.resets} times a stream had to begin anew`)
    }
    const connections = [reader!, ...hung].reduce((total, { greeted }) => total + greeted, 0)
    const drops = (await dropped()) - before
    holds(drops <= connections, `${connections} streams were opened, and dropped ${drops} times`)
    holds(
      hung.every(({ greeted }) => greeted >= 2),
      "one who was dropped never came back",
    )
  } finally {
    for (const one of [reader!, ...hung]) one.close()
    await Promise.all(running)
  }
}

export const listening: ReadonlyArray<Row> = [
  {
    number: 23,
    face: "killed",
    promise:
      "an edge killed with 1,000 streams open: all go on behind the last id, none misses a final state",
    limitMs: 300_000,
    run: edgeKilled,
  },
  {
    number: 23,
    face: "slow",
    promise: "readers that hang are dropped at a bounded buffer, come back, and miss nothing",
    limitMs: 180_000,
    run: slowReader,
  },
]
