/** Rows 5 to 10: the stores stop, freeze, die, lose what they had. */

import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Shards from "@floodgate/runtime/redis/Shards"
import type { Cluster, Redis } from "ioredis"
import { poll } from "../../support/Poll.ts"
import * as AppendOnlyFile from "../AppendOnlyFile.ts"
import { PLANTED_USERS } from "../Ledger.ts"
import * as Metrics from "../Metrics.ts"
import { patient } from "../Patience.ts"
import type { Row, Sale, Trial } from "../Trial.ts"

/** An answer of the edge may take so long, whatever is frozen: the reservation's own deadlines, and a busy machine. */
const ANSWER_MS = 3_000

/** How long before an engine wakes a request must have been sent so that nothing of it may be executed any more. */
const STALE_MS = 3_000

const assert = (holds: boolean, sentence: string): void => {
  if (!holds) throw new Error(sentence)
}

/** Waits until a product is on sale again under a higher generation; answers how long it took (ms). */
const reopened = async (
  trial: Trial,
  productId: number,
  before: number,
  limitMs = patient(30_000),
): Promise<number> => {
  const began = Date.now()
  await poll(
    `product ${productId} is rebuilt`,
    async () => {
      const shelf = await trial.world.ledger.shelf(productId).catch(() => undefined)
      return shelf?.isOpen === true && shelf.generation > before
    },
    limitMs,
  )
  return Date.now() - began
}

/** The slowest answer to requests sent in this time. */
const slowest = (sale: Sale, fromMs: number, untilMs: number): number =>
  Math.max(
    0,
    ...sale.crowd.requests
      .filter(({ atMs }) => atMs >= fromMs && atMs <= untilMs)
      .map(({ tookMs }) => tookMs),
  )

const redisAway = async (trial: Trial, whileAway: () => void): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush()
  await trial.sometime(300, 2500)
  const { generation } = await world.ledger.product(sale.productId)
  await world.stack.kill("redis")
  // Whatever the relay had in hand is on the bus now, or never.
  await sleep(500)
  const onTheBus = await world.ledger.onTheBus(sale.productId)
  whileAway()
  await world.stack.restart("redis")
  trial.healed()
  trial.note(`open again after ${await reopened(trial, sale.productId, generation)} ms`)
  const orders = await poll("what the bus had is decided", async () => {
    const rows = new Map((await world.ledger.orders(sale.productId)).map((row) => [row.order_num, row]))
    return [...onTheBus].every((number) => rows.has(number)) && rows
  })
  const broken = [...onTheBus].filter((number) => orders.get(number)?.state === "rejected")
  assert(
    broken.length === 0,
    `${broken.length} of ${onTheBus.size} numbers on the bus weren't honoured: ${broken}`,
  )
  trial.note(`${onTheBus.size} numbers on the bus honoured`)
}

/** Orders that a test writes by itself, so that a rebuild has something to do. */
const plant = async (trial: Trial, productId: number, count: number): Promise<void> => {
  const { ledger } = trial.world
  const { generation } = await ledger.product(productId)
  // Numbers from 1, without a recursion whose depth each server bounds in its own way.
  const digits =
    "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
  const n = `(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS i FROM ${digits} a, ${digits} b, ${digits} c, ${digits} e) n`
  await ledger.rows(
    `INSERT INTO ordering.\`order\` (order_num, user_id, product_id, product_name, generation, quantity, amount, currency,
       request_id, state, expires_at, version, reserved_at, created_at, updated_at)
     SELECT CONCAT('planted-${productId}-', i), ${PLANTED_USERS} + i, ${productId}, 'planted', ${generation}, 1, 100,
       'CNY', CONCAT('planted-', i), 'unpaid', UTC_TIMESTAMP(3) + INTERVAL 1 DAY, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3),
       UTC_TIMESTAMP(3) FROM ${n} WHERE i <= ${count}`,
  )
  await ledger.rows(
    `INSERT INTO ordering.purchase (product_id, user_id, live_quantity)
     SELECT ${productId}, ${PLANTED_USERS} + i, 1 FROM ${n} WHERE i <= ${count}`,
  )
  await ledger.rows(
    `INSERT INTO inventory.stock_log (product_id, kind, ref, delta)
     SELECT ${productId}, 'order', CONCAT('planted-${productId}-', i), -1 FROM ${n} WHERE i <= ${count}`,
  )
  await ledger.rows(`UPDATE inventory.product SET stock = stock - ${count} WHERE id = ?`, [productId])
}

