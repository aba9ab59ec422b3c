/**
 * One stream of live changes for the whole page. Components say which topics they show; the stream is told the union,
 * and what it hears goes into the query cache, where the components read it.
 */

import type { Product } from "@floodgate/client/Client"
import type { Events, Stream } from "@floodgate/client/EventStream"
import type { QueryClient } from "@tanstack/react-query"
import { useEffect, useSyncExternalStore } from "react"
import { client, currentUser, onUser } from "../session/Session.ts"
import { keys, type ProductPage } from "../shop/queries.ts"

/** The edge's bound on topics of a stream. */
const MAX_TOPICS = 50
/** After the edge has ended the stream for good (ms): its reason may pass. */
const REOPEN_MS = 10_000

export type Connection = "idle" | "live" | "lost"

let queries: QueryClient | undefined
let stream: Stream | undefined
let streamUser: number | undefined
let told = ""
let connection: Connection = "idle"
let planned = false
const wanted = new Map<string, number>()
const listeners = new Set<() => void>()

const say = (next: Connection): void => {
  if (next === connection) return
  connection = next
  for (const listener of listeners) listener()
}

/** Later news of a product have a higher version; what arrives late is dropped. */
const versions = new Map<number, number>()

const onStock = ({ product_id, status, stock, version }: Events["stock.updated"]): void => {
  if ((versions.get(product_id) ?? -1) > version) return
  versions.set(product_id, version)
  const apply = (product: Product): Product =>
    product.id === product_id ? { ...product, stock, status: status as Product["status"] } : product
  queries?.setQueryData<Product>(keys.product(product_id), (product) =>
    product === undefined ? undefined : apply(product),
  )
  let moved = false
  queries?.setQueriesData<ProductPage>({ queryKey: keys.products }, (page) => {
    if (page === undefined) return undefined
    const found = page.items.find((product) => product.id === product_id)
    if (found === undefined) return page
    moved ||= found.status !== status
    return { ...page, items: page.items.map(apply) }
  })
  // It belongs under another heading now.
  if (moved) void queries?.invalidateQueries({ queryKey: keys.products })
}

const onOrder = ({ order_num }: Events["order.updated"]): void => {
  void queries?.invalidateQueries({ queryKey: keys.order(order_num) })
  void queries?.invalidateQueries({ queryKey: keys.orders })
  void queries?.invalidateQueries({ queryKey: keys.wallet })
}

const topicsNow = (): ReadonlyArray<string> =>
  [...wanted.keys()]
    .filter((topic) => topic.startsWith("stock:") || currentUser() !== undefined)
    .sort()
    .slice(0, MAX_TOPICS)

const close = (): void => {
  const old = stream
  stream = undefined
  told = ""
  old?.close()
}

const update = (): void => {
  planned = false
  const topics = topicsNow()
  const user = currentUser()?.id
  if (topics.length === 0) {
    close()
    say("idle")
    return
  }
  if (stream !== undefined && streamUser !== user) close()
  const text = topics.join(",")
  if (stream !== undefined) {
    if (text === told) return
    told = text
    // Refused, or lost on the way: the next connection asks for the same.
    stream.subscribe(topics).catch(() => undefined)
    return
  }
  told = text
  streamUser = user
  const opened = client.events({
    topics,
    on: (event, data) => {
      if (event === "stock.updated") onStock(data as Events["stock.updated"])
      else if (event === "order.updated") onOrder(data as Events["order.updated"])
      else if (event === "reset") {
        versions.clear()
        void queries?.invalidateQueries()
      }
    },
    onConnection: (connected) => {
      if (stream === opened) say(connected ? "live" : "lost")
    },
    onEnd: () => {
      if (stream !== opened) return
      stream = undefined
      say("lost")
      setTimeout(plan, REOPEN_MS)
    },
  })
  stream = opened
}

/** Topics change in bursts, as a page comes and another goes: the stream is told once. */
const plan = (): void => {
  if (planned) return
  planned = true
  setTimeout(update, 50)
}

/** Says where to put what is heard; called once. */
export const connect = (client: QueryClient): void => {
  queries = client
  onUser(plan)
}

/** Keeps these topics live while the component is shown. */
export const useTopics = (topics: ReadonlyArray<string>): void => {
  const text = topics.join(",")
  useEffect(() => {
    const mine = text === "" ? [] : text.split(",")
    for (const topic of mine) wanted.set(topic, (wanted.get(topic) ?? 0) + 1)
    plan()
    return () => {
      for (const topic of mine) {
        const left = (wanted.get(topic) ?? 1) - 1
        if (left === 0) wanted.delete(topic)
        else wanted.set(topic, left)
      }
      plan()
    }
  }, [text])
}

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export const useConnection = (): Connection => useSyncExternalStore(subscribe, () => connection)
