/**
 * Orders persisted a second, from Kafka to committed: reservations are produced faster than they can be taken, and the
 * order worker of a real stack turns them into orders. Measured against the same rows written by nothing but mysql2,
 * once in batches of 500 and once one transaction an order.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as Shards from "@floodgate/runtime/redis/Shards"
import { Kafka, logLevel, Partitioners } from "kafkajs"
import * as mysql from "mysql2/promise"
import type { BenchStack } from "../BenchStack.ts"
import { type Result, rounds } from "../Result.ts"

export interface Size {
  /** Orders of one round. */
  readonly orders: number
  readonly rounds: number
  /** Orders of a round of the one-by-one reference. */
  readonly single: number
}

const BATCH = 500

/** Longest wait for one round, in milliseconds. */
const PATIENCE_MS = 120_000

const perSecond = (n: number, fromMs: number) => (n * 1000) / (performance.now() - fromMs)

/** Rows as the order worker writes them for a reservation that fits, in the tables that it writes. */
const writeRaw = async (
  pool: mysql.Pool,
  productId: number,
  firstUser: number,
  count: number,
  size: number,
) => {
  const connection = await pool.getConnection()
  const started = performance.now()
  for (let at = 0; at < count; at += size) {
    const n = Math.min(size, count - at)
    const users = Array.from({ length: n }, (_, i) => firstUser + at + i)
    const num = (user: number) => `raw${String(user).padStart(30, "0")}`
    await connection.beginTransaction()
    await connection.query(
      `INSERT INTO ordering.\`order\` (order_num, user_id, product_id, product_name, generation, quantity, amount,
        currency, request_id, state, expires_at, version, reserved_at, created_at, updated_at) VALUES ?`,
      [
        users.map((u) => [
          num(u),
          u,
          productId,
          "raw",
          1,
          1,
          100,
          "CNY",
          `r${u}`,
          "unpaid",
          EXPIRES,
          1,
          NOW,
          NOW,
          NOW,
        ]),
      ],
    )
    await connection.query("INSERT INTO inventory.stock_log (product_id, kind, ref, delta) VALUES ?", [
      users.map((u) => [productId, "order", num(u), -1]),
    ])
    await connection.query("INSERT INTO ordering.purchase (product_id, user_id, live_quantity) VALUES ?", [
      users.map((u) => [productId, u, 1]),
    ])
    await connection.commit()
  }
  connection.release()
  return perSecond(count, started)
}

const NOW = "2026-01-01 00:00:00.000"

/** Far off: the stack under test would cancel what has expired, and be measured doing so. */
const EXPIRES = "2099-01-01 00:00:00.000"

const insertProduct = async (pool: mysql.Pool, stock: number): Promise<number> => {
  const [header] = await pool.execute<mysql.ResultSetHeader>(
    `INSERT INTO inventory.product (name, price, stock, initial_stock, start_time, per_user_limit, publisher_id, state,
      generation, opened_at) VALUES ('bench', 100, ?, ?, '2026-01-01', 1, 1, 'withdrawn', 1, UTC_TIMESTAMP(3))`,
    [stock, stock],
  )
  return header.insertId
}

const produce = async (
  stack: BenchStack,
  kafka: Kafka,
  products: ReadonlyArray<number>,
  firstUser: number,
  count: number,
) => {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const timeMs = Date.now()
  for (let at = 0; at < count; at += BATCH) {
    const messages = Array.from({ length: Math.min(BATCH, count - at) }, (_, i) => {
      const user_id = firstUser + at + i
      const product_id = products[(at / BATCH) % products.length]!
      const order_num = OrderNum.make(stack.orderNumKey, user_id, {
        timeMs,
        productId: product_id,
        generation: 1,
      })
      const event: ReservationEvent = {
        event_id: order_num,
        type: "seckill.reserved",
        version: 1,
        order_num,
        user_id,
        product_id,
        generation: 1,
        quantity: 1,
        price: 100,
        per_user_limit: 1,
        request_id: `r${user_id}`,
        reserved_at_ms: timeMs,
      }
      const partition = Shards.partitionOf(Shards.shardOf(product_id), partitions[Topic.Reservations])
      return { key: order_num, value: JSON.stringify(event), partition }
    })
    await producer.send({ topic: Topic.Reservations, messages, acks: -1 })
  }
  await producer.disconnect()
}

