/**
 * The sale's Lua scripts as pure functions over one shard. The scripts are the authority: `RedisModel.contract.test.ts`
 * holds the two equal, answers and all that is stored, on a real Redis. States are never changed in place, so that a
 * server can fall back to any earlier one.
 */
import { MAX_RESERVATIONS_PER_BUYER, ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import type { BuyerReservation } from "@floodgate/inventory/domain/BuyerRecord"

export interface Fence {
  readonly epoch?: number
  /** The server's run under which the shard was last proved equal to MySQL. */
  readonly run_id?: string
  readonly claim?: number
}

export interface Product {
  readonly gen: number
  readonly open: boolean
  readonly start: number
  /** 0: no end. */
  readonly end: number
  readonly limit: number
  readonly price: number
  readonly stock: number
  readonly ver: number
}

export interface Entry {
  /** Ids rise; the first part is the server's time. */
  readonly id: readonly [ms: number, seq: number]
  readonly order_num: string
  readonly user_id: number
  readonly quantity: number
  readonly request_id: string
  readonly price: number
  readonly limit: number
}

export type Buyers = ReadonlyMap<number, ReadonlyArray<BuyerReservation>>

export interface Shard {
  readonly fence: Fence
  readonly stream: ReadonlyArray<Entry>
  readonly lastId: readonly [ms: number, seq: number]
  readonly products: ReadonlyMap<number, Product>
  /** By `buyersKey`. */
  readonly buyers: ReadonlyMap<string, Buyers>
}

/** What a script sees of its server. */
export interface Server {
  readonly run_id: string
  readonly now: number
}

export type Applied<A> = readonly [shard: Shard, reply: A]

export const empty: Shard = {
  fence: {},
  stream: [],
  lastId: [0, 0],
  products: new Map(),
  buyers: new Map(),
}

export const buyersKey = (product_id: number, generation: number): string => `${product_id}:${generation}`

export const isOpen = (shard: Shard, server: Server): boolean => shard.fence.run_id === server.run_id

const withEntry = <K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> =>
  new Map(map).set(key, value)

export interface Item {
  readonly user_id: number
  readonly quantity: number
  readonly request_id: string
  readonly not_after: number
  readonly order_num: string
}

export interface ItemAnswer {
  readonly code: ReserveCode
  readonly detail: number
  /** The number held before, for REPEATED and ALREADY_BOUGHT; else empty. */
  readonly order_num: string
  /** Live numbers by comma, for ALREADY_BOUGHT; else empty. */
  readonly live: string
}

export interface ReserveReply {
  readonly generation: number
  readonly stock: number
  readonly version: number
  readonly items: ReadonlyArray<ItemAnswer>
}

const after = ([ms, seq]: readonly [number, number], now: number): readonly [number, number] =>
  now > ms ? [now, 0] : [ms, seq + 1]

/** `lua/reserve.lua`. */
export const reserve = (
  shard: Shard,
  server: Server,
  call: {
    readonly product_id: number
    readonly generation: number
    readonly max_open: number
    readonly items: ReadonlyArray<Item>
  },
): Applied<ReserveReply> => {
  const answer = (code: ReserveCode, detail = 0, order_num = "", live = ""): ItemAnswer => ({
    code,
    detail,
    order_num,
    live,
  })
  if (!isOpen(shard, server)) {
    const items = call.items.map(() => answer(ReserveCode.FENCED))
    return [shard, { generation: 0, stock: 0, version: 0, items }]
  }
  const product = shard.products.get(call.product_id)
  const current = product?.gen ?? 0
  const key = buyersKey(call.product_id, call.generation)
  const buyers = new Map(shard.buyers.get(key))
  const stream = [...shard.stream]
  let { lastId } = shard
  let stock = product?.stock ?? 0
  let sold = 0

  const judge = (item: Item): ItemAnswer => {
    if (server.now > item.not_after) return answer(ReserveCode.EXPIRED)
    if (product === undefined) return answer(ReserveCode.NOT_ON_SALE)
    if (current !== call.generation) return answer(ReserveCode.STALE_GENERATION, current)
    const record = buyers.get(item.user_id) ?? []
    const same = record.find((held) => held.request_id === item.request_id)
    if (same !== undefined) {
      return same.quantity === item.quantity
        ? answer(ReserveCode.REPEATED, 0, same.order_num)
        : answer(ReserveCode.KEY_REUSED)
    }
    if (server.now < product.start) return answer(ReserveCode.NOT_STARTED, product.start)
    if (product.end > 0 && server.now >= product.end) return answer(ReserveCode.ENDED, product.end)
    if (!product.open) return answer(ReserveCode.NOT_ON_SALE)
    const live = record.filter((held) => held.live)
    const bought = live.reduce((sum, held) => sum + held.quantity, 0)
    if (bought + item.quantity > product.limit || record.length >= MAX_RESERVATIONS_PER_BUYER) {
      const newest = (live.at(-1) ?? record.at(-1))?.order_num ?? ""
      return answer(
        ReserveCode.ALREADY_BOUGHT,
        product.limit,
        newest,
        live.map((held) => held.order_num).join(","),
      )
    }
    if (stock < item.quantity) return answer(ReserveCode.SOLD_OUT, stock)
    if (stream.length >= call.max_open) return answer(ReserveCode.BACKLOG_FULL)
    const { order_num, quantity, request_id, user_id } = item
    lastId = after(lastId, server.now)
    stream.push({
      id: lastId,
      order_num,
      user_id,
      quantity,
      request_id,
      price: product.price,
      limit: product.limit,
    })
    stock -= quantity
    sold += quantity
    buyers.set(user_id, [...record, { order_num, quantity, request_id, live: true }])
    return answer(ReserveCode.RESERVED)
  }

  const items = call.items.map(judge)
  const version = (product?.ver ?? 0) + (sold > 0 ? 1 : 0)
  const reply = { generation: current, stock, version, items }
  if (product === undefined || sold === 0) return [shard, reply]
  return [
    {
      ...shard,
      stream,
      lastId,
      products: withEntry(shard.products, call.product_id, { ...product, stock, ver: version }),
      buyers: withEntry(shard.buyers, key, buyers),
    },
    reply,
  ]
}

/** `lua/release.lua`: (state, generation that is there). */
export const release = (
  shard: Shard,
  server: Server,
  call: {
    readonly product_id: number
    readonly generation: number
    readonly user_id: number
    readonly order_num: string
  },
): Applied<readonly [state: 1 | 0 | -1 | -2, generation: number]> => {
  if (!isOpen(shard, server)) return [shard, [-1, 0]]
  const product = shard.products.get(call.product_id)
  if (product === undefined) return [shard, [0, 0]]
  if (product.gen !== call.generation) return [shard, [-2, product.gen]]
  const key = buyersKey(call.product_id, call.generation)
  const buyers = shard.buyers.get(key)
  const record = buyers?.get(call.user_id) ?? []
  const held = record.find((one) => one.live && one.order_num === call.order_num)
  if (buyers === undefined || held === undefined) return [shard, [0, product.gen]]
  const released = record.map((one) => (one === held ? { ...one, live: false } : one))
  return [
    {
      ...shard,
      products: withEntry(shard.products, call.product_id, {
        ...product,
        stock: product.stock + held.quantity,
        ver: product.ver + 1,
      }),
      buyers: withEntry(shard.buyers, key, withEntry(buyers, call.user_id, released)),
    },
    [1, product.gen],
  ]
}

/** `lua/reservation.lua`: open, generation, the buyer's record, now. */
export const reservation = (
  shard: Shard,
  server: Server,
  call: { readonly product_id: number; readonly generation: number; readonly user_id: number },
): {
  readonly open: boolean
  readonly generation: number
  readonly record: ReadonlyArray<BuyerReservation>
} => {
  const generation = shard.products.get(call.product_id)?.gen ?? 0
  const buyers = shard.buyers.get(buyersKey(call.product_id, generation))
  return {
    open: isOpen(shard, server),
    generation,
    record: generation === call.generation ? (buyers?.get(call.user_id) ?? []) : [],
  }
}

/** `lua/claim.lua`: the run_id where it was claimed, else the epoch that isn't lower. */
export const claim = (shard: Shard, server: Server, epoch: number): Applied<string | number> => {
  const highest = Math.max(shard.fence.epoch ?? 0, shard.fence.claim ?? 0)
  if (epoch <= highest) return [shard, highest]
  const { run_id: _, ...fence } = shard.fence
  return [{ ...shard, fence: { ...fence, claim: epoch } }, server.run_id]
}

/** `lua/fence.lua`. */
export const openFence = (shard: Shard, server: Server, epoch: number, run_id: string): Applied<boolean> => {
  const { fence } = shard
  if (fence.claim !== epoch || epoch <= (fence.epoch ?? 0) || server.run_id !== run_id) return [shard, false]
  return [{ ...shard, fence: { ...fence, epoch, run_id } }, true]
}

export interface LoadedRow extends BuyerReservation {
  readonly user_id: number
}

/** `lua/load.lua`. */
export const load = (
  shard: Shard,
  call: {
    readonly product_id: number
    readonly epoch: number
    readonly generation: number
    readonly first: boolean
    readonly rows: ReadonlyArray<LoadedRow>
  },
): Applied<boolean> => {
  const { fence } = shard
  if (fence.run_id !== undefined || fence.claim !== call.epoch) return [shard, false]
  if (call.generation <= (shard.products.get(call.product_id)?.gen ?? 0)) return [shard, false]
  const key = buyersKey(call.product_id, call.generation)
  const buyers = new Map(call.first ? [] : shard.buyers.get(key))
  for (const { user_id, ...one } of call.rows) {
    const record = buyers.get(user_id) ?? []
    if (!record.some((held) => held.order_num === one.order_num)) buyers.set(user_id, [...record, one])
  }
  const all = new Map(shard.buyers)
  // A hash without fields isn't there.
  if (buyers.size === 0) all.delete(key)
  else all.set(key, buyers)
  return [{ ...shard, buyers: all }, true]
}

/** `lua/warmup.lua`: (state, generation that is there). `epoch` is absent where an open shard gets a product. */
export const warmUp = (
  shard: Shard,
  server: Server,
  call: { readonly product_id: number; readonly epoch?: number; readonly product: Product },
): Applied<readonly [state: 1 | 0 | -1, generation: number]> => {
  const { fence } = shard
  const allowed =
    call.epoch === undefined
      ? isOpen(shard, server)
      : fence.claim === call.epoch && fence.run_id === undefined
  if (!allowed) return [shard, [-1, 0]]
  const current = shard.products.get(call.product_id)?.gen ?? 0
  if (call.product.gen <= current) return [shard, [0, current]]
  return [
    { ...shard, products: withEntry(shard.products, call.product_id, call.product) },
    [1, call.product.gen],
  ]
}

/** `lua/open.lua`: (state, generation that is there). */
export const setOpen = (
  shard: Shard,
  server: Server,
  call: { readonly product_id: number; readonly generation: number; readonly open: boolean },
): Applied<readonly [state: 1 | 0 | -1, generation: number]> => {
  if (!isOpen(shard, server)) return [shard, [-1, 0]]
  const product = shard.products.get(call.product_id)
  const current = product?.gen ?? 0
  if (current !== call.generation) return [shard, [0, current]]
  // The script would make a product of nothing only for generation 0, which nobody means.
  if (product === undefined) return [shard, [1, current]]
  return [
    { ...shard, products: withEntry(shard.products, call.product_id, { ...product, open: call.open }) },
    [1, current],
  ]
}

export const compareIds = (a: readonly [number, number], b: readonly [number, number]): number =>
  a[0] - b[0] || a[1] - b[1]

/** `XDEL`. */
export const remove = (shard: Shard, ids: ReadonlyArray<readonly [number, number]>): Shard => ({
  ...shard,
  stream: shard.stream.filter((entry) => !ids.some((id) => compareIds(id, entry.id) === 0)),
})
