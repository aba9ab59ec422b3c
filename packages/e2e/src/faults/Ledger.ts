/**
 * The one checker of the invariants. It reads MySQL, Redis, Kafka and the provider's own books past every service,
 * holds them against each other and against what the clients were told, and says what is wrong in sentences.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Shards from "@floodgate/runtime/redis/Shards"
import { Cluster, Redis } from "ioredis"
import { Kafka, logLevel } from "kafkajs"
import * as mysql from "mysql2/promise"
import type { Crowd } from "./Crowd.ts"

export interface Places {
  /** The administrator's URL. */
  readonly mysql: string
  /** `redis://…`, or `redis-cluster://…`. */
  readonly redis: string
  /** Undefined where the bus is another. */
  readonly kafka: string | undefined
  /** The provider's journal. */
  readonly journal: string
}

/** What the checker must know of a product beyond what the stores say. */
export interface Expectation {
  readonly productId: number
  readonly crowd: Crowd
  /** A 202 may end as a rejection: Redis lost what it had promised. */
  readonly mayReject: boolean
}

interface OrderRow {
  readonly order_num: string
  readonly user_id: number
  readonly request_id: string
  readonly generation: number
  readonly quantity: number
  readonly amount: number
  readonly state: string
  readonly reject_reason: string | null
  readonly paid_at: Date | null
  readonly cancelled_at: Date | null
}

interface ProductRow {
  readonly id: number
  readonly stock: number
  readonly initial_stock: number
  readonly generation: number
  readonly per_user_limit: number
  readonly state: string
}

interface Held {
  readonly user_id: number
  readonly quantity: number
  readonly live: boolean
}

/** What a product has in Redis. */
interface Shelf {
  readonly isOpen: boolean
  readonly generation: number
  readonly stock: number
  readonly records: ReadonlyMap<string, Held>
}

/** Orders in these states hold stock. */
const HOLDING = new Set(["unpaid", "paid", "refunding", "refunded"])

/** Orders in these states were paid once. */
const PAID = new Set(["paid", "refunding", "refunded"])

/** Buyers from this id on exist only in rows that a test has written by itself. */
export const PLANTED_USERS = 1_000_000_000

const COMMAND_MS = 1_000

/** One read of everything about a product, as it is at one moment. */
const SHELF = `
local fence = redis.call('HGET', KEYS[1], 'run_id')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local product = redis.call('HMGET', KEYS[2], 'gen', 'stock')
local records = product[1] and redis.call('HGETALL', KEYS[3] .. product[1]) or {}
return { fence == run and 1 or 0, product[1] or '', product[2] or '', records }
`

const connect = (url: string): Redis | Cluster => {
  const options = {
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: () => 100,
  }
  const nodes = /^redis-cluster:\/\/(.+)$/.exec(url)?.[1]
  const client =
    nodes === undefined
      ? new Redis(url, options)
      : new Cluster(
          nodes.split(",").map((node) => {
            const [host = "", port] = node.split(":")
            return { host, port: Number(port) }
          }),
          {
            redisOptions: options,
            slotsRefreshInterval: 1000,
            clusterRetryStrategy: () => 100,
            enableOfflineQueue: false,
          },
        )
  client.on("error", () => {})
  return client
}

const sum = (numbers: Iterable<number>): number => {
  let total = 0
  for (const n of numbers) total += n
  return total
}

const few = (items: ReadonlyArray<unknown>): string =>
  `${items.length}: ${JSON.stringify(items.slice(0, 4))}${items.length > 4 ? " …" : ""}`

/** What a number's state may become; nothing that was told is ever taken back. */
const follows: Readonly<Record<string, ReadonlySet<string>>> = {
  queued: new Set(["unpaid", "paid", "cancelled", "rejected", "refunding", "refunded"]),
  unpaid: new Set(["paid", "cancelled", "refunding", "refunded"]),
  paid: new Set(["refunding", "refunded"]),
  refunding: new Set(["refunded", "paid"]),
  refunded: new Set(),
  cancelled: new Set(),
  rejected: new Set(),
}

export class Ledger {
  readonly #mysql: mysql.Pool
  readonly #places: Places
  #redis: Redis | Cluster
  #kafka: Kafka | undefined
  #outboxes: ReadonlyArray<string> | undefined

