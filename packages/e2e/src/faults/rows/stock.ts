/** Rows 20, 25, 28 and 29: clocks that are wrong, halves of a warm-up, and relays that sleep while the world goes on. */
import { setTimeout as sleep } from "node:timers/promises"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import * as Shards from "@floodgate/runtime/redis/Shards"
import type { Redis } from "ioredis"
import * as mysql from "mysql2/promise"
import type { Edge } from "../../support/Edge.ts"
import { poll } from "../../support/Poll.ts"
import { insist } from "../Crowds.ts"
import { holds } from "../Holds.ts"
import { patient } from "../Patience.ts"
import type { Row, Sale, Trial } from "../Trial.ts"

const OFF_MS = 600_000
const TIME_TO_PAY_MS = 8_000
/** A start so far ahead that every edge is asked before it. */
const AHEAD_MS = 6_000
/** One buyer may ask five times a second. */
const PACE_MS = 300
/** How far what a client is told of the time may be from Redis' own. */
const TELL_MS = 1_500

const wrongClocks = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const timeMs = patient(TIME_TO_PAY_MS)
  // Of each pair one is wrong. Nobody pays at the provider here: its signatures are by the world's clock.
  const wrong = ["identity", "inventory", "ordering", "payment", "edge"].map((name) => ({
    component: dice.chance(0.5) ? name : `${name}-2`,
    offset: dice.pick([-1, 1]) * OFF_MS,
  }))
  const orderings = ["ordering", "ordering-2"]
  const told = new Map<string, Record<string, string>>(
    orderings.map((name) => [name, { ORDER_PAY_TIMEOUT_MS: String(timeMs) }]),
  )
  for (const { component, offset } of wrong) {
    told.set(component, { ...told.get(component), FLOODGATE_FAULTS_CLOCK_MS: String(offset) })
  }
  trial.note(wrong.map(({ component, offset }) => `${component} ${offset / 60_000} min`).join(", "))
  const redis = world.ledger.redis as Redis
  const redisNow = async () => {
    const [seconds, micros] = await redis.time()
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
  }
  try {
    // One after the other: whoever begins with a wrong clock finds a fellow of each peer, and gets ready.
    for (const [name, env] of told) await world.restart(name, env)
    // The window, by Redis' clock alone.
    const startMs = (await redisNow()) + patient(AHEAD_MS)
    const [buyer] = await world.buyers()
    // Signed by an identity and read by an edge of which either may be wrong.
    for (const edge of world.edges) {
      const { token } = await edge.newcomer()
      const orders = await insist(() => edge.get("/orders", { token }), patient(10_000))
      holds(orders?.code === 0, `${edge.url} answered ${orders?.status}/${orders?.code} to a new token`)
    }
    const window = await insist(
      () =>
        world.edges[0]!.post(
          "/products",
          { name: "by the clock", price: 100, stock: 50, start_time: new Date(startMs).toISOString() },
          { token: world.operator, key: dice.id(), timeoutMs: 10_000 },
        ),
      patient(20_000),
    )
    holds(window?.code === 0, `publishing was answered ${window?.status}/${window?.code}`)
    const productId = window.data.id as number
    const reserve = (edge: Edge) =>
      edge.post(
        "/seckill",
        { product_id: productId, quantity: 1 },
        { token: buyer!.token, key: dice.id(), timeoutMs: 5_000 },
      )
    const doors = dice.fork("doors")
    let upcoming = 0
    for (;;) {
      const beforeMs = await redisNow()
      const answer = await reserve(doors.pick(world.edges)).catch(() => undefined)
      const afterMs = await redisNow()
      if (answer?.status === 202) {
        holds(afterMs >= startMs, `sold ${startMs - afterMs} ms before its start`)
        break
      }
      if (answer?.code === 512) {
        holds(beforeMs < startMs, `512 ${beforeMs - startMs} ms after its start`)
        upcoming++
      } else holds(answer === undefined || answer.status === 503, `reserving was answered ${answer?.code}`)
      holds(beforeMs < startMs + patient(10_000), "nothing was sold after its start")
      await sleep(PACE_MS)
    }
    holds(upcoming > 0, "nobody asked before its start")
    for (const edge of world.edges) {
      const beforeMs = await redisNow()
      const answer = await insist(() => edge.get(`/product/${productId}`), patient(10_000))
      holds(answer?.code === 0, `${edge.url} answered ${answer?.status}/${answer?.code} for the product`)
      const told = Number(answer.headers.get("x-server-time"))
      const afterMs = await redisNow()
      holds(
        told >= beforeMs - TELL_MS && told <= afterMs + TELL_MS,
        `${edge.url} tells a time ${told - afterMs} ms from Redis'`,
      )
      holds(answer.data.status === "live", `${edge.url} says that the product is ${answer.data.status}`)
    }
    await world.ledger.rows("UPDATE inventory.product SET end_time = UTC_TIMESTAMP(3) WHERE id = ?", [
      productId,
    ])

    // The time to pay, by MySQL's clock alone.
    const sale = await trial.sale({
      habits: { perSecond: 40, wishes: 60, percent: { wallet: 40, provider: 0, cancel: 10 } },
    })
    sale.crowd.start()
    await poll("everybody has asked", async () => sale.crowd.left === 0, patient(20_000))
    await sale.crowd.stop()
    trial.healed()
    await poll(
      "nothing is unpaid any more",
      async () => (await world.ledger.orders(sale.productId)).every(({ state }) => state !== "unpaid"),
      patient(30_000) + timeMs,
    )
    const late = await world.ledger.rows<{ order_num: string; ms: number }>(
      `SELECT order_num, CAST(TIMESTAMPDIFF(MICROSECOND, created_at, cancelled_at) DIV 1000 AS SIGNED) AS ms
       FROM ordering.\`order\` WHERE product_id = ? AND state = 'cancelled' AND cancel_reason = 'timeout'`,
      [sale.productId],
    )
    holds(late.length > 0, "no order ran out of time")
    const [least, most] = [Math.min(...late.map(({ ms }) => ms)), Math.max(...late.map(({ ms }) => ms))]
    trial.note(`${late.length} orders cancelled ${least} to ${most} ms after their creation, of ${timeMs}`)
    holds(least >= timeMs, `an order was cancelled after ${least} ms`)
    holds(most <= timeMs + patient(10_000), `an order was cancelled after ${most} ms`)
  } finally {
    await Promise.all([...told.keys()].map((name) => world.restart(name)))
  }
}

