/** A product on sale: what may be published, and what its status is at a moment. */
import { ProductBounds as bounds } from "@floodgate/contracts/sale/ProductBounds"

export type ProductState = "draft" | "published" | "withdrawn"

export type ProductStatus = "draft" | "upcoming" | "live" | "sold_out" | "ended" | "withdrawn"

/** A product as it is stored. Money in minor units, times in Unix ms. */
export interface Product {
  readonly id: number
  readonly name: string
  readonly description: string
  readonly price: number
  readonly originalPrice: number | null
  readonly currency: string
  /** MySQL's remaining stock. */
  readonly stock: number
  readonly initialStock: number
  readonly startTimeMs: number
  /** Null for a sale without an end. */
  readonly endTimeMs: number | null
  readonly perUserLimit: number
  readonly image: string
  readonly accessChallenge: boolean
  readonly accessWaitingRoom: boolean
  readonly publisherId: number
  readonly state: ProductState
  readonly generation: number
  readonly version: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** What a publisher hands in. */
export type Draft = Pick<
  Product,
  | "name"
  | "description"
  | "price"
  | "originalPrice"
  | "stock"
  | "startTimeMs"
  | "endTimeMs"
  | "perUserLimit"
  | "image"
  | "accessChallenge"
  | "accessWaitingRoom"
  | "publisherId"
>

/** What an operator may change of a product; a field that isn't there stays as it is. */
export type Edit = Partial<
  Pick<
    Product,
    | "name"
    | "description"
    | "image"
    | "originalPrice"
    | "accessChallenge"
    | "accessWaitingRoom"
    | "price"
    | "startTimeMs"
    | "endTimeMs"
    | "perUserLimit"
  >
>

/** The product after an edit. */
export const edited = (product: Product, edit: Edit): Product => ({ ...product, ...edit })

/** Whether two versions differ in what Redis sells by: such an edit needs a generation of its own. */
export const touchesSale = (before: Product, after: Product): boolean =>
  before.price !== after.price ||
  before.startTimeMs !== after.startTimeMs ||
  before.endTimeMs !== after.endTimeMs ||
  before.perUserLimit !== after.perUserLimit

/** The status at `nowMs` with `stock` left to reserve. */
export const statusOf = (
  product: Pick<Product, "state" | "startTimeMs" | "endTimeMs">,
  stock: number,
  nowMs: number,
): ProductStatus => {
  if (product.state !== "published") return product.state
  if (nowMs < product.startTimeMs) return "upcoming"
  if (product.endTimeMs !== null && nowMs >= product.endTimeMs) return "ended"
  return stock > 0 ? "live" : "sold_out"
}

const within = (n: number, most: number) => Number.isSafeInteger(n) && n >= 1 && n <= most

/**
 * Everything wrong with a draft, by field; empty for a good one. `toCome` is false where its start may lie behind, as in
 * an edit that leaves the times alone.
 */
export const problemsOf = (
  draft: Draft,
  nowMs: number,
  toCome = true,
): ReadonlyArray<{ path: string; message: string }> => {
  const problems: Array<{ path: string; message: string }> = []
  const expect = (ok: boolean, path: string, message: string) => {
    if (!ok) problems.push({ path, message })
  }
  const nameLength = [...draft.name.trim()].length
  expect(nameLength >= 1 && nameLength <= bounds.name, "name", `must have 1 to ${bounds.name} characters`)
  expect(
    [...draft.description].length <= bounds.description,
    "description",
    `at most ${bounds.description} characters`,
  )
  expect(within(draft.price, bounds.price), "price", `must be a whole number from 1 to ${bounds.price}`)
  expect(
    draft.originalPrice === null || within(draft.originalPrice, bounds.price),
    "original_price",
    `must be a whole number from 1 to ${bounds.price}`,
  )
  expect(within(draft.stock, bounds.stock), "stock", `must be a whole number from 1 to ${bounds.stock}`)
  expect(
    within(draft.perUserLimit, bounds.perUserLimit),
    "per_user_limit",
    `must be a whole number from 1 to ${bounds.perUserLimit}`,
  )
  expect(
    Number.isSafeInteger(draft.startTimeMs) && (!toCome || draft.startTimeMs > nowMs),
    "start_time",
    "must be in the future",
  )
  expect(
    draft.endTimeMs === null ||
      (Number.isSafeInteger(draft.endTimeMs) && draft.endTimeMs > draft.startTimeMs),
    "end_time",
    "must be after start_time",
  )
  expect(draft.image.length <= bounds.image, "image", `at most ${bounds.image} characters`)
  return problems
}
