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

const changeOf = ({ body }: CachedProduct): StockChange => {
  const { id, status, stock, version } = (JSON.parse(Buffer.from(body).toString("utf8")) as { data: Product })
    .data
  return { product_id: id, stock, status, version }
}

/** What a product's stock is now; none where it doesn't exist or nobody knows. */
export const current = (
  cache: Context.Tag.Service<ProductCache>,
  productId: number,
): Effect.Effect<Option.Option<StockChange>> => Effect.option(Effect.map(cache.get(productId), changeOf))

/** One round over all products that are listened to; tells those whose answer has changed. */
export const make = (hub: Hub, cache: Context.Tag.Service<ProductCache>): Effect.Effect<void> => {
  let told = new Map<number, string>()
  return Effect.gen(function* () {
    const products = hub.products("stock")
    const next = new Map<number, string>()
    yield* Effect.forEach(
      products,
      (id) =>
        Effect.map(Effect.option(cache.get(id)), (found) => {
          const before = told.get(id)
          if (Option.isNone(found)) {
            if (before !== undefined) next.set(id, before)
            return
          }
          next.set(id, found.value.etag)
          // The first look only remembers: who begins to listen is told by whoever opens the stream.
          if (before !== undefined && before !== found.value.etag) hub.stock(changeOf(found.value))
        }),
      { concurrency: CONCURRENCY, discard: true },
    )
    told = next
  })
}