const MANY = 10_000
/** A whole rebuild of 10,000 orders. */
const REBUILD_MS = 10_000

const flushed = async (trial: Trial): Promise<void> => {
  const { ledger } = trial.world
  const flush = async () => {
    await (ledger.redis as Redis).flushall()
    return Date.now()
  }
  const sale = await trial.sale({
    stock: MANY + 250,
    prepare: async (productId) => {
      await plant(trial, productId, MANY)
      const { generation } = await ledger.product(productId)
      await flush()
      await reopened(trial, productId, generation)
    },
  })
  sale.crowd.start()
  await trial.promised(sale, 20)
  await trial.sometime(0, 2000)
  const { generation } = await ledger.product(sale.productId)
  const flushedAt = await flush()
  trial.healed()
  await reopened(trial, sale.productId, generation)
  const ms = Date.now() - flushedAt
  trial.note(`${MANY} orders rebuilt after ${ms} ms`)
  assert(ms <= patient(REBUILD_MS), `rebuilding ${MANY} orders took ${ms} ms`)
}

/** The component that serves a product's shard as its primary. */
const primaryOf = async (trial: Trial, productId: number): Promise<string> => {
  const cluster = trial.world.ledger.redis as Cluster
  const key = Shards.key(Shards.shardOf(productId), "fence")
  const slot = (await cluster.cluster("KEYSLOT", key)) as unknown as number
  const slots = await cluster.cluster("SLOTS")
  const port = slots.find(([from, to]) => slot >= from && slot <= to)?.[2]?.[1]
  const nodes = Object.entries(await trial.world.stack.status()).filter(([name]) =>
    /^redis(-\d)?$/.test(name),
  )
  const index = [1, 2, 3, 4, 5, 6].find((i) => trial.world.stack.port("redis", i) === port)
  const name = index === 1 ? "redis" : `redis-${index}`
  assert(
    nodes.some(([each]) => each === name),
    `no node serves slot ${slot}`,
  )
  return name
}

const failover = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({ habits: { perSecond: 30 } })
  // Another product, on another primary, which must not notice.
  let other = await trial.rush({ habits: { perSecond: 10 } })
  const victim = await primaryOf(trial, sale.productId)
  for (let i = 0; i < 8 && (await primaryOf(trial, other.productId)) === victim; i++) {
    await other.crowd.stop()
    other = await trial.rush({ habits: { perSecond: 10 } })
  }
  await trial.sometime(200, 2000)
  const { generation } = await world.ledger.product(sale.productId)
  const began = Date.now()
  await world.stack.kill(victim)
  trial.note(`${victim} died`)
  await poll(
    "its replica takes over",
    async () => (await primaryOf(trial, sale.productId).catch(() => victim)) !== victim,
    20_000,
  )
  trial.note(`its replica took over after ${Date.now() - began} ms`)
  const tookOverAt = Date.now()
  await poll(
    "the other shards go on",
    async () => other.crowd.left === 0 || other.crowd.promisedSince(tookOverAt) > 0,
    20_000,
  )
  // Without a replica in step the new primary takes no writes, so what it sells it can't lose.
  await trial.sometime(500, 2000)
  await trial.heal()
  trial.note(`open again after ${await reopened(trial, sale.productId, generation)} ms`)
}

const frozenRedis = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const opened = () => Metrics.sum(world, "inventory", "floodgate_breaker_opened_total", { name: "redis" })
  const openedBefore = await opened()
  const sale = await trial.rush({ habits: { perSecond: 30 } })
  await trial.sometime(200, 1500)
  const { fromMs, untilMs } = await trial.freezeFor("redis", 10_000)
  trial.healed()
  await sale.crowd.stop()
  const slow = slowest(sale, fromMs, untilMs)
  const openings = (await opened()) - openedBefore
  trial.note(`slowest answer ${slow} ms, breakers opened ${openings} times`)
  assert(slow <= patient(ANSWER_MS), `an answer took ${slow} ms while Redis was frozen`)
  assert(openings > 0, "no breaker opened while Redis was frozen")
  const asked = sale.crowd.requests.filter(({ atMs }) => atMs > fromMs && atMs < untilMs - STALE_MS)
  assert(asked.length > 0, "nobody asked while Redis was frozen")
  const promised = asked.filter(({ told }) => told === "promised")
  assert(promised.length === 0, `${promised.length} promises of a frozen Redis`)
  const abandoned = asked.flatMap(({ order_num }) => (order_num === undefined ? [] : [order_num]))
  const { records } = await trial.world.ledger.shelf(sale.productId)
  const late = abandoned.filter((number) => records.has(number))
  assert(late.length === 0, `${late.length} of ${abandoned.length} abandoned reservations were executed late`)
  trial.note(`${abandoned.length} numbers of unknown outcome, none executed late`)
}

