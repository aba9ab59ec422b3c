/**
 * The only judge of a reservation: given the product rows and the buyers' live quantities, read under the products'
 * locks, it says for each entry, in order, whether it becomes an order or a tombstone.
 */
import type { RejectReason } from "./OrderState.ts"

/** What is judged of an entry. */
export interface Entry {
  readonly user_id: number
  readonly product_id: number
  readonly generation: number
  readonly quantity: number
}

/** A product's row, as it is under the lock. */
export interface ProductState {
  readonly id: number
  /** What MySQL still has. */
  readonly stock: number
  readonly generation: number
  readonly per_user_limit: number
}

export type Verdict = "fits" | Extract<RejectReason, "stock" | "limit" | "generation" | "lost">

export interface Decision {
  /** One an entry, in the order of the entries. */
  readonly verdicts: ReadonlyArray<Verdict>
  /** What the fits take of each product; products without a fit are absent. */
  readonly taken: ReadonlyMap<number, number>
  /** What the fits add for each buyer, by `purchaseKey`. */
  readonly bought: ReadonlyMap<string, number>
}

/** The key of one buyer of one product in the maps of this module. */
export const purchaseKey = (productId: number, userId: number): string => `${productId}:${userId}`

/**
 * Judges entries in order. `live` holds the buyers' live quantities by `purchaseKey` (absent: none). Every entry's
 * product must be in `products`.
 *
 * An entry of an older generation was reserved in a Redis that has been rebuilt since without it: `lost`. One of a
 * newer generation than the row's was never warmed up here: `generation`. Then the limit, then stock, as the
 * reservation script asks.
 */
export const decide = (
  entries: ReadonlyArray<Entry>,
  products: ReadonlyMap<number, ProductState>,
  live: ReadonlyMap<string, number>,
): Decision => {
  const verdicts: Array<Verdict> = []
  const taken = new Map<number, number>()
  const bought = new Map<string, number>()
  for (const entry of entries) {
    const product = products.get(entry.product_id)
    if (product === undefined) throw new Error(`decide: no row of product ${entry.product_id}`)
    if (entry.generation !== product.generation) {
      verdicts.push(entry.generation < product.generation ? "lost" : "generation")
      continue
    }
    const key = purchaseKey(entry.product_id, entry.user_id)
    const boughtNow = bought.get(key) ?? 0
    if ((live.get(key) ?? 0) + boughtNow + entry.quantity > product.per_user_limit) {
      verdicts.push("limit")
      continue
    }
    const takenNow = taken.get(entry.product_id) ?? 0
    if (takenNow + entry.quantity > product.stock) {
      verdicts.push("stock")
      continue
    }
    taken.set(entry.product_id, takenNow + entry.quantity)
    bought.set(key, boughtNow + entry.quantity)
    verdicts.push("fits")
  }
  return { verdicts, taken, bought }
}
