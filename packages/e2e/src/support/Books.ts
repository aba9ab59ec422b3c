/** Reads the engines directly and computes the invariants of one product, whatever the services say. */
import * as Shards from "@floodgate/runtime/redis/Shards"
import { Redis } from "ioredis"
import * as mysql from "mysql2/promise"

export interface Books {
  readonly mysqlStock: number
  readonly redisStock: number
  /** Open entries in the shard's stream. */
  readonly openReservations: number
  /** Orders by state. */
  readonly orders: Readonly<Record<string, number>>
  /** Quantity of unpaid and of ever paid orders. */
  readonly held: number
  /** Outbox rows not sent yet, over all services. */
  readonly unsent: number
  /** Sum of the live quantities in Redis' buyers' records. */
  readonly liveInRedis: number
}

export class Ledgers {
  readonly mysql: mysql.Pool
  readonly redis: Redis

  constructor(urls: { readonly mysql: string; readonly redis: string }) {
    this.mysql = mysql.createPool({ uri: urls.mysql, connectionLimit: 2, supportBigNumbers: true })
    this.redis = new Redis(urls.redis)
  }

  async close(): Promise<void> {
    await this.mysql.end()
    this.redis.disconnect()
  }

  private async rows<A>(sql: string, args: ReadonlyArray<string | number> = []): Promise<Array<A>> {
    const [rows] = await this.mysql.execute(sql, [...args])
    return rows as Array<A>
  }

  async books(productId: number): Promise<Books> {
    const [product] = await this.rows<{ stock: number; generation: number }>(
      "SELECT stock, generation FROM inventory.product WHERE id = ?",
      [productId],
    )
    const orders = await this.rows<{ state: string; n: number; quantity: number }>(
      "SELECT state, CAST(COUNT(*) AS SIGNED) n, CAST(SUM(quantity) AS SIGNED) quantity FROM ordering.`order` WHERE product_id = ? GROUP BY state",
      [productId],
    )
    const holding = new Set(["unpaid", "paid", "refunding", "refunded"])
    const [outbox] = await this.rows<{ n: number }>(
      `SELECT CAST((SELECT COUNT(*) FROM ordering.outbox WHERE sent_at IS NULL)
        + (SELECT COUNT(*) FROM inventory.outbox WHERE sent_at IS NULL)
        + (SELECT COUNT(*) FROM payment.outbox WHERE sent_at IS NULL) AS SIGNED) n`,
    )
    const shard = Shards.shardOf(productId)
    const records = await this.redis.hvals(Shards.key(shard, `b:${productId}:${product!.generation}`))
    const live = records.join("").matchAll(/[^,;]+,(\d+),[^,;]+,l;/g)
    return {
      mysqlStock: product!.stock,
      redisStock: Number(await this.redis.hget(Shards.key(shard, `p:${productId}`), "stock")),
      openReservations: await this.redis.xlen(Shards.key(shard, "stream")),
      orders: Object.fromEntries(orders.map((row) => [row.state, row.n])),
      held: orders.filter((row) => holding.has(row.state)).reduce((sum, row) => sum + row.quantity, 0),
      unsent: outbox!.n,
      liveInRedis: [...live].reduce((sum, match) => sum + Number(match[1]), 0),
    }
  }

  /** What is wrong with the wallets: users whose balance isn't the sum of their entries. */
  async wrongWallets(): Promise<ReadonlyArray<unknown>> {
    return this.rows(
      `SELECT w.user_id, w.balance, CAST(COALESCE(SUM(e.amount), 0) AS SIGNED) total
       FROM identity.wallet w LEFT JOIN identity.wallet_entry e ON e.user_id = w.user_id
       GROUP BY w.user_id, w.balance HAVING w.balance <> total OR w.balance < 0`,
    )
  }

  /** Orders of a product whose money isn't right: paid without exactly one capture of their amount, or the reverse. */
  async wrongPayments(productId: number): Promise<ReadonlyArray<unknown>> {
    return this.rows(
      `SELECT o.order_num, o.state, o.amount, CAST(COALESCE(SUM(c.amount), 0) AS SIGNED) captured,
          CAST(COALESCE(SUM(r.amount), 0) AS SIGNED) refunded
       FROM ordering.\`order\` o
       LEFT JOIN payment.capture c ON c.order_num = o.order_num
       LEFT JOIN payment.refund r ON r.capture_id = c.capture_id AND r.state = 'succeeded'
       WHERE o.product_id = ? GROUP BY o.order_num, o.state, o.amount
       HAVING captured - refunded <> IF(o.state IN ('paid', 'refunding'), o.amount, 0)`,
      [productId],
    )
  }
}

/** Whether everything that was promised has its outcome: nothing under way any more. */
export const atRest = (books: Books): boolean => books.openReservations === 0 && books.unsent === 0

/** The invariants of a product at rest; each broken one as a sentence. */
export const violations = (initial: number, books: Books): ReadonlyArray<string> => {
  const broken: Array<string> = []
  const expect = (ok: boolean, sentence: string) => {
    if (!ok) broken.push(`${sentence}: ${JSON.stringify(books)}`)
  }
  expect(books.mysqlStock >= 0 && books.redisStock >= 0, "stock is never negative")
  expect(
    books.mysqlStock + books.held === initial,
    `MySQL's stock and what is held make up the initial ${initial}`,
  )
  expect(books.redisStock === books.mysqlStock, "Redis and MySQL have the same stock")
  expect(books.liveInRedis === books.held, "the live records in Redis are the orders that hold stock")
  return broken
}