/** A warm-up dies with Redis loaded, and another with MySQL confirmed; the same form is sent until it is answered. */
const warmUpKilled = async (trial: Trial, point: "warmup.loaded" | "warmup.confirmed"): Promise<void> => {
  const { world, dice } = trial
  const name = `half ${dice.id()}`
  const named = () =>
    world.ledger.rows<{ id: number; state: string; stock: number }>(
      "SELECT id, state, stock FROM inventory.product WHERE name = ?",
      [name],
    )
  const before = await world.stack.status()
  const order = world.crash.give(point, { action: "kill" })
  // Publishing insists, as our clients do: only the first try can be the one that dies.
  const selling = trial.sale({ stock: 120, fields: { name }, habits: { perSecond: 60 } })
  selling.catch(() => undefined)
  const pid = await order.struck()
  trial.note(`${await world.componentOf(pid, before)} died at ${point}`)
  const [half] = await named()
  holds(half !== undefined, "nothing is left of the product")
  trial.note(`which left a ${half.state}`)
  if (point === "warmup.loaded") {
    const { generation } = await world.ledger.product(half.id)
    const shelf = await world.ledger.shelf(half.id)
    trial.note(`generation ${generation} in MySQL, ${shelf.generation} in Redis`)
    const [buyer] = await world.buyers()
    const answer = await world.edges[0]!.post(
      "/seckill",
      { product_id: half.id, quantity: 1 },
      { token: buyer!.token, key: dice.id(), timeoutMs: 5_000 },
    ).catch(() => undefined)
    const [now] = await named()
    holds(answer?.status !== 202 || now!.state === "published", "half a product was sold")
  }
  const sale = await selling
  const all = await named()
  holds(all.length === 1, `the form made ${all.length} products`)
  holds(all[0]!.id === sale.productId, "the form made another product than it answered")
  sale.crowd.start()
  await trial.promised(sale, 20)
  await trial.heal()
}

const partitionOf = (productId: number): number =>
  Shards.partitionOf(Shards.shardOf(productId), partitions[Topic.Reservations])

/** The message on the bus that carries this number, as bytes. */
const messageOf = async (trial: Trial, order_num: string): Promise<Buffer> => {
  const groupId = `fault-message-${trial.dice.id()}`
  const consumer = trial.world.ledger.kafka.consumer({ groupId })
  try {
    await consumer.connect()
    await consumer.subscribe({ topic: Topic.Reservations, fromBeginning: true })
    return await new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${order_num} isn't on the bus`)), patient(20_000))
      consumer
        .run({
          autoCommit: false,
          eachMessage: async ({ message }) => {
            if (message.key?.toString() !== order_num || message.value === null) return
            clearTimeout(timer)
            resolve(message.value)
          },
        })
        .catch(reject)
    })
  } finally {
    await consumer.disconnect().catch(() => undefined)
    const admin = trial.world.ledger.kafka.admin()
    await admin.connect()
    await admin.deleteGroups([groupId]).catch(() => undefined)
    await admin.disconnect()
  }
}

