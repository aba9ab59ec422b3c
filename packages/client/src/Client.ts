/**
 * The typed client of Floodgate's HTTP contract, for browsers and Node. Every route is on `http`, typed from the
 * contract; the ways through a sale have methods of their own.
 */
import createFetch, { type Client as FetchClient } from "openapi-fetch"
import * as EventStream from "./EventStream.ts"
import { errorOf } from "./FloodgateError.ts"
import type { components, paths } from "./gen/Api.ts"
import * as Tokens from "./Tokens.ts"
import * as Transport from "./Transport.ts"

export type Product = components["schemas"]["Product"]
export type Order = components["schemas"]["Order"]
export type Payment = components["schemas"]["Payment"]
export type Queued = components["schemas"]["Queued"]
export type Session = components["schemas"]["Session"]

/** What a client needs to know; only `baseUrl` must be said. */
export interface ClientOptions {
  /** Such as `https://shop.example.com`; `""` in a page that the edge itself serves. */
  readonly baseUrl: string
  readonly tokens?: Tokens.TokenStore
  /** `zh` or `en`. */
  readonly language?: string
  /** A hint that the device is the same one as before. */
  readonly deviceId?: string
  readonly fetch?: (request: Request) => Promise<Response>
  /** The longest one attempt may take (ms); 10,000 unless said. */
  readonly timeoutMs?: number
  /** Attempts in all where repeating is safe; 3 unless said. */
  readonly attempts?: number
  /** Waits that the edge asks for, up to this long (ms), are waited; 5,000 unless said. */
  readonly maxWaitMs?: number
  /** Told when the session has ended. */
  readonly onSignedOut?: () => void
}

/** An answer of `http`, as openapi-fetch gives it. */
interface Answered<B> {
  readonly data?: B
  readonly error?: unknown
  readonly response: Response
}

/** What a success carries. openapi-fetch's types leave out a `data` that is always null. */
type Carried<B> = B extends { readonly data: infer D } ? D : null

/** How to wait for something. */
export interface WaitOptions {
  readonly signal?: AbortSignal
  /** How long at most (ms); 60,000 unless said. */
  readonly timeoutMs?: number
}

/** The `data` of an answer. Fails with `FloodgateError` or `NoAnswer`. */
export const unwrap = async <B extends { readonly code: number }>(
  answer: Promise<Answered<B>>,
): Promise<Carried<B>> => {
  const { data, error, response } = await answer
  if (data !== undefined && response.ok) return (data as { readonly data?: unknown }).data as Carried<B>
  throw errorOf(response, error)
}

export interface Client {
  /** Every route: `unwrap(client.http.GET("/orders/{order_num}", { params: { path: { order_num } } }))`. */
  readonly http: FetchClient<paths>
  /** The edge's clock minus this machine's (ms), by the last answer: what a countdown goes by. */
  readonly serverOffsetMs: () => number
  readonly register: (username: string, password: string) => Promise<{ readonly id: number }>
  /** Signs in, and keeps the tokens. */
  readonly login: (username: string, password: string) => Promise<Session["user"]>
  /** Ends the session here and at the edge; here even where the edge can't be reached. */
  readonly logout: () => Promise<void>
  readonly signedIn: () => boolean
  readonly product: (id: number) => Promise<Product>
  /**
   * One wish to buy. Repeated by itself with its key where no answer came, so it never buys twice. Fails with 510 to
   * 514, 704, 705…; with 530 the outcome may be unknown, and `data.order_num` is what to ask for.
   */
  readonly seckill: (wish: {
    readonly product_id: number
    readonly quantity?: number
    readonly ticket?: string
    /** The same key is the same wish: give one to go on after a reload. */
    readonly key?: string
  }) => Promise<Queued>
  readonly order: (orderNum: string) => Promise<Order>
  /** The order as soon as it is no longer queued. */
  readonly waitForOrder: (orderNum: string, options?: WaitOptions) => Promise<Order>
  /** Pays. `key` is the payment's own: give the same one to repeat it after a reload. */
  readonly pay: (orderNum: string, channel: string, key?: string) => Promise<Payment>
  readonly cancel: (orderNum: string) => Promise<Order>
  /** Live changes; reconnects by itself, and ends with `close()`. */
  readonly events: (options: EventStream.StreamOptions) => EventStream.Stream
}

export const createClient = (options: ClientOptions): Client => {
  const tokens = options.tokens ?? Tokens.inMemory()
  const baseUrl =
    options.baseUrl === "" && "location" in globalThis
      ? (globalThis as unknown as { readonly location: { readonly origin: string } }).location.origin
      : options.baseUrl.replace(/\/+$/, "")
  const plainFetch = options.fetch ?? ((request: Request) => globalThis.fetch(request))
  let offsetMs = 0
  const transport = Transport.make({
    fetch: async (request) => {
      const response = await plainFetch(request)
      const serverTime = Number(response.headers.get("x-server-time") ?? Number.NaN)
      if (Number.isFinite(serverTime)) offsetMs = serverTime - Date.now()
      return response
    },
    baseUrl,
    tokens,
    language: options.language,
    deviceId: options.deviceId,
    timeoutMs: options.timeoutMs ?? 10_000,
    attempts: options.attempts ?? 3,
    maxWaitMs: options.maxWaitMs ?? 5_000,
    onSignedOut: options.onSignedOut,
  })
  const http = createFetch<paths>({ baseUrl, fetch: transport })

  const order = (orderNum: string) =>
    unwrap(http.GET("/orders/{order_num}", { params: { path: { order_num: orderNum } } }))

  return {
    http,
    serverOffsetMs: () => offsetMs,
    register: (username, password) => unwrap(http.POST("/register", { body: { username, password } })),
    login: async (username, password) => {
      const session = await unwrap(http.POST("/login", { body: { username, password } }))
      tokens.set(session)
      return session.user
    },
    logout: async () => {
      const held = tokens.get()
      tokens.set(undefined)
      if (held === undefined) return
      await unwrap(http.POST("/logout", { body: { refresh_token: held.refresh_token } }))
    },
    signedIn: () => tokens.get() !== undefined,
    product: (id) => unwrap(http.GET("/product/{id}", { params: { path: { id: String(id) } } })),
    seckill: ({ key, ...wish }) =>
      unwrap(
        http.POST("/seckill", {
          body: wish,
          params: { header: key === undefined ? {} : { "idempotency-key": key } },
        }),
      ),
    order,
    waitForOrder: async (orderNum, { signal, timeoutMs = 60_000 } = {}) => {
      const until = Date.now() + timeoutMs
      for (let pauseMs = 100; ; pauseMs = Math.min(1_000, pauseMs * 1.5)) {
        const now = await order(orderNum)
        if (now.state !== "queued" || Date.now() >= until) return now
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
        signal?.throwIfAborted()
      }
    },
    pay: (orderNum, channel, key) =>
      unwrap(
        http.POST("/orders/{order_num}/pay", {
          params: {
            path: { order_num: orderNum },
            header: { "idempotency-key": key ?? crypto.randomUUID() },
          },
          body: { channel },
        }),
      ),
    cancel: (orderNum) =>
      unwrap(http.POST("/orders/{order_num}/cancel", { params: { path: { order_num: orderNum } } })),
    events: (stream) =>
      EventStream.open({ baseUrl, fetch: plainFetch, freshToken: transport.freshToken, ...stream }),
  }
}
