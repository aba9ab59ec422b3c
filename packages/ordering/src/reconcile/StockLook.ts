/** One product, looked through: under its row's lock for an instant, then record by record while nothing moves. */
import { shardOf } from "@floodgate/runtime/redis/Shards"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { BooksStore, type Fate } from "./BooksStore.ts"
import type { DriftKind, Finding } from "./domain/DriftKind.ts"
import type { Look, Scope } from "./domain/Rounds.ts"
import * as Stock from "./domain/Stock.ts"
import { SaleBooks } from "./SaleBooks.ts"
import type { Values } from "./Settings.ts"

/** What the last look through a product was worth. */
export interface Pace {
  readonly versions: string
  /** Not before this, Unix ms: looking takes a small part of the time only, however large the product is. */
  readonly notBeforeMs: number
  /** Not before this while the versions stay as they are. */
  readonly unmovedUntilMs: number
}

/** More buyers than this are compared by the numbers only. */
const MAX_BUYERS = 500_000

/** Findings about single orders that one look tells of a product. More are the same trouble. */
const MAX_ORDERS = 20

const ORDERS_A_PAGE = 1_000
const MAX_ORDER_PAGES = 20

const motionKinds: ReadonlyArray<DriftKind> = ["stock_negative", "redis_missing", "redis_negative"]
const mysqlKinds: ReadonlyArray<DriftKind> = ["stock_equation", "stock_log_equation", "purchase_equation"]
const restKinds: ReadonlyArray<DriftKind> = ["redis_below", "record_without_order", "order_without_record"]

const glimpse = Effect.fnUntraced(function* (productId: number) {
  const books = yield* BooksStore
  const sale = yield* SaleBooks
  return yield* books.locked(
    productId,
    Effect.fnUntraced(function* (product) {
      const page = yield* sale.page(productId, product.generation, undefined)
      return {
        open: page.open,
        draft: product.draft,
        glimpse: {
          productId,
          mysqlStock: product.stock,
          mysqlGeneration: product.generation,
          inScope: product.inScope,
          redisGeneration: page.generation,
          redisStock: page.stock,
          redisVersion: page.version,
          buyers: page.buyers,
          newestLog: product.newestLog,
          newestOrder: product.newestOrder,
        } satisfies Stock.StockGlimpse,
      }
    }),
  )
})

/** What MySQL says of itself: true at every moment, whatever moves. */
const inMysql = Effect.fnUntraced(function* (productId: number) {
  const books = yield* BooksStore
  const stock = yield* books.stockBooks(productId)
  if (stock === undefined) return undefined
  const findings: Array<Finding> = [...Stock.inMysql(productId, stock)]
  const wrong = yield* books.wrongPurchases(productId, MAX_ORDERS)
  const [first] = wrong
  if (first !== undefined) {
    findings.push({
      kind: "purchase_equation",
      subject: `product:${productId}`,
      productId,
      mysql: first.recorded,
      ledger: first.ordered,
      versions: JSON.stringify(wrong),
      details: { buyers: wrong },
    })
  }
  return { stock, findings }
})

interface Records {
  readonly live: number
  /** Quantity of the live records' orders that hold stock. */
  readonly matched: number
  readonly without: ReadonlyArray<Stock.LiveRecord>
  readonly ended: ReadonlyArray<{ readonly record: Stock.LiveRecord; readonly fate: Fate }>
}

/** Every record of a product beside its order; undefined where something moved meanwhile. */
const readRecords = Effect.fnUntraced(function* (before: Stock.StockGlimpse) {
  const books = yield* BooksStore
  const sale = yield* SaleBooks
  const seen = new Set<number>()
  const without: Array<Stock.LiveRecord> = []
  const ended: Array<{ record: Stock.LiveRecord; fate: Fate }> = []
  let live = 0
  let matched = 0
  let cursor = "0"
  do {
    const page = yield* sale.page(before.productId, before.mysqlGeneration, cursor)
    const moved =
      !page.open ||
      page.generation !== before.redisGeneration ||
      page.version !== before.redisVersion ||
      page.stock !== before.redisStock
    if (moved) return undefined
    // HSCAN may answer a field twice while the hash grows or shrinks.
    const again = new Set(page.userIds.filter((userId) => seen.has(userId)))
    for (const userId of page.userIds) seen.add(userId)
    const records = page.live.filter(({ userId }) => !again.has(userId))
    const fates = new Map(
      (yield* books.fates(records.map(({ orderNum }) => orderNum))).map((fate) => [fate.orderNum, fate]),
    )
    for (const record of records) {
      live += record.quantity
      const fate = fates.get(record.orderNum)
      if (fate === undefined) without.push(record)
      else if (fate.live) matched += fate.quantity
      else ended.push({ record, fate })
    }
    cursor = page.cursor
  } while (cursor !== "0")
  return { live, matched, without, ended } satisfies Records
})

/** Those of the records without an order that aren't on their way to one. */
const lost = Effect.fnUntraced(function* (productId: number, records: ReadonlyArray<Stock.LiveRecord>) {
  if (records.length === 0) return []
  const books = yield* BooksStore
  const sale = yield* SaleBooks
  const queued = yield* sale.queued(shardOf(productId), new Set(records.map(({ orderNum }) => orderNum)))
  const gone = records.filter(({ orderNum }) => !queued.has(orderNum))
  // An entry leaves the stream when its outcome is in MySQL: asked again after the stream, MySQL has it.
  const decided = new Set(
    (yield* books.fates(gone.map(({ orderNum }) => orderNum))).map(({ orderNum }) => orderNum),
  )
  return gone.filter(({ orderNum }) => !decided.has(orderNum))
})