const FAULTY = "faults_refuse_order"

const tombstone = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  // Fewer than the crowd wants: what comes back is bought again.
  const sale = await trial.sale({
    stock: 40,
    perUserLimit: 1,
    habits: { perSecond: 15, percent: { wallet: 30, provider: 0, cancel: 0 } },
  })
  // One buyer's row is refused by the database itself, as one out of range is: a message that fails by itself.
  const victim = dice.pick(await world.buyers())
  const database = await mysql.createConnection((await world.stack.status())["mysql"]!.url!)
  await database.query(`DROP TRIGGER IF EXISTS ordering.${FAULTY}`)
  await database.query(
    `CREATE TRIGGER ordering.${FAULTY} BEFORE INSERT ON ordering.\`order\` FOR EACH ROW
     IF NEW.product_id = ${sale.productId} AND NEW.user_id = ${victim.id} AND NEW.state = 'unpaid'
     THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = 'refused by a test'; END IF`,
  )
  try {
    const sleeper = world.crash.give("relay.produced", { action: "stop", at: 1 })
    const wish = {
      buyer: victim,
      key: `victim-${dice.id()}`,
      quantity: 1,
      edge: dice.pick(world.edges),
      afterwards: "leave" as const,
      requests: [],
      deeds: [],
    }
    sale.crowd.wishes.push(wish)
    const number = await poll(
      "the victim is promised",
      async () => {
        const request = await sale.crowd.reserve(wish)
        return request.told === "promised" && request.order_num
      },
      patient(20_000),
    )
    const pid = await sleeper.struck()
    world.noteFrozen(pid)
    sale.crowd.start()
    // Its lease is taken over; the message comes again and again, and is a dead letter in the end.
    const letter = await poll(
      "the reservation is a dead letter",
      async () => {
        const letters = await world.ledger.rows<{ id: number }>(
          "SELECT id FROM ordering.dead_letter WHERE order_num = ? AND state = 'open'",
          [number],
        )
        return letters[0]?.id
      },
      patient(40_000),
    )
    await poll(
      "everything is sold",
      async () => (await world.ledger.shelf(sale.productId)).stock === 0,
      patient(30_000),
    )
    const discarded = await insist(
      () =>
        world.edges[0]!.post(
          `/admin/dead-letters/${letter}/discard`,
          { reason: "a fault test" },
          { token: world.admin, key: dice.id(), timeoutMs: 10_000 },
        ),
      patient(20_000),
    )
    holds(discarded?.code === 0, `discarding was answered ${discarded?.status}/${discarded?.code}`)
    await database.query(`DROP TRIGGER IF EXISTS ordering.${FAULTY}`)
    // What it held comes back, and somebody else buys it.
    const resold = await resell(trial, sale)
    trial.note(`the victim's number was rejected, its stock sold again to buyer ${resold}`)
    world.thaw(pid)
    trial.healed()
    // Whatever the sleeper has in hand, and the same message once more: a client of the bus may send it late.
    const copy = await messageOf(trial, number)
    const producer = world.ledger.kafka.producer({ allowAutoTopicCreation: false })
    await producer.connect()
    await producer.send({
      topic: Topic.Reservations,
      messages: [{ key: number, value: copy, partition: partitionOf(sale.productId) }],
    })
    await producer.disconnect()
    await sale.crowd.stop()
    await poll("the late copy is consumed", async () => (await world.ledger.lag()) === 0, patient(20_000))
    const rows = (await world.ledger.orders(sale.productId)).filter(({ state }) => state === "rejected")
    holds(
      rows.length === 1 && rows[0]!.order_num === number,
      `rejected are ${rows.map(({ order_num }) => order_num)}, not ${number} alone`,
    )
    const log = await world.ledger.rows<{ kind: string }>(
      "SELECT kind FROM inventory.stock_log WHERE product_id = ? AND ref = ?",
      [sale.productId, number],
    )
    holds(log.length === 0, `the rejected number moved MySQL's stock: ${log.map(({ kind }) => kind)}`)
  } finally {
    await database.query(`DROP TRIGGER IF EXISTS ordering.${FAULTY}`)
    await database.end()
  }
}

