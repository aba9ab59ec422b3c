/** Rows 11 to 14: the bus is away, loses its answers, brings what nobody can read; a consumer sleeps through its session. */
import { setTimeout as sleep } from "node:timers/promises"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import * as Shards from "@floodgate/runtime/redis/Shards"
import { poll } from "../../support/Poll.ts"
import * as Metrics from "../Metrics.ts"
import { patient } from "../Patience.ts"
import type { Row, Sale, Trial } from "../Trial.ts"

const assert = (holds: boolean, sentence: string): void => {
  if (!holds) throw new Error(sentence)
}

const partitionOf = (productId: number): number =>
  Shards.partitionOf(Shards.shardOf(productId), partitions[Topic.Reservations])

const AWAY_MS = 60_000
/** The alerts `RelayStalled` and `OutboxStalled` fire when the oldest has waited for 20 s, 15 s long. */
const ALERT_S = 20 + 15

/** Orders were created in the order in which they were reserved. */
const inOrder = async (trial: Trial, sale: Sale): Promise<void> => {
  const rows = await trial.world.ledger.rows<{ order_num: string; at: number }>(
    `SELECT order_num, CAST(ROUND(UNIX_TIMESTAMP(reserved_at) * 1000) AS SIGNED) AS at
     FROM ordering.\`order\` WHERE product_id = ? ORDER BY id`,
    [sale.productId],
  )
  const early = rows.filter((row, i) => i > 0 && row.at < rows[i - 1]!.at)
  assert(early.length === 0, `${early.length} of ${rows.length} orders were created out of turn`)
}

const brokerAway = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({
    habits: { perSecond: 4, percent: { wallet: 30, provider: 0, cancel: 10 } },
  })
  const unpaid = await poll("an order to pay", async () => {
    const orders = await world.ledger.orders(sale.productId)
    return orders.find(({ state, order_num }) => state === "unpaid" && sale.crowd.numbers.has(order_num))
  })
  await world.stack.kill("kafka")
  const stoppedAt = Date.now()
  const promised = sale.crowd.promised.length
  // Something for an outbox, whatever the crowd does.
  const wish = sale.crowd.numbers.get(unpaid.order_num)!
  await wish.edge.post(`/orders/${unpaid.order_num}/cancel`, {}, { token: wish.buyer.token })
  await sleep(AWAY_MS - (Date.now() - stoppedAt))
  const waiting = await world.ledger.open(sale.productId)
  const [outbox] = await world.ledger.rows<{ n: number }>(
    "SELECT CAST(COUNT(*) AS SIGNED) AS n FROM ordering.outbox WHERE sent_at IS NULL",
  )
  const during = sale.crowd.promised.length - promised
  // As the alerts see it: an age that has grown so far has been above their limit for their time.
  const [oldest, oldestRow] = await poll(
    "the alerts' ages",
    async () => {
      const ages = await Promise.all([
        Metrics.highest(world, "inventory", "floodgate_relay_oldest_entry_seconds"),
        Metrics.highest(world, "ordering", "floodgate_outbox_oldest_seconds"),
      ])
      return ages.every((age) => age > ALERT_S) && ages
    },
    patient(20_000),
  )
  assert(during > 0, "nothing was sold while the broker was away")
  assert(waiting >= during, `${during} promises, but only ${waiting} reservations wait`)
  assert(outbox!.n > 0, "no outbox row waits")
  trial.note(
    `${during} promises while the broker was away, ${waiting} entries and ${outbox!.n} outbox rows waiting, for ${Math.round(oldest)} and ${Math.round(oldestRow)} s: both alerts fire`,
  )
  await world.stack.restart("kafka")
  trial.healed()
  await poll(
    "the stream drains",
    async () => (await world.ledger.orders(sale.productId)).length >= waiting,
    patient(30_000),
  )
  await inOrder(trial, sale)
}

