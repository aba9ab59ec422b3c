/** Reading products: MySQL's row, with what Redis says can be reserved now and the status at Redis' clock. */
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Product, type ProductStatus, statusOf } from "./domain/Product.ts"
import { type Listing, type PageStart, ProductStore } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"
import { StockStore } from "./store/StockStore.ts"

/** A product as callers see it. */
export interface Shown {
  readonly product: Product
  /** What can be reserved now. */
  readonly stock: number
  readonly status: ProductStatus
}

/** A product as operators see it. */
export interface Managed {
  readonly shown: Shown
  /** What operators changed of its stock, in sum. */
  readonly adjusted: number
  /** Stock changes that are half done. */
  readonly unfinished: number
}

export interface Page {
  readonly items: ReadonlyArray<Shown>
  /** Empty at the end. */
  readonly nextPageToken: string
}

/** Rows looked at for one page of sold-out products, most of which may still have stock. */
const MAX_SCAN = 1000

const encodeToken = (start: PageStart) =>
  Buffer.from(`${start.startTimeMs}.${start.id}`).toString("base64url")

const decodeToken = (token: string): PageStart | undefined => {
  const [, start, id] = /^(\d{1,15})\.(\d{1,16})$/.exec(Buffer.from(token, "base64url").toString()) ?? []
  return start === undefined || id === undefined ? undefined : { startTimeMs: Number(start), id: Number(id) }
}

const make = Effect.gen(function* () {
  const store = yield* ProductStore
  const reservations = yield* ReservationStore
  const stock = yield* StockStore

  /** The sale's clock; without Redis nothing is sold, and our own clock is good enough to show. */
  const now = reservations.serverTime.pipe(Effect.orElse(() => Clock.currentTimeMillis))

  const show = Effect.fn("Catalog.show")(function* (products: ReadonlyArray<Product>) {
    const nowMs = yield* now
    const stocks = yield* reservations
      .readStock(products.map((p) => p.id))
      .pipe(Effect.orElseSucceed((): ReadonlyMap<number, number> => new Map()))
    return products.map((product): Shown => {
      // Without Redis the sale is closed; MySQL's remaining stock is the nearest true thing to show.
      const stock = (product.state === "published" ? stocks.get(product.id) : undefined) ?? product.stock
      return { product, stock, status: statusOf(product, stock, nowMs) }
    })
  })

  const get = Effect.fn("Catalog.get")(function* (id: number) {
    const product = yield* store.find(id)
    if (product === undefined) return yield* new NotFound()
    return (yield* show([product]))[0]!
  })

  const getMany = Effect.fn("Catalog.getMany")(function* (ids: ReadonlyArray<number>) {
    return yield* show(yield* store.findMany(ids))
  })

  const list = Effect.fn("Catalog.list")(function* (
    status: ProductStatus | undefined,
    pageSize: number,
    pageToken: string,
  ) {
    let after: PageStart | undefined
    if (pageToken !== "") {
      after = decodeToken(pageToken)
      if (after === undefined) return yield* InvalidInput.at("cursor", "is not a cursor of this list")
    }
    const nowMs = yield* now
    const listing: Listing = status === undefined ? "all" : status === "sold_out" ? "live" : status
    const items: Array<Shown> = []
    for (let scanned = 0; scanned < MAX_SCAN; ) {
      // One more than asked for tells whether there is a next page.
      const want = pageSize + 1 - items.length
      const products = yield* store.list(listing, nowMs, after, want)
      const shown = yield* show(products)
      items.push(...(status === "sold_out" ? shown.filter((s) => s.status === "sold_out") : shown))
      scanned += products.length
      const last = products.at(-1)
      if (products.length < want || last === undefined) return { items, nextPageToken: "" } satisfies Page
      after = { startTimeMs: last.startTimeMs, id: last.id }
      if (items.length > pageSize) break
    }
    const page = items.slice(0, pageSize)
    const last = items.length > pageSize ? page.at(-1)?.product : undefined
    return {
      items: page,
      nextPageToken: encodeToken(
        last === undefined ? after! : { startTimeMs: last.startTimeMs, id: last.id },
      ),
    } satisfies Page
  })

  /** Products as operators see them. */
  const manage = Effect.fnUntraced(function* (shown: ReadonlyArray<Shown>) {
    const sums = yield* stock.sums(shown.map(({ product }) => product.id))
    return shown.map((one): Managed => {
      const { adjusted = 0, unfinished = 0 } = sums.get(one.product.id) ?? {}
      return { shown: one, adjusted, unfinished }
    })
  })

  const getManaged = Effect.fn("Catalog.getManaged")(function* (id: number) {
    return (yield* manage([yield* get(id)]))[0]!
  })

  /** All products, newest first. */
  const listManaged = Effect.fn("Catalog.listManaged")(function* (
    filter: {
      readonly status: ProductStatus | undefined
      readonly q: string
      readonly fromMs: number
      readonly toMs: number
    },
    pageSize: number,
    pageToken: string,
  ) {
    let after: { createdAtMs: number; id: number } | undefined
    if (pageToken !== "") {
      const start = decodeToken(pageToken)
      if (start === undefined) return yield* InvalidInput.at("page_token", "is not a cursor of this list")
      after = { createdAtMs: start.startTimeMs, id: start.id }
    }
    const nowMs = yield* now
    const byStock = filter.status === "sold_out" || filter.status === "live"
    const items: Array<Shown> = []
    let more = true
    for (let scanned = 0; items.length <= pageSize && more && scanned < MAX_SCAN; ) {
      const want = byStock ? pageSize + 1 : pageSize + 1 - items.length
      const products = yield* store.listManaged({ ...filter, nowMs, after, limit: want })
      const shown = yield* show(products)
      items.push(...(byStock ? shown.filter((s) => s.status === filter.status) : shown))
      scanned += products.length
      more = products.length === want
      const last = products.at(-1)
      if (last !== undefined) after = { createdAtMs: last.createdAtMs, id: last.id }
    }
    const page = items.slice(0, pageSize)
    // Whoever looked too far for too little goes on where the looking stopped.
    const last = items.length > pageSize ? page.at(-1)!.product : undefined
    const next = last ?? (more ? after : undefined)
    return {
      items: yield* manage(page),
      nextPageToken: next === undefined ? "" : encodeToken({ startTimeMs: next.createdAtMs, id: next.id }),
    }
  })

  return { get, getMany, show, list, getManaged, listManaged } as const
})

export class Catalog extends Context.Tag("@floodgate/inventory/Catalog")<
  Catalog,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Catalog, make)
}