/** Orders that hold stock and have no live record, some of them. */
const unrecorded = Effect.fnUntraced(function* (before: Stock.StockGlimpse) {
  const books = yield* BooksStore
  const sale = yield* SaleBooks
  const found: Array<string> = []
  let afterId = 0
  for (let page = 0; page < MAX_ORDER_PAGES && found.length < MAX_ORDERS; page++) {
    const orders = yield* books.liveOrders(before.productId, afterId, ORDERS_A_PAGE)
    const live = new Set(
      (yield* sale.liveOfBuyers(before.productId, before.mysqlGeneration, [
        ...new Set(orders.map(({ userId }) => userId)),
      ])).map(({ orderNum }) => orderNum),
    )
    for (const { orderNum } of orders) if (!live.has(orderNum)) found.push(orderNum)
    const last = orders.at(-1)
    if (last === undefined || orders.length < ORDERS_A_PAGE) break
    afterId = last.id
  }
  return found.slice(0, MAX_ORDERS)
})

/**
 * Looks at one product. `pace` is what the look before answered; `outboxQuietMs` how long ordering's oldest unsent event
 * has waited. Fails as its stores do: what they can't answer isn't judged.
 */
export const look = Effect.fn("StockLook.look")(function* (
  productId: number,
  pace: Pace | undefined,
  settings: Values,
  outboxOldestMs: number,
) {
  const startedAtMs = yield* Clock.currentTimeMillis
  const before = yield* glimpse(productId)
  // A shard that is closed will be proved equal before it opens; a draft isn't in Redis yet.
  if (before === undefined || before.draft)
    return { look: { findings: [], scopes: [] } as Look, pace: undefined }
  const findings: Array<Finding> = []
  const scopes: Array<Scope> = []
  if (before.open) {
    findings.push(...Stock.inMotion(before.glimpse))
    scopes.push({ kinds: motionKinds, productId })
  }
  const versions = Stock.versionsOf(before.glimpse)
  const due =
    startedAtMs >= (pace?.notBeforeMs ?? 0) &&
    (pace?.versions !== versions || startedAtMs >= pace.unmovedUntilMs)
  if (!due) return { look: { findings, scopes }, pace }

  const books = yield* BooksStore
  const mysql = yield* inMysql(productId)
  if (mysql !== undefined) {
    findings.push(...mysql.findings)
    scopes.push({ kinds: mysqlKinds, productId })
  }
  const comparable =
    mysql !== undefined &&
    before.open &&
    before.glimpse.redisGeneration === before.glimpse.mysqlGeneration &&
    before.glimpse.buyers <= MAX_BUYERS
  const records = comparable ? yield* readRecords(before.glimpse) : undefined
  if (mysql !== undefined && records !== undefined) {
    const { glimpse: quiet } = before
    const without = yield* lost(productId, records.without)
    const missing = mysql.stock.held - records.matched
    const numbers = missing === 0 ? [] : yield* unrecorded(quiet)
    const pending = (yield* books.adjustments(productId, 1)).length
    const after = yield* glimpse(productId)
    if (after?.open && Stock.versionsOf(after.glimpse) === versions) {
      const above = Stock.atRest(quiet, records.live, mysql.stock.held, pending)
      // The row's lock has said so already, where Redis has more than MySQL by itself.
      findings.push(...above.filter((f) => !findings.some((g) => g.kind === f.kind)))
      scopes.push({ kinds: [...restKinds, "redis_above"], productId })
      const about = { productId, versions }
      for (const { orderNum, quantity, userId } of without.slice(0, MAX_ORDERS)) {
        findings.push({
          ...about,
          kind: "record_without_order",
          subject: `order:${orderNum}`,
          orderNum,
          redis: quantity,
          mysql: 0,
          details: { user_id: userId, of: without.length },
        })
      }
      for (const orderNum of numbers) {
        findings.push({
          ...about,
          kind: "order_without_record",
          subject: `order:${orderNum}`,
          orderNum,
          details: { missing_in_all: missing },
        })
      }
      // The event that releases it may be under way: in the outbox, or with inventory.
      if (outboxOldestMs <= settings.graceMs / 2) {
        scopes.push({ kinds: ["record_not_released"], productId })
        const late = records.ended.filter(({ fate }) => fate.ageMs > settings.graceMs)
        for (const { fate, record } of late.slice(0, MAX_ORDERS)) {
          findings.push({
            ...about,
            kind: "record_not_released",
            subject: `order:${record.orderNum}`,
            orderNum: record.orderNum,
            redis: record.quantity,
            mysql: 0,
            details: { ended_ms_ago: fate.ageMs, of: late.length },
          })
        }
      }
    }
  }
  const endedAtMs = yield* Clock.currentTimeMillis
  const next: Pace = {
    versions,
    notBeforeMs: endedAtMs + settings.share * (endedAtMs - startedAtMs),
    // What was found is looked at again with the next round, and so is what couldn't be read through.
    unmovedUntilMs: findings.length === 0 && records !== undefined ? endedAtMs + settings.unmovedMs : 0,
  }
  return { look: { findings, scopes }, pace: next }
})