const frozenMysql = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({
    habits: { perSecond: 15, percent: { wallet: 20, provider: 0, cancel: 10 } },
  })
  await trial.sometime(200, 1500)
  const pid = await world.freeze("mysql")
  const fromMs = Date.now()
  const before = sale.crowd.promised.length
  await sleep(15_000)
  const waiting = await world.ledger.open(sale.productId)
  const during = sale.crowd.promised.length - before
  world.thaw(pid)
  trial.healed()
  trial.note(`${during} promises while MySQL was frozen, ${waiting} reservations waiting at the end`)
  assert(during > 0, "nothing was sold while MySQL was frozen")
  assert(waiting >= during, `${during} promises, but only ${waiting} reservations wait`)
  const slow = slowest(sale, fromMs, Date.now())
  assert(slow <= patient(ANSWER_MS), `an answer took ${slow} ms while MySQL was frozen`)
}

const POOLS_MS = 10_000

const killedMysql = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({ habits: { perSecond: 30 } })
  await trial.sometime(300, 2500)
  // Read one by one until it dies: what was seen committed must be there afterwards.
  let before = await world.ledger.orders(sale.productId)
  let reading = true
  const reader = (async () => {
    while (reading) {
      before = await world.ledger.orders(sale.productId).catch(() => before)
      await sleep(20)
    }
  })()
  await trial.sometime(100, 600)
  await world.stack.kill("mysql")
  reading = false
  await reader
  await trial.sometime(200, 2000)
  await world.stack.restart("mysql")
  trial.healed()
  const restartedAt = Date.now()
  const after = new Map((await world.ledger.orders(sale.productId)).map((row) => [row.order_num, row]))
  const lost = before.filter(({ order_num }) => !after.has(order_num))
  assert(lost.length === 0, `${lost.length} of ${before.length} committed orders are gone`)
  const undone = before.filter(
    ({ order_num, state }) => state !== "unpaid" && after.get(order_num)!.state === "unpaid",
  )
  assert(undone.length === 0, `${undone.length} orders went back to unpaid`)
  const found = after.size
  await poll(
    "orders are created again",
    async () => (await world.ledger.orders(sale.productId)).length > found,
    patient(POOLS_MS),
  )
  trial.note(
    `${before.length} committed orders intact; the next came ${Date.now() - restartedAt} ms after the start`,
  )
}

export const engines: ReadonlyArray<Row> = [
  {
    number: 5,
    face: "killed",
    promise:
      "Redis killed under load: closed before its first request, then exact; what the bus has is honoured",
    mayReject: true,
    run: (trial) => redisAway(trial, () => {}),
  },
  {
    number: 5,
    face: "cut",
    promise: "Redis back without its last commands: closed, then exact; what the bus has is honoured",
    mayReject: true,
    run: (trial) =>
      redisAway(trial, () => {
        const wanted = trial.dice.chance(0.5) ? trial.dice.between(1, 50) : trial.dice.between(51, 5000)
        const dataDir = path.join(trial.world.stack.data, "engines", "redis")
        trial.note(`${AppendOnlyFile.cutOff(dataDir, wanted)} commands cut off`)
      }),
  },
  {
    number: 6,
    promise: "FLUSHALL in the middle of a sale: closed until rebuilt, 10,000 orders within 10 s, then exact",
    mayReject: true,
    limitMs: 120_000,
    run: flushed,
  },
  {
    number: 7,
    world: "cluster",
    promise: "a primary of the Redis cluster dies: its shards are closed until recovered, the others go on",
    mayReject: true,
    limitMs: 120_000,
    run: failover,
  },
  {
    number: 8,
    promise:
      "Redis frozen for 10 s: answers in time, the breaker opens, and nothing that was abandoned is executed late",
    run: frozenRedis,
  },
  {
    number: 9,
    promise: "MySQL frozen for 15 s: the sale goes on, orders wait, none is lost",
    run: frozenMysql,
  },
  {
    number: 10,
    promise: "MySQL killed: committed orders are intact, and the pools recover within 10 s",
    run: killedMysql,
  },
]
