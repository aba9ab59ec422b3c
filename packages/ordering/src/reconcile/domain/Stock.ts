/** The equations of a product's stock: what MySQL says of itself, and MySQL beside Redis. */
import type { Finding } from "./DriftKind.ts"

/** What MySQL holds of a product, all of one moment. In units of goods. */
export interface StockBooks {
  readonly stock: number
  readonly initial: number
  /** What operators added and took away. */
  readonly adjusted: number
  /** What the stock log adds up to, the initial stock left out. */
  readonly logged: number
  /** Quantity of the orders that hold stock: unpaid and ever paid. */
  readonly held: number
}

/** A product's numbers in both stores, read while its row was locked. */
export interface StockGlimpse {
  readonly productId: number
  readonly mysqlStock: number
  readonly mysqlGeneration: number
  /** Sold, or sold until a day ago: Redis must have it. */
  readonly inScope: boolean
  readonly redisGeneration: number
  readonly redisStock: number
  /** Rises with every change of stock or of a buyer's record in Redis. */
  readonly redisVersion: number
  readonly buyers: number
  /** The newest rows about it in MySQL: with the stock, they say whether anything moved there. */
  readonly newestLog: number
  readonly newestOrder: number
}

/** The same text twice: nothing has moved in either store. */
export const versionsOf = (glimpse: StockGlimpse): string =>
  [
    glimpse.mysqlGeneration,
    glimpse.mysqlStock,
    glimpse.newestLog,
    glimpse.newestOrder,
    glimpse.redisGeneration,
    glimpse.redisStock,
    glimpse.redisVersion,
    glimpse.buyers,
  ].join(":")

const subjectOf = (productId: number): string => `product:${productId}`

/**
 * What must hold at every moment while the product's row is locked: MySQL's stock shrinks after Redis' and grows before
 * it, so Redis never has more.
 */
export const inMotion = (glimpse: StockGlimpse): ReadonlyArray<Finding> => {
  const { productId, mysqlStock, redisStock } = glimpse
  const about = { subject: subjectOf(productId), productId, mysql: mysqlStock, versions: "" } as const
  const found: Array<Finding> = []
  if (mysqlStock < 0) found.push({ ...about, kind: "stock_negative" })
  if (glimpse.redisGeneration !== glimpse.mysqlGeneration) {
    if (glimpse.inScope) {
      found.push({
        ...about,
        kind: "redis_missing",
        versions: `${glimpse.mysqlGeneration}:${glimpse.redisGeneration}`,
        details: { mysql_generation: glimpse.mysqlGeneration, redis_generation: glimpse.redisGeneration },
      })
    }
    return found
  }
  if (redisStock < 0) found.push({ ...about, kind: "redis_negative", redis: redisStock })
  if (redisStock > mysqlStock) {
    found.push({
      ...about,
      kind: "redis_above",
      redis: redisStock,
      details: { above: redisStock - mysqlStock },
    })
  }
  return found
}

/** What MySQL must say of itself, at every moment. */
export const inMysql = (productId: number, books: StockBooks): ReadonlyArray<Finding> => {
  const found: Array<Finding> = []
  const about = { subject: subjectOf(productId), productId, mysql: books.stock } as const
  // Every sale moves stock and orders by the same amount, so the difference stays the same while a sale runs.
  const expected = books.initial + books.adjusted - books.held
  if (books.stock !== expected) {
    found.push({
      ...about,
      kind: "stock_equation",
      ledger: expected,
      versions: String(books.stock - expected),
      details: { ...books },
    })
  }
  const logged = books.initial + books.logged
  if (books.stock !== logged) {
    found.push({
      ...about,
      kind: "stock_log_equation",
      ledger: logged,
      versions: String(books.stock - logged),
      details: { ...books },
    })
  }
  return found
}

/**
 * All of Redis beside all of MySQL, read while nothing moved. What is queued is a record without an order, what isn't
 * released yet is one of an order that ended: both stores' sums count each of them once, so they are equal however much
 * is under way. A stock change that is half done (`pending`) is the only exception.
 */
export const atRest = (
  glimpse: StockGlimpse,
  live: number,
  held: number,
  pending: number,
): ReadonlyArray<Finding> => {
  const above = glimpse.redisStock + live - (glimpse.mysqlStock + held)
  if (above === 0 || (above < 0 && pending > 0)) return []
  return [
    {
      kind: above > 0 ? "redis_above" : "redis_below",
      subject: subjectOf(glimpse.productId),
      productId: glimpse.productId,
      redis: glimpse.redisStock,
      mysql: glimpse.mysqlStock,
      versions: versionsOf(glimpse),
      details: { above, live_in_redis: live, held_in_mysql: held },
    },
  ]
}

/** A reservation in a buyer's record that holds stock. */
export interface LiveRecord {
  readonly orderNum: string
  readonly userId: number
  readonly quantity: number
}

const ITEM = /([^,;]+),(\d+),[^,;]+,([lr]);/g

/** The live reservations of one buyer's record, as `lua/reserve.lua` writes it. */
export const liveOf = (userId: number, record: string): ReadonlyArray<LiveRecord> =>
  Array.from(record.matchAll(ITEM), ([, orderNum = "", quantity, state]) => ({
    orderNum,
    userId,
    quantity: Number(quantity),
    state,
  }))
    .filter(({ state }) => state === "l")
    .map(({ state: _, ...live }) => live)