/** Rate of the worker over the orders that it committed between the first and the last look, so that fetching isn't timed. */
const watch = async (pool: mysql.Pool, products: ReadonlyArray<number>, count: number): Promise<number> => {
  const committed = async () => {
    const [rows] = await pool.query<Array<mysql.RowDataPacket>>(
      "SELECT CAST(COALESCE(SUM(initial_stock - stock), 0) AS SIGNED) n FROM inventory.product WHERE id IN (?)",
      [products],
    )
    return rows[0]!["n"] as number
  }
  const deadline = performance.now() + PATIENCE_MS
  let first = await committed()
  while (first === 0) {
    if (performance.now() > deadline) throw new Error("the order worker took nothing")
    await sleep(5)
    first = await committed()
  }
  const started = performance.now()
  for (;;) {
    const n = await committed()
    if (n >= count) return perSecond(n - first, started)
    if (performance.now() > deadline) throw new Error(`${n} of ${count} orders after ${PATIENCE_MS} ms`)
    await sleep(10)
  }
}

/** Runs the rounds, ours and the references in turn, so that all see the same weather. */
export const ordersPersisted = async (
  stack: BenchStack,
  size: Size,
  progress: (text: string) => void,
): Promise<ReadonlyArray<Result>> => {
  if (stack.kafka === undefined) return []
  const pool = mysql.createPool({ uri: stack.mysqlUrl, connectionLimit: 4, supportBigNumbers: true })
  const kafka = new Kafka({ brokers: [stack.kafka], logLevel: logLevel.ERROR })
  const rates = {
    one: [] as Array<number>,
    many: [] as Array<number>,
    batches: [] as Array<number>,
    single: [] as Array<number>,
  }
  // Beyond whoever bought here before: order numbers of the reference are made of users alone.
  const [[last]] = await pool.query<Array<mysql.RowDataPacket>>(
    "SELECT CAST(COALESCE(MAX(user_id), 0) AS SIGNED) id FROM ordering.`order`",
  )
  let user = Math.max(1_000_000, (last!["id"] as number) + 1)
  const next = (n: number) => {
    user += n
    return user - n
  }
  // These reservations come from nowhere: a reconciliation would find them missing in Redis, and have the shard rebuilt.
  await stack.stop("inventory")
  try {
    for (let round = 0; round <= size.rounds; round++) {
      // The first round warms up and isn't counted.
      const keep = (list: Array<number>, rate: number) => {
        if (round > 0) list.push(rate)
      }
      for (const [list, width] of [
        [rates.one, 1],
        [rates.many, 8],
      ] as const) {
        const products: Array<number> = []
        for (let i = 0; i < width; i++) products.push(await insertProduct(pool, size.orders))
        const produced = produce(stack, kafka, products, next(size.orders), size.orders)
        const [rate] = await Promise.all([watch(pool, products, size.orders), produced])
        keep(list, rate)
      }
      const rawProduct = await insertProduct(pool, size.orders)
      keep(rates.batches, await writeRaw(pool, rawProduct, next(size.orders), size.orders, BATCH))
      keep(rates.single, await writeRaw(pool, rawProduct, next(size.single), size.single, 1))
      progress(`orders persisted: round ${round} of ${size.rounds}`)
    }
  } finally {
    await pool.end()
    await stack.restart("inventory")
  }
  const row = (
    name: string,
    ours: ReadonlyArray<number>,
    reference: ReadonlyArray<number>,
    against: string,
    reach: Result["reach"],
  ): Result => ({
    name,
    unit: "/s",
    ours: rounds(ours),
    reference: rounds(reference),
    against,
    reach,
    notes: [],
  })
  return [
    row("orders_persisted", rates.many, rates.batches, "mysql2, the same rows by 500; 8 products", {
      more: 0.3,
    }),
    row("orders_persisted_one_product", rates.one, rates.batches, "mysql2, the same rows by 500", undefined),
    row(
      "orders_persisted_against_single",
      rates.many,
      rates.single,
      "mysql2, one transaction an order",
      undefined,
    ),
  ]
}
