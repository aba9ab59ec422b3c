/**
 * The stock of every product that somebody listens to, from the cache that reads are answered from: at most a few
 * changes a second a product, however hot it is, and one call to inventory for all who listen.
 */
import type { Product } from "@floodgate/contracts/http/Product"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CachedProduct, ProductCache } from "../products/ProductCache.ts"
import type { Hub, StockChange } from "./Hub.ts"

/** Between two looks (ms); the cache's own entries live as long. */
export const EVERY_MS = 350
/** Products that are looked up at the same time. */
const CONCURRENCY = 32

const changeOf = ({ body, etag }: CachedProduct): StockChange => {
  const { id, status, stock, version } = (JSON.parse(Buffer.from(body).toString("utf8")) as { data: Product })
    .data
  return { stock: { product_id: id, stock, status, version }, etag }
}

/** What a product's stock is now; none where it doesn't exist or nobody knows. */
export const current = (
  cache: Context.Tag.Service<ProductCache>,
  productId: number,
): Effect.Effect<Option.Option<StockChange>> => Effect.option(Effect.map(cache.get(productId), changeOf))

/** One round over all products that are listened to: tells those who haven't heard how each is now. */
export const make = (hub: Hub, cache: Context.Tag.Service<ProductCache>): Effect.Effect<void> => {
  /** As last told, so that a product that stays as it is costs a look and nothing else. */
  let told = new Map<number, string>()

  const look = (id: number) =>
    Effect.map(cache.get(id), (found) => {
      if (told.get(id) !== found.etag || hub.isNewlyHeard(id)) hub.stock(id, changeOf(found))
      return [id, found.etag] as const
    })

  return Effect.gen(function* () {
    const looks = yield* Effect.forEach(hub.products("stock"), (id) => Effect.option(look(id)), {
      concurrency: CONCURRENCY,
    })
    told = new Map(looks.flatMap(Option.toArray))
  })
}
