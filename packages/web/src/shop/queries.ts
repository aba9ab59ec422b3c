/** What the pages ask for, and under which keys it is cached. */
import { type Order, type Product, unwrap } from "@floodgate/client/Client"
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query"
import { client } from "../session/Session.ts"

export interface ProductPage {
  readonly items: ReadonlyArray<Product>
  readonly next_cursor: string | null
}

export const keys = {
  products: ["products"] as const,
  product: (id: number) => ["product", id] as const,
  orders: ["orders"] as const,
  order: (orderNum: string) => ["order", orderNum] as const,
  wallet: ["wallet"] as const,
}

/** Live pages hear of changes; this is for those whose connection is lost. */
const UNHEARD_MS = 15_000

export const products = (status: "live" | "upcoming" | "ended", limit: number) =>
  queryOptions({
    queryKey: [...keys.products, status],
    queryFn: ({ signal }) =>
      unwrap(client.http.GET("/products", { params: { query: { status, limit } }, signal })),
    refetchInterval: UNHEARD_MS,
  })

export const product = (id: number) =>
  queryOptions({
    queryKey: keys.product(id),
    queryFn: () => client.product(id),
    refetchInterval: UNHEARD_MS,
  })

export const orders = () =>
  infiniteQueryOptions({
    queryKey: keys.orders,
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        client.http.GET("/orders", {
          params: { query: { limit: 20, ...(pageParam === "" ? {} : { cursor: pageParam }) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.next_cursor,
  })

/** While it is queued nobody can tell us of it, so it is asked for. */
const pollMs = (order: Order | undefined): number =>
  order === undefined || order.state === "queued" ? 500 : UNHEARD_MS

export const order = (orderNum: string) =>
  queryOptions({
    queryKey: keys.order(orderNum),
    queryFn: () => client.order(orderNum),
    refetchInterval: (query) => pollMs(query.state.data),
  })

export const wallet = () =>
  queryOptions({
    queryKey: [...keys.wallet, "balance"],
    queryFn: ({ signal }) => unwrap(client.http.GET("/wallet", { signal })),
  })

export const entries = () =>
  infiniteQueryOptions({
    queryKey: [...keys.wallet, "entries"],
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        client.http.GET("/wallet/entries", {
          params: { query: { limit: 20, ...(pageParam === "" ? {} : { cursor: pageParam }) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.next_cursor,
  })