/** One of three brokers, the leader of the product's partition. */
const leaderAway = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({ habits: { perSecond: 15 } })
  const admin = world.ledger.kafka.admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata({ topics: [Topic.Reservations] })
  await admin.disconnect()
  const { leader } = topics[0]!.partitions.find(
    ({ partitionId }) => partitionId === partitionOf(sale.productId),
  )!
  const victim = leader === 1 ? "kafka" : `kafka-${leader}`
  await trial.sometime(200, 1500)
  await world.stack.kill(victim)
  const killedAt = Date.now()
  const before = (await world.ledger.orders(sale.productId)).length
  // Two copies are enough: orders go on without it.
  await poll(
    "orders are created by the other two brokers",
    async () => (await world.ledger.orders(sale.productId)).length > before + 5,
    patient(20_000),
  )
  trial.note(`${victim} died; orders went on after ${Date.now() - killedAt} ms`)
  await trial.heal()
}

/** Kafka's frame: four bytes of length, two of the kind of request; 0 is Produce. */
const isProduce = (request: Buffer): boolean => request.length > 6 && request.readInt16BE(4) === 0

const lostAnswers = async (trial: Trial): Promise<void> => {
  const { world } = trial
  await trial.rush({ habits: { perSecond: 30 } })
  const proxy = world.proxy("kafka")
  const before = proxy.lostAnswers
  const wanted = trial.dice.between(3, 10)
  for (let i = 1; i <= wanted; i++) {
    proxy.loseAnswers(1, isProduce)
    await poll("an answer is lost", async () => proxy.lostAnswers >= before + i, 20_000)
    await trial.sometime(50, 400)
  }
  trial.note(`${proxy.lostAnswers - before} answers to Produce lost`)
  await trial.heal()
}

/** Longer than the session (6 s) and than MySQL keeps the session of somebody who is silent (10 s). */
const ASLEEP_MS = 13_000

const sleeper = async (trial: Trial, where: "anywhere" | "orders.in_transaction" | "orders.committed") => {
  const { world } = trial
  const sale = await trial.rush({ habits: { perSecond: 20 } })
  let pid: number
  if (where === "anywhere") {
    await trial.sometime(200, 1500)
    const victim = trial.dice.pick(["ordering", "ordering-2"])
    pid = await world.freeze(victim)
    trial.note(`${victim} slept`)
  } else {
    pid = await world.crash.give(where, { action: "stop", at: trial.dice.between(1, 5) }).struck()
    world.noteFrozen(pid)
    trial.note(`a worker slept at ${where}`)
  }
  const before = (await world.ledger.orders(sale.productId)).length
  const asleepAt = Date.now()
  await sleep(ASLEEP_MS)
  await poll(
    "its fellow goes on without it",
    async () =>
      (await world.ledger.orders(sale.productId)).length > before ||
      (await world.ledger.open(sale.productId)) === 0,
    patient(20_000),
  )
  world.thaw(pid)
  trial.note(`for ${Date.now() - asleepAt} ms`)
  trial.healed()
}

const LETTER_MS = 10_000

const poison = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({ habits: { perSecond: 20 } })
  const first = await world.ledger.lastDeadLetter()
  const producer = world.ledger.kafka.producer({ allowAutoTopicCreation: false })
  await producer.connect()
  const plausible = {
    event_id: "planted",
    type: "seckill.reserved",
    version: 1,
    order_num: "planted",
    user_id: 1,
    product_id: sale.productId,
    generation: 1,
    quantity: 1,
    price: 100,
    per_user_limit: 5,
    request_id: "planted",
    reserved_at_ms: Date.now(),
  }
  const letters = [
    "not even JSON",
    JSON.stringify({ ...plausible, version: 99 }),
    JSON.stringify({ type: "seckill.unheard_of", version: 1 }),
    // A number that nobody was ever given.
    JSON.stringify(plausible),
  ]
  const plantedAt = Date.now()
  for (const value of trial.dice.shuffle(letters)) {
    await producer.send({
      topic: Topic.Reservations,
      messages: [{ key: "planted", value, partition: partitionOf(sale.productId) }],
    })
    await trial.sometime(20, 200)
  }
  await producer.disconnect()
  trial.plantedLetters = letters.length
  await poll(
    "every letter is in the dead letter store",
    async () => (await world.ledger.deadLetters(first)).length >= letters.length,
    patient(LETTER_MS),
  )
  trial.note(`${letters.length} letters stored after ${Date.now() - plantedAt} ms`)
  trial.healed()
}

