/** The sums after a rush, read from MySQL and Redis directly, past every service. */
import { setTimeout as sleep } from "node:timers/promises"
import * as Shards from "@floodgate/runtime/redis/Shards"
import { Redis } from "ioredis"
import * as mysql from "mysql2/promise"
import type { Tally } from "./Crowd.ts"

/** What the stores say about one product. */
export interface Books {
  readonly initial: number
  readonly stock: number
  /** Sum of the stock log, the initial entry included: what the log says is left. */
  readonly logged: number
  /** Items in unpaid, paid or refunded orders. */
  readonly held: number
  readonly liveOrders: number
  readonly rejectedOrders: number
  /** The most live items that one buyer holds. */
  readonly mostOfOneBuyer: number
  /** Numbers the buyers were promised an answer for that have a row. */
  readonly answered: number
  readonly redisStock: number | undefined
  /** Items that Redis counts as live. */
  readonly redisHeld: number
}

/** One sum that must hold. */
export interface Finding {
  readonly holds: boolean
  readonly text: string
}

/** `order_num,quantity,request_id,l|r;` for each reservation of a buyer; l is live. */
const liveItems = (record: string): number =>
  [...record.matchAll(/[^,;]+,(\d+),[^,;]+,l;/g)].reduce((sum, [, quantity]) => sum + Number(quantity), 0)

const readBooks = async (
  sql: mysql.Connection,
  redis: Redis,
  productId: number,
  promised: ReadonlyArray<string>,
): Promise<Books> => {
  const [products] = await sql.execute<Array<mysql.RowDataPacket>>(
    "SELECT initial_stock, stock FROM inventory.product WHERE id = ?",
    [productId],
  )
  const [log] = await sql.execute<Array<mysql.RowDataPacket>>(
    "SELECT CAST(COALESCE(SUM(delta), 0) AS SIGNED) AS logged FROM inventory.stock_log WHERE product_id = ?",
    [productId],
  )
  const [orders] = await sql.execute<Array<mysql.RowDataPacket>>(
    "SELECT order_num, user_id, state, quantity FROM ordering.`order` WHERE product_id = ?",
    [productId],
  )
  const ofBuyer = new Map<number, number>()
  const numbers = new Set<string>()
  let held = 0
  let liveOrders = 0
  let rejectedOrders = 0
  for (const { order_num, user_id, state, quantity } of orders) {
    numbers.add(order_num)
    if (state === "rejected") rejectedOrders++
    if (state === "rejected" || state === "cancelled") continue
    liveOrders++
    held += Number(quantity)
    ofBuyer.set(user_id, (ofBuyer.get(user_id) ?? 0) + Number(quantity))
  }
  const shard = Shards.shardOf(productId)
  const [stock, generation] = await redis.hmget(Shards.key(shard, `p:${productId}`), "stock", "gen")
  const records = await redis.hvals(Shards.key(shard, `b:${productId}:${generation}`))
  return {
    initial: Number(products[0]?.["initial_stock"]),
    stock: Number(products[0]?.["stock"]),
    logged: Number(log[0]?.["logged"]),
    held,
    liveOrders,
    rejectedOrders,
    mostOfOneBuyer: Math.max(0, ...ofBuyer.values()),
    answered: promised.filter((number) => numbers.has(number)).length,
    redisStock: stock === null || stock === undefined ? undefined : Number(stock),
    redisHeld: records.reduce((sum, record) => sum + liveItems(record), 0),
  }
}

const isAtRest = (books: Books, promised: number): boolean =>
  books.answered === promised && books.redisStock === books.stock && books.redisHeld === books.held

/** Reads the books until they agree and every promise has its answer, at most `patienceMs`. */
export const atRest = async (options: {
  readonly mysqlUrl: string
  readonly redisUrl: string
  readonly productId: number
  readonly tally: Tally
  readonly patienceMs: number
}): Promise<Books> => {
  const promised = [...options.tally.orders.values()]
  const sql = await mysql.createConnection({ uri: options.mysqlUrl, connectTimeout: 5000 })
  const redis = new Redis(options.redisUrl, {
    maxRetriesPerRequest: 1,
    commandTimeout: 5000,
    lazyConnect: true,
  })
  redis.on("error", () => {})
  try {
    await redis.connect()
    const deadline = Date.now() + options.patienceMs
    for (;;) {
      const books = await readBooks(sql, redis, options.productId, promised)
      if (isAtRest(books, promised.length) || Date.now() > deadline) return books
      await sleep(200)
    }
  } finally {
    sql.destroy()
    redis.disconnect()
  }
}

const finding = (holds: boolean, text: string): Finding => ({ holds, text })

/**
 * The invariants at rest. Without a fault the answers must be exact, too: as many 202 as there was stock, 510 for
 * everyone else. With one, a 202 may have ended as a rejection, and a returned item may be left over.
 */
export const judge = (options: {
  readonly books: Books
  readonly tally: Tally
  readonly buyers: number
  readonly stock: number
  readonly perUserLimit: number
  readonly faulty: boolean
}): ReadonlyArray<Finding> => {
  const { books, tally, buyers, stock, perUserLimit, faulty } = options
  const sold = Math.min(stock, buyers)
  const other = [...tally.other].map(([code, count]) => `${count} × ${code}`).join(", ")
  const findings = [
    finding(
      books.initial === stock && books.stock + books.held === stock && books.stock >= 0,
      `stock is conserved: ${books.stock} left in MySQL + ${books.held} in orders = ${stock}`,
    ),
    finding(books.logged === books.stock, `the stock log says the same: ${books.logged} left`),
    finding(
      books.redisStock === books.stock && books.redisHeld === books.held,
      `Redis agrees: ${books.redisStock ?? "nothing"} left, ${books.redisHeld} held`,
    ),
    finding(
      books.mostOfOneBuyer <= perUserLimit,
      `nobody has more than ${perUserLimit}: the most is ${books.mostOfOneBuyer}`,
    ),
    finding(
      books.answered === tally.orders.size && books.liveOrders + books.rejectedOrders >= tally.orders.size,
      `every 202 has its outcome: ${books.answered} of ${tally.orders.size}`,
    ),
    finding(
      tally.accepted + tally.soldOut === buyers && tally.gaveUp === 0,
      `every buyer has an answer: ${tally.accepted} × 202, ${tally.soldOut} × 510${other === "" ? "" : `, ${other}`}${tally.gaveUp === 0 ? "" : `, ${tally.gaveUp} without`}`,
    ),
  ]
  return faulty
    ? findings
    : [
        ...findings,
        finding(
          books.stock === stock - sold && books.liveOrders === sold && tally.accepted === sold,
          `exactly ${sold} orders, ${stock - sold} left, ${buyers - sold} sold out: ${books.liveOrders} orders, ${books.stock} left, ${tally.soldOut} sold out`,
        ),
      ]
}