/** Waits until the piece that came back is sold; answers to whom. */
const resell = async (trial: Trial, sale: Sale): Promise<number> => {
  const { world, dice } = trial
  const had = new Set((await world.ledger.orders(sale.productId)).map(({ user_id }) => user_id))
  const others = (await world.buyers()).filter(({ id }) => !had.has(id))
  const buyer = dice.pick(others)
  const wish = {
    buyer,
    key: `resold-${dice.id()}`,
    quantity: 1,
    edge: dice.pick(world.edges),
    afterwards: "leave" as const,
    requests: [],
    deeds: [],
  }
  sale.crowd.wishes.push(wish)
  await poll(
    "what came back is sold again",
    async () => {
      const request = await sale.crowd.reserve(wish)
      // Somebody of the crowd may be faster.
      return request.told === "promised" || (await world.ledger.shelf(sale.productId)).stock === 0
    },
    patient(20_000),
  )
  return buyer.id
}

const oldEntries = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.rush({
    stock: 400,
    habits: { perSecond: 40, percent: { wallet: 20, provider: 0, cancel: 0 } },
  })
  const toCancel = await poll(
    "some orders to cancel",
    async () => {
      const orders = await world.ledger.orders(sale.productId)
      const own = orders.filter(
        ({ order_num, state }) =>
          state === "unpaid" && sale.crowd.numbers.get(order_num)?.afterwards === "leave",
      )
      return own.length >= 4 && own.slice(0, 4)
    },
    patient(30_000),
  )
  // A relay sleeps with entries in its hand that the bus doesn't have.
  const sleeper = world.crash.give("relay.fetched", { action: "stop", at: dice.between(1, 5) })
  const pid = await sleeper.struck()
  world.noteFrozen(pid)
  await trial.sometime(100, 800)
  const { generation } = await world.ledger.product(sale.productId)
  // Everything is decided, and nothing is rebuilt yet: here the cancels commit.
  const recovery = world.crash.give("recovery.barrier", { action: "hold" })
  await (world.ledger.redis as Redis).flushall()
  await recovery.struck(patient(60_000))
  const answers = await Promise.all(
    toCancel.map(({ order_num }) => {
      const { buyer } = sale.crowd.numbers.get(order_num)!
      return insist(
        () =>
          dice
            .pick(world.edges)
            .post(`/orders/${order_num}/cancel`, {}, { token: buyer.token, timeoutMs: 8_000 }),
        patient(20_000),
      )
    }),
  )
  const cancelled = answers.filter((answer) => answer?.status === 200).length
  holds(cancelled > 0, `no cancel was taken: ${answers[0]?.status}/${answers[0]?.code}`)
  recovery.release()
  await poll(
    "the shard is rebuilt",
    async () => {
      const shelf = await world.ledger.shelf(sale.productId).catch(() => undefined)
      return shelf?.isOpen === true && shelf.generation > generation
    },
    patient(40_000),
  )
  await trial.sometime(200, 1500)
  world.thaw(pid)
  trial.healed()
  await sale.crowd.stop()
  const lost = await poll(
    "what the sleeper held is decided",
    async () => {
      const states = new Map((await world.ledger.orders(sale.productId)).map((row) => [row.order_num, row]))
      if ((await world.ledger.lag()) > 0) return undefined
      return { rejected: [...states.values()].filter(({ state }) => state === "rejected") }
    },
    patient(30_000),
  )
  const odd = lost.rejected.filter(({ reject_reason }) => reject_reason !== "lost")
  holds(odd.length === 0, `a number of the old generation was rejected as ${odd[0]?.reject_reason}`)
  trial.note(`${cancelled} cancels during the recovery, ${lost.rejected.length} rows rejected(lost)`)
}

export const stock: ReadonlyArray<Row> = [
  {
    number: 20,
    promise: "services' clocks are 10 min wrong: sales begin by Redis' time, orders end by MySQL's",
    limitMs: 300_000,
    run: wrongClocks,
  },
  {
    number: 25,
    face: "loaded",
    promise: "a warm-up killed with Redis loaded: unsellable, and the same form makes one product",
    limitMs: 120_000,
    run: (trial) => warmUpKilled(trial, "warmup.loaded"),
  },
  {
    number: 25,
    face: "confirmed",
    promise: "a warm-up killed with MySQL confirmed: opened by another, and the same form makes one product",
    limitMs: 120_000,
    run: (trial) => warmUpKilled(trial, "warmup.confirmed"),
  },
  {
    number: 28,
    promise:
      "a relay sleeps after it produced; the number is rejected and its stock sold again: the tombstone wins",
    mayReject: true,
    limitMs: 240_000,
    run: tombstone,
  },
  {
    number: 29,
    promise:
      "a recovery while a sleeping relay holds old entries and cancels commit: exact, the old are lost",
    mayReject: true,
    limitMs: 240_000,
    run: oldEntries,
  },
]