/**
 * A reservation whose statement fails for a reason that a person can take away: the stock log has a row of its number
 * already. It becomes a letter; its neighbours become orders; taken away and replayed, it becomes one, too.
 */
const replayed = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.sale({ habits: { perSecond: 20 } })
  const first = await world.ledger.lastDeadLetter()
  // Nobody decides anything until the row is there.
  const pids = [await world.freeze("ordering"), await world.freeze("ordering-2")]
  sale.crowd.start()
  const [number] = await poll("a promise", async () => {
    const { promised } = sale.crowd
    return promised.length >= 5 && trial.dice.shuffle(promised)
  })
  await world.ledger.rows(
    "INSERT INTO inventory.stock_log (product_id, kind, ref, delta) VALUES (?, 'order', ?, 0)",
    [sale.productId, number!],
  )
  for (const pid of pids) world.thaw(pid)
  const thawedAt = Date.now()
  const letter = await poll(
    "it is in the dead letter store",
    async () => (await world.ledger.deadLetters(first)).find(({ order_num }) => order_num === number),
    patient(LETTER_MS),
  )
  trial.note(`a letter after ${Date.now() - thawedAt} ms`)
  await poll("its neighbours are orders", async () => (await world.ledger.orders(sale.productId)).length >= 4)
  await world.ledger.rows(
    "DELETE FROM inventory.stock_log WHERE product_id = ? AND kind = 'order' AND ref = ? AND delta = 0",
    [sale.productId, number!],
  )
  const replay = () =>
    world.edges[0]!.post(
      `/admin/dead-letters/${letter.id}/replay`,
      { reason: "what stood in its way is gone" },
      { token: world.admin },
    )
  // Services that were frozen a moment ago may still be busy: both are asked again, and one replay is the one.
  const codes: Array<number> = []
  await poll("two replays at once are answered", async () => {
    const answers = (await Promise.all([replay(), replay()])).map(({ code }) => code)
    codes.push(...answers.filter((code) => code !== 530))
    return !answers.includes(530)
  })
  assert(
    codes.filter((code) => code === 0).length === 1 && codes.every((code) => code === 0 || code === 520),
    `two replays at once answered ${codes}`,
  )
  const order = (await world.ledger.orders(sale.productId)).find(({ order_num }) => order_num === number)
  assert(order !== undefined && order.state !== "rejected", `the replayed reservation is ${order?.state}`)
  trial.healed()
}

export const bus: ReadonlyArray<Row> = [
  {
    number: 11,
    promise:
      "the broker away for 60 s under load: stream and outbox grow, their alerts fire, and they drain in order",
    limitMs: 180_000,
    run: brokerAway,
  },
  {
    number: 11,
    face: "one of three",
    world: "brokers",
    promise: "the leading broker of three dies: orders go on by the two others, none lost, none doubled",
    limitMs: 120_000,
    run: leaderAway,
  },
  {
    number: 12,
    promise: "the broker's answer is lost: exactly one effect",
    run: lostAnswers,
  },
  {
    number: 13,
    face: "anywhere",
    promise: "a consumer asleep past its session, then awake: its late write is refused or harmless",
    run: (trial) => sleeper(trial, "anywhere"),
  },
  {
    number: 13,
    face: "in its transaction",
    promise:
      "a worker asleep with the product's lock: MySQL takes the lock back, its late commit does nothing",
    run: (trial) => sleeper(trial, "orders.in_transaction"),
  },
  {
    number: 13,
    face: "before its offset",
    promise: "a worker asleep between its commit and its offset: its fellow's copy does nothing",
    run: (trial) => sleeper(trial, "orders.committed"),
  },
  {
    number: 14,
    promise: "messages that nobody can read are dead letters within 10 s; their neighbours become orders",
    run: poison,
  },
  {
    number: 14,
    face: "replayed",
    promise:
      "a reservation that fails by itself is a dead letter within 10 s; replayed, it becomes its one order",
    run: replayed,
  },
]