  constructor(places: Places) {
    this.#places = places
    this.#mysql = mysql.createPool({
      uri: places.mysql,
      connectionLimit: 4,
      supportBigNumbers: true,
      connectTimeout: 2000,
      timezone: "Z",
    })
    this.#redis = connect(places.redis)
    this.#kafka =
      places.kafka === undefined
        ? undefined
        : new Kafka({
            clientId: "fault-ledger",
            brokers: places.kafka.split(","),
            logLevel: logLevel.NOTHING,
            connectionTimeout: 1000,
            requestTimeout: 3000,
            retry: { retries: 1, initialRetryTime: 100 },
          })
  }

  async close(): Promise<void> {
    this.#redis.disconnect()
    await this.#mysql.end()
  }

  /** The Redis client, for tests that read or break things themselves. */
  get redis(): Redis | Cluster {
    return this.#redis
  }

  async rows<A>(sql: string, args: ReadonlyArray<string | number> = []): Promise<Array<A>> {
    const [rows] = await this.#mysql.execute({ sql, timeout: 10_000 }, [...args])
    return rows as Array<A>
  }

  async shelf(productId: number): Promise<Shelf> {
    const shard = Shards.shardOf(productId)
    const keys = ["fence", `p:${productId}`, `b:${productId}:`].map((suffix) => Shards.key(shard, suffix))
    const [open, generation, stock, flat] = (await this.#redis.eval(SHELF, 3, ...keys)) as [
      number,
      string,
      string,
      Array<string>,
    ]
    const records = new Map<string, Held>()
    for (let i = 0; i < flat.length; i += 2) {
      const record = /([^,;]+),(\d+),[^,;]+,([lr]);/g
      for (const [, number = "", quantity, state] of flat[i + 1]!.matchAll(record)) {
        records.set(number, {
          user_id: Number(flat[i]),
          quantity: Number(quantity),
          live: state === "l",
        })
      }
    }
    return { isOpen: open === 1, generation: Number(generation), stock: Number(stock), records }
  }

  async product(id: number): Promise<ProductRow> {
    const [row] = await this.rows<ProductRow>(
      "SELECT id, stock, initial_stock, generation, per_user_limit, state FROM inventory.product WHERE id = ?",
      [id],
    )
    if (row === undefined) throw new Error(`there is no product ${id}`)
    return row
  }

  orders(productId: number): Promise<Array<OrderRow>> {
    return this.rows<OrderRow>(
      `SELECT order_num, user_id, request_id, generation, quantity, amount, state, reject_reason, paid_at, cancelled_at
       FROM ordering.\`order\` WHERE product_id = ?`,
      [productId],
    )
  }

  /** Numbers of entries that the shard's stream still holds. */
  async open(productId: number): Promise<number> {
    return this.#redis.xlen(Shards.key(Shards.shardOf(productId), "stream"))
  }

  async #unsent(): Promise<number> {
    this.#outboxes ??= (
      await this.rows<{ s: string }>(
        "SELECT TABLE_SCHEMA AS s FROM information_schema.TABLES WHERE TABLE_NAME = 'outbox' AND TABLE_SCHEMA IN ('identity', 'inventory', 'ordering', 'payment', 'edge')",
      )
    ).map(({ s }) => s)
    const counts = await Promise.all(
      this.#outboxes.map((schema) =>
        this.rows<{ n: number }>(
          `SELECT CAST(COUNT(*) AS SIGNED) AS n FROM ${schema}.outbox WHERE sent_at IS NULL`,
        ),
      ),
    )
    return sum(counts.map(([row]) => row!.n))
  }

  /** Messages that consumers haven't finished, over all groups that have ever committed. */
  async lag(): Promise<number> {
    if (this.#kafka === undefined) return 0
    const admin = this.#kafka.admin()
    try {
      await admin.connect()
      const { groups } = await admin.listGroups()
      let total = 0
      const ends = new Map<string, Map<number, bigint>>()
      for (const { groupId } of groups) {
        for (const { topic, partitions } of await admin.fetchOffsets({ groupId })) {
          let high = ends.get(topic)
          if (high === undefined) {
            const offsets = await admin.fetchTopicOffsets(topic)
            high = new Map(offsets.map((each) => [each.partition, BigInt(each.high)]))
            ends.set(topic, high)
          }
          for (const { partition, offset } of partitions) {
            if (BigInt(offset) >= 0n) total += Number((high.get(partition) ?? 0n) - BigInt(offset))
          }
        }
      }
      return total
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
  }

  /** The client of the brokers. Fails where the bus is another. */
  get kafka(): Kafka {
    if (this.#kafka === undefined) throw new Error("this stack has no Kafka")
    return this.#kafka
  }

  /** The numbers of a product that are on the bus now. */
  async onTheBus(productId: number): Promise<ReadonlySet<string>> {
    const topic = Topic.Reservations
    const groupId = `fault-ledger-${randomUUID()}`
    const admin = this.kafka.admin()
    const consumer = this.kafka.consumer({ groupId })
    const found = new Set<string>()
    try {
      await admin.connect()
      const left = new Map<number, bigint>()
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        if (BigInt(high) > BigInt(low)) left.set(partition, BigInt(high))
      }
      if (left.size === 0) return found
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error("the bus couldn't be read within 20 s")), 20_000)
        consumer
          .run({
            autoCommit: false,
            eachMessage: async ({ partition, message }) => {
              try {
                const event = JSON.parse(String(message.value)) as { product_id?: number; order_num?: string }
                if (event.product_id === productId && event.order_num !== undefined)
                  found.add(event.order_num)
              } catch {
                // Not a reservation; somebody planted it.
              }
              const end = left.get(partition)
              if (end !== undefined && BigInt(message.offset) + 1n >= end) left.delete(partition)
              if (left.size === 0) {
                clearTimeout(timer)
                resolve()
              }
            },
          })
          .catch(reject)
      })
      return found
    } finally {
      await consumer.disconnect().catch(() => undefined)
      await admin.deleteGroups([groupId]).catch(() => undefined)
      await admin.disconnect().catch(() => undefined)
    }
  }

  /** What is still under way for these products, as sentences; empty at rest. Fails where an engine doesn't answer. */
  async underWay(productIds: ReadonlyArray<number>): Promise<ReadonlyArray<string>> {
    const list = productIds.join(",")
    const found: Array<string> = []
    const note = (n: number, what: string) => {
      if (n > 0) found.push(`${n} ${what}`)
    }
    for (const id of productIds) note(await this.open(id), `entries in the stream of product ${id}`)
    note(await this.#unsent(), "outbox rows unsent")
    const count = async (sql: string) =>
      (await this.rows<{ n: number }>(`SELECT CAST(COUNT(*) AS SIGNED) AS n FROM ${sql}`))[0]!.n
    const ours = `order_num IN (SELECT order_num FROM ordering.\`order\` WHERE product_id IN (${list}))`
    note(
      await count(
        `ordering.\`order\` WHERE product_id IN (${list}) AND state = 'unpaid' AND cancel_requested_at IS NOT NULL`,
      ),
      "cancels unfinished",
    )
    note(
      await count(
        `ordering.\`order\` WHERE product_id IN (${list}) AND state = 'unpaid' AND expires_at < UTC_TIMESTAMP(3)`,
      ),
      "unpaid orders past their time",
    )
    note(await count(`payment.capture WHERE state = 'new' AND ${ours}`), "captures unanswered")
    note(await count(`payment.refund WHERE state = 'pending' AND ${ours}`), "refunds pending")
    note(
      await count(
        `payment.intent WHERE state IN ('created', 'processing') AND channel = 'balance' AND ${ours}`,
      ),
      "wallet payments undecided",
    )
    note(await count(`payment.provider_event WHERE outcome = 'received'`), "provider events unapplied")
    note(await count("ordering.parked_payment"), "payment events parked")
    note(
      await count(
        `inventory.stock_adjustment WHERE state NOT IN ('applied', 'refused') AND product_id IN (${list})`,
      ),
      "stock adjustments half done",
    )
    // Last, because it costs the most.
    if (found.length === 0) note(await this.lag(), "messages not consumed")
    return found
  }

  /** Everything that holds at rest. Each broken invariant is one sentence. */
  async atRest(expectations: ReadonlyArray<Expectation>): Promise<ReadonlyArray<string>> {
    const broken: Array<string> = []
    for (const expectation of expectations) broken.push(...(await this.#ofProduct(expectation)))
    broken.push(...(await this.#ofMoney(expectations.map(({ productId }) => productId))))
    return broken
  }

  async #ofProduct({ productId, crowd, mayReject }: Expectation): Promise<ReadonlyArray<string>> {
    const broken: Array<string> = []
    const expect = (ok: boolean, sentence: () => string) => {
      if (!ok) broken.push(`product ${productId}: ${sentence()}`)
    }
    const [product, orders, shelf, log, purchases] = await Promise.all([
      this.product(productId),
      this.orders(productId),
      this.shelf(productId),
      this.rows<{ kind: string; ref: string; delta: number }>(
        "SELECT kind, ref, delta FROM inventory.stock_log WHERE product_id = ?",
        [productId],
      ),
      this.rows<{ user_id: number; live_quantity: number }>(
        "SELECT user_id, live_quantity FROM ordering.purchase WHERE product_id = ?",
        [productId],
      ),
    ])
    const holding = orders.filter(({ state }) => HOLDING.has(state))
    const held = sum(holding.map(({ quantity }) => quantity))

    // Stock.
    const adjusted = sum(log.filter(({ kind }) => kind === "adjust").map(({ delta }) => delta))
    expect(
      product.stock >= 0 && shelf.stock >= 0,
      () => `stock is negative: ${product.stock}, ${shelf.stock}`,
    )
    expect(
      product.initial_stock + adjusted === product.stock + held,
      () => `${product.initial_stock} initial + ${adjusted} adjusted ≠ ${product.stock} left + ${held} held`,
    )
    expect(sum(log.map(({ delta }) => delta)) === product.stock, () => "the stock log's sum isn't the stock")
    expect(shelf.isOpen, () => "its shard is closed")
    expect(
      shelf.generation === product.generation,
      () => `generation ${shelf.generation} in Redis, ${product.generation} in MySQL`,
    )
    expect(shelf.stock === product.stock, () => `stock ${shelf.stock} in Redis, ${product.stock} in MySQL`)

    // Live records are the orders that hold stock.
    const live = new Map([...shelf.records].filter(([, { live }]) => live))
    const missing = holding.filter(({ order_num }) => !live.has(order_num))
    const holders = new Map(holding.map((order) => [order.order_num, order]))
    const extra = [...live.keys()].filter((number) => !holders.has(number))
    expect(missing.length === 0, () => `orders without a live record in Redis, ${few(missing)}`)
    expect(extra.length === 0, () => `live records in Redis without an order, ${few(extra)}`)
    const unlike = holding.filter(({ order_num, user_id, quantity }) => {
      const record = live.get(order_num)
      return record !== undefined && (record.user_id !== user_id || record.quantity !== quantity)
    })
    expect(unlike.length === 0, () => `records of another buyer or quantity, ${few(unlike)}`)

    // Limits.
    const byUser = new Map<number, number>()
    for (const { user_id, quantity } of holding) byUser.set(user_id, (byUser.get(user_id) ?? 0) + quantity)
    const greedy = [...byUser].filter(([, quantity]) => quantity > product.per_user_limit)
    expect(greedy.length === 0, () => `buyers above the limit of ${product.per_user_limit}, ${few(greedy)}`)
    const miscounted = purchases.filter((row) => row.live_quantity !== (byUser.get(row.user_id) ?? 0))
    const counted = new Set(purchases.map(({ user_id }) => user_id))
    expect(
      miscounted.length === 0 && [...byUser.keys()].every((id) => counted.has(id)),
      () => `purchases miscounted, ${few(miscounted)}`,
    )

    // One reservation, one order: by number the key says so, by wish the request id.
    const wished = new Map<string, Array<string>>()
    for (const order of orders) {
      if (order.state === "rejected") continue
      const wish = `${order.user_id} ${order.request_id}`
      wished.set(wish, [...(wished.get(wish) ?? []), order.order_num])
    }
    const doubled = [...wished.values()].filter((numbers) => numbers.length > 1)
    expect(doubled.length === 0, () => `wishes with more than one order, ${few(doubled)}`)

    // Each order's own story, and its stock's.
    const moves = new Map<string, { taken: number; returned: number }>()
    for (const { kind, ref, delta } of log) {
      const move = moves.get(ref) ?? { taken: 0, returned: 0 }
      if (kind === "order") move.taken += delta
      if (kind === "cancel") move.returned += delta
      moves.set(ref, move)
    }
    const odd = orders.filter(({ order_num, state, quantity, paid_at, cancelled_at, reject_reason }) => {
      const { taken, returned } = moves.get(order_num) ?? { taken: 0, returned: 0 }
      const rejected = state === "rejected"
      return !(
        PAID.has(state) === (paid_at !== null) &&
        (state === "cancelled") === (cancelled_at !== null) &&
        rejected === (reject_reason !== null) &&
        taken === (rejected ? 0 : -quantity) &&
        returned === (state === "cancelled" ? quantity : 0)
      )
    })
    expect(odd.length === 0, () => `orders whose state, times and stock log disagree, ${few(odd)}`)

    // What clients were told.
    const byNumber = new Map(orders.map((order) => [order.order_num, order]))
    const uncertain = new Set(
      crowd.wishes
        .filter((wish) => wish.requests.some(({ told }) => told === "lost" || told === "busy"))
        .map(({ buyer }) => buyer.id),
    )
    const unasked = orders.filter(
      ({ order_num, user_id }) =>
        user_id < PLANTED_USERS && !crowd.numbers.has(order_num) && !uncertain.has(user_id),
    )
    expect(unasked.length === 0, () => `orders that nobody was told of, ${few(unasked)}`)
    if (!mayReject) {
      const promised = crowd.promised
      const broke = promised.filter((number) => byNumber.get(number)?.state === "rejected")
      const gone = promised.filter((number) => !byNumber.has(number))
      expect(
        broke.length === 0,
        () => `promises that became rejections, ${few(broke.map((n) => byNumber.get(n)))}`,
      )
      expect(gone.length === 0, () => `promises without a row, ${few(gone)}`)
    }
    return broken
  }

  /** Wallets, captures, refunds and the provider's books. */
  async #ofMoney(productIds: ReadonlyArray<number>): Promise<ReadonlyArray<string>> {
    const broken: Array<string> = []
    const none = async (what: string, sql: string) => {
      const rows = await this.rows<unknown>(sql)
      if (rows.length > 0) broken.push(`${what}, ${few(rows)}`)
    }
    const list = productIds.join(",")
    await none(
      "wallets whose balance isn't the sum of their entries",
      `SELECT w.user_id, w.balance, CAST(COALESCE(SUM(e.amount), 0) AS SIGNED) AS total
       FROM identity.wallet w LEFT JOIN identity.wallet_entry e ON e.user_id = w.user_id
       GROUP BY w.user_id, w.balance HAVING w.balance <> total OR w.balance < 0`,
    )
    await none(
      "debits without their entry, or entries without their debit",
      `SELECT d.payment_id FROM identity.wallet_decision d
         LEFT JOIN identity.wallet_entry e ON e.payment_id = d.payment_id
         WHERE (d.outcome = 'debited') <> (e.id IS NOT NULL) OR e.amount <> -d.amount
       UNION SELECT e.payment_id FROM identity.wallet_entry e
         LEFT JOIN identity.wallet_decision d ON d.payment_id = e.payment_id
         WHERE e.payment_id IS NOT NULL AND d.payment_id IS NULL`,
    )
    const ours = `(SELECT order_num FROM ordering.\`order\` WHERE product_id IN (${list}))`
    await none(
      "debits that payment doesn't know as captures",
      `SELECT d.payment_id, d.order_num FROM identity.wallet_decision d
       LEFT JOIN payment.capture c ON c.channel = 'balance' AND c.provider_txn_id = d.payment_id
       WHERE d.outcome = 'debited' AND d.order_num IN ${ours} AND c.capture_id IS NULL`,
    )
    await none(
      "orders whose captures less refunds aren't their price if paid, else nothing",
      `SELECT o.order_num, o.state, o.amount,
         COALESCE((SELECT CAST(SUM(c.amount) AS SIGNED) FROM payment.capture c WHERE c.order_num = o.order_num), 0) AS captured,
         COALESCE((SELECT CAST(SUM(r.amount) AS SIGNED) FROM payment.refund r
           WHERE r.order_num = o.order_num AND r.state = 'succeeded'), 0) AS refunded
       FROM ordering.\`order\` o WHERE o.product_id IN (${list})
       HAVING captured - refunded <> IF(o.state IN ('paid', 'refunding'), o.amount, 0)`,
    )
    await none(
      "orders with more than one capture that counts",
      `SELECT order_num, COUNT(*) AS n FROM payment.capture WHERE state = 'applied' AND order_num IN ${ours}
       GROUP BY order_num HAVING n > 1`,
    )
    await none(
      "refunds into a wallet without their entry",
      `SELECT r.refund_id FROM payment.refund r LEFT JOIN identity.wallet_entry e ON e.credit_id = r.refund_id
       WHERE r.channel = 'balance' AND r.state = 'succeeded' AND r.order_num IN ${ours} AND e.id IS NULL`,
    )
    broken.push(...(await this.#ofProvider(list)))
    return broken
  }

  /** The provider's journal, folded by order: what it took less what it gave back is what ours say. */
  async #ofProvider(productIds: string): Promise<ReadonlyArray<string>> {
    interface Entry {
      readonly _tag: string
      readonly payment_id: string
      readonly order_num?: string
      readonly amount?: number
      readonly refund_id?: string
    }
    const text = fs.existsSync(this.#places.journal) ? fs.readFileSync(this.#places.journal, "utf8") : ""
    const orderOf = new Map<string, { order_num: string; amount: number }>()
    const taken = new Map<string, number>()
    const given = new Map<string, { payment_id: string; amount: number }>()
    for (const line of text.split("\n")) {
      if (line === "") continue
      const entry = JSON.parse(line) as Entry
      const { _tag, payment_id } = entry
      if (_tag === "Created") orderOf.set(payment_id, { order_num: entry.order_num!, amount: entry.amount! })
      if (_tag === "Succeeded") taken.set(payment_id, orderOf.get(payment_id)?.amount ?? 0)
      if (_tag === "Refunded") given.set(entry.refund_id!, { payment_id, amount: entry.amount! })
    }
    const net = new Map<string, number>()
    const add = (payment_id: string, amount: number) => {
      const order_num = orderOf.get(payment_id)?.order_num ?? payment_id
      net.set(order_num, (net.get(order_num) ?? 0) + amount)
    }
    for (const [payment_id, amount] of taken) add(payment_id, amount)
    for (const { payment_id, amount } of given.values()) add(payment_id, -amount)
    const rows = await this.rows<{ order_num: string; net: number }>(
      `SELECT o.order_num,
         COALESCE((SELECT CAST(SUM(c.amount) AS SIGNED) FROM payment.capture c
           WHERE c.order_num = o.order_num AND c.channel = 'sandbox'), 0)
         - COALESCE((SELECT CAST(SUM(r.amount) AS SIGNED) FROM payment.refund r
           WHERE r.order_num = o.order_num AND r.channel = 'sandbox' AND r.state = 'succeeded'), 0) AS net
       FROM ordering.\`order\` o WHERE o.product_id IN (${productIds})`,
    )
    const wrong = rows.filter(({ order_num, net: ours }) => Number(ours) !== (net.get(order_num) ?? 0))
    return wrong.length === 0
      ? []
      : [`orders whose money at the provider isn't what payment has, ${few(wrong)}`]
  }

  /**
   * The invariants in motion: with the product's row held, neither orders come nor go, and one script sees all of Redis.
   * Undefined where an engine doesn't answer in time, or the shard is closed: then there is nothing to compare.
   */
  async inMotion(productId: number): Promise<ReadonlyArray<string> | undefined> {
    let connection: mysql.PoolConnection | undefined
    try {
      connection = await this.#mysql.getConnection()
      await connection.query({ sql: "SET SESSION innodb_lock_wait_timeout = 1", timeout: COMMAND_MS })
      await connection.query({ sql: "START TRANSACTION", timeout: COMMAND_MS })
      const ask = async <A>(sql: string) => {
        const [rows] = await connection!.query({ sql, timeout: COMMAND_MS, values: [productId] })
        return rows as Array<A>
      }
      const [product] = await ask<ProductRow>(
        "SELECT id, stock, initial_stock, generation FROM inventory.product WHERE id = ? FOR UPDATE",
      )
      const shelf = await this.shelf(productId)
      if (product === undefined || !shelf.isOpen || shelf.generation !== product.generation) return undefined
      const orders = await ask<OrderRow>(
        "SELECT order_num, quantity, state FROM ordering.`order` WHERE product_id = ?",
      )
      const [adjustments] = await ask<{ n: number; total: number }>(
        "SELECT COUNT(*) AS n, COALESCE(CAST(SUM(delta) AS SIGNED), 0) AS total FROM inventory.stock_log WHERE product_id = ? AND kind = 'adjust'",
      )
      const holding = orders.filter(({ state }) => HOLDING.has(state))
      const held = sum(holding.map(({ quantity }) => quantity))
      const live = new Map([...shelf.records].filter(([, record]) => record.live))
      const inRedis = shelf.stock + sum([...live.values()].map(({ quantity }) => quantity))
      const all = product.initial_stock + Number(adjustments!.total)
      const broken: Array<string> = []
      const expect = (ok: boolean, sentence: string) => {
        if (!ok) broken.push(`product ${productId} in motion: ${sentence}`)
      }
      expect(product.stock + held === all, `${product.stock} left + ${held} held in MySQL ≠ ${all}`)
      // An adjustment reaches Redis after MySQL where it adds, before it where it takes away.
      expect(
        Number(adjustments!.n) > 0 ? inRedis <= all : inRedis === all,
        `${shelf.stock} left + ${inRedis - shelf.stock} live in Redis ≠ ${all}`,
      )
      expect(shelf.stock <= product.stock, `Redis has ${shelf.stock}, MySQL ${product.stock}`)
      const bare = holding.filter(({ order_num }) => !live.has(order_num))
      expect(bare.length === 0, `orders whose stock Redis would sell again, ${few(bare)}`)
      return broken
    } catch {
      return undefined
    } finally {
      // Never given back with a transaction open.
      connection?.destroy()
    }
  }

  /** Letters that nobody has dealt with, newer than this id. */
  deadLetters(
    afterId: number,
  ): Promise<Array<{ id: number; order_num: string | null; reason: string; at: Date }>> {
    return this.rows(
      "SELECT id, order_num, reason, first_at AS at FROM ordering.dead_letter WHERE state = 'open' AND id > ? ORDER BY id",
      [afterId],
    )
  }

  async lastDeadLetter(): Promise<number> {
    const [row] = await this.rows<{ id: number }>(
      "SELECT COALESCE(MAX(id), 0) AS id FROM ordering.dead_letter",
    )
    return Number(row!.id)
  }
}

/** What the clients' own records say, whatever the stores hold. */
export const historyViolations = (crowd: Crowd): ReadonlyArray<string> => {
  const broken: Array<string> = []
  const defects = crowd.requests.filter(({ told }) => told === "defect")
  if (defects.length > 0) {
    broken.push(
      `answers that no fault excuses, ${few(defects.map(({ status, code, text }) => `${status}/${code} ${text}`))}`,
    )
  }
  const strange: Array<string> = []
  const undecided: Array<string> = []
  for (const number of crowd.numbers.keys()) {
    const told = (crowd.looks.get(number) ?? []).filter(({ state }) => state !== "busy" && state !== "lost")
    for (const { askedMs, state } of told) {
      // Of two looks that overlap neither was first: only what had been answered before this one was asked binds it.
      const before = told.findLast(({ atMs }) => atMs <= askedMs)?.state ?? "queued"
      if (follows[state] === undefined || (state !== before && follows[before]?.has(state) !== true)) {
        strange.push(`${number}: ${before}, then ${state}`)
        break
      }
    }
    if (!told.some(({ state }) => state !== "queued" && follows[state] !== undefined)) undecided.push(number)
  }
  if (strange.length > 0) broken.push(`numbers that said what they may not, ${few(strange)}`)
  if (undecided.length > 0) broken.push(`numbers without an outcome, ${few(undecided)}`)
  const untold = crowd.wishes.filter(({ requests }) => {
    const last = requests.at(-1)
    return last === undefined || last.told === "busy" || last.told === "lost"
  })
  if (untold.length > 0) {
    broken.push(`wishes without a definite answer, ${few(untold.map(({ requests }) => requests.at(-1)))}`)
  }
  return broken
}
