/**
 * What every route does when something behind it is away, in one table: which dependencies it has, what it answers while
 * the breaker of each is open, and whose crowd it belongs to. Every route has a row; one without fails a test.
 *
 * The table is what the boundary goes by, not a description of it: a `busy` route is refused before its body is looked at,
 * its caller is known or its idempotency key is claimed.
 */

/**
 * What a route may need. `database` is this edge's own: idempotency keys, and the trail of what was changed here. `limits`
 * is the Redis of limits and waiting rooms; it isn't named where only limits need it, since without it every edge limits
 * by itself.
 */
export type Dependency = "identity" | "inventory" | "ordering" | "payment" | "database" | "limits"

/** What a route answers while a dependency is known to be away. */
export type Answer =
  /** 530 (系统繁忙) with `Retry-After`, at once: nothing was done. */
  | "busy"
  /** The last known answer for at most `MAX_STALE_MS`, with its age in `Age`; 530 where there is none. */
  | "stale"
  /** Goes on with what this edge holds: the signing keys, and who is banned as far as it was told. */
  | "held"
  /** 530 for those requests that need it, and only those. */
  | "where_needed"

/** How old (ms) a stale answer may be. */
export const MAX_STALE_MS = 300_000

/** Whose crowd a route belongs to: the routes of a class share one bound on requests in hand. */
export type RouteClass =
  | "rush"
  | "catalogue"
  | "sign_in"
  | "account"
  | "trade"
  | "callback"
  | "admin"
  | "local"

export interface Row {
  readonly class: RouteClass
  readonly needs: Readonly<Partial<Record<Dependency, Answer>>>
}

/** Needs nobody. */
const local = { class: "local", needs: {} } as const satisfies Row

const signIn = { class: "sign_in", needs: { identity: "busy" } } as const satisfies Row
const account = { class: "account", needs: { identity: "busy" } } as const satisfies Row
const orders = { class: "account", needs: { identity: "held", ordering: "busy" } } as const satisfies Row
const product = { class: "catalogue", needs: { inventory: "stale" } } as const satisfies Row
const callback = { class: "callback", needs: { payment: "busy" } } as const satisfies Row
const users = { class: "admin", needs: { identity: "busy" } } as const satisfies Row
const usersByKey = {
  class: "admin",
  needs: { identity: "busy", database: "where_needed" },
} as const satisfies Row

// The line is in Redis; inventory only says what is left, and the last it said will do.
const queue = {
  class: "catalogue",
  needs: { identity: "held", inventory: "stale", limits: "busy" },
} as const satisfies Row

const limits = { class: "admin", needs: { identity: "held", database: "busy" } } as const satisfies Row

/** The console's reads and writes of one service; `byKey`: the edge keeps the answers to their idempotency keys. */
const managed = (service: Dependency) =>
  ({ class: "admin", needs: { identity: "held", [service]: "busy" } }) as const satisfies Row
const managedByKey = (service: Dependency) =>
  ({
    class: "admin",
    needs: { identity: "held", [service]: "busy", database: "where_needed" },
  }) as const satisfies Row
// Counters are the edges' own while the limits' Redis is away, and rules are those last known.
const challenge = { class: "catalogue", needs: { identity: "held" } } as const satisfies Row
const risk = { class: "admin", needs: { identity: "held", database: "busy" } } as const satisfies Row

const experiments = limits

export const rows: Readonly<Record<string, Row>> = {
  // Sold by inventory alone: the token is checked with keys that the edge holds.
  "POST /seckill": { class: "rush", needs: { identity: "held", inventory: "busy" } },

  "GET /products": product,
  "GET /products/:id": product,
  "GET /product/:id": product,
  "POST /products": { class: "trade", needs: { identity: "held", inventory: "busy" } },

  "POST /products/:id/queue": queue,
  "GET /products/:id/queue": queue,

  "POST /challenge": challenge,
  "POST /challenge/:id": challenge,
  "GET /risk/status": { class: "account", needs: { identity: "held" } },

  "POST /register": signIn,
  "POST /login": signIn,
  "POST /token/refresh": signIn,
  "POST /logout": signIn,
  "POST /logout/all": signIn,
  "POST /password": signIn,
  "DELETE /profile": signIn,
  "GET /profile": account,
  "GET /profile/export": { class: "account", needs: { identity: "busy", ordering: "busy" } },
  "GET /wallet": account,
  "GET /wallet/entries": account,

  "GET /orders": orders,
  "GET /orders/:order_num": orders,
  "POST /orders/:order_num/cancel": {
    class: "trade",
    needs: { identity: "held", ordering: "busy", database: "where_needed" },
  },
  "POST /orders/:order_num/pay": { class: "trade", needs: { identity: "held", payment: "busy" } },
  "POST /wallet/topups": { class: "trade", needs: { identity: "held", payment: "busy" } },
  "GET /payments/:payment_id": { class: "account", needs: { identity: "held", payment: "busy" } },
  "POST /payment/callback": callback,
  "POST /payment/callback/:channel": callback,

  // A stream goes on with what its edge holds; stock and orders are silent meanwhile, and catch up.
  "GET /events": { class: "local", needs: { identity: "held", inventory: "held" } },
  "PUT /events/:stream_id": { class: "account", needs: { identity: "held" } },
  "POST /events/ticket": { class: "account", needs: { identity: "held" } },

  // It shows who is away, so it goes on without any of them.
  "GET /admin/overview": { class: "admin", needs: { identity: "held" } },
  "GET /admin/users": users,
  "GET /admin/users/:id": users,
  "POST /admin/users/:id/ban": usersByKey,
  "POST /admin/users/:id/unban": usersByKey,
  "POST /admin/users/:id/roles": usersByKey,
  "POST /admin/keys/rotate": usersByKey,
  "GET /admin/limits": limits,
  "GET /admin/limits/:name": limits,
  "PUT /admin/limits/:name": limits,
  "GET /admin/products": managed("inventory"),
  "GET /admin/products/:id": managed("inventory"),
  "GET /admin/products/:id/readiness": managed("inventory"),
  "PATCH /admin/products/:id": managed("inventory"),
  "POST /admin/products/:id/warmup": managedByKey("inventory"),
  "POST /admin/products/:id/withdraw": managedByKey("inventory"),
  "POST /admin/products/:id/rebuild": managedByKey("inventory"),
  "POST /admin/products/:id/clone": managed("inventory"),
  "POST /admin/products/:id/stock": managed("inventory"),
  "POST /admin/media": managed("inventory"),
  "GET /admin/stock-log": managed("inventory"),
  "GET /admin/sale": managed("inventory"),
  "POST /admin/sale/pause": managedByKey("inventory"),
  "POST /admin/sale/resume": managedByKey("inventory"),
  "GET /admin/orders": managed("ordering"),
  "GET /admin/orders/:order_num": managed("ordering"),
  "POST /admin/orders/:order_num/cancel": managedByKey("ordering"),
  "GET /admin/dead-letters": managed("ordering"),
  "GET /admin/dead-letters/:id": managed("ordering"),
  "POST /admin/dead-letters/:id/replay": managedByKey("ordering"),
  "POST /admin/dead-letters/:id/discard": managedByKey("ordering"),
  "GET /admin/reconciliation": managed("ordering"),
  "GET /admin/payments": managed("payment"),
  "GET /admin/payments/:payment_id": managed("payment"),
  "GET /admin/refunds": managed("payment"),
  "POST /admin/orders/:order_num/refund": managed("payment"),
  "GET /admin/webhooks": managed("payment"),
  "POST /admin/webhooks": managed("payment"),
  "GET /admin/webhooks/:id": managed("payment"),
  "DELETE /admin/webhooks/:id": managed("payment"),
  "GET /admin/webhooks/:id/deliveries": managed("payment"),
  "POST /admin/webhooks/:id/redeliver": managedByKey("payment"),
  // Who is in is arithmetic over what this edge holds; what is told of it waits for the database.
  "GET /experiments": { class: "account", needs: { identity: "held" } },
  "POST /experiments/:key/exposure": { class: "account", needs: { identity: "held" } },
  "GET /admin/experiments": experiments,
  "POST /admin/experiments": experiments,
  "GET /admin/experiments/:key": experiments,
  "PUT /admin/experiments/:key": experiments,
  "POST /admin/experiments/:key/stop": experiments,
  "GET /admin/experiments/:key/results": experiments,
  "GET /admin/risk/rules": risk,
  "POST /admin/risk/rules": risk,
  "GET /admin/risk/rules/:id": risk,
  "PUT /admin/risk/rules/:id": risk,
  "DELETE /admin/risk/rules/:id": risk,
  "GET /admin/risk/ip-list": risk,
  "PUT /admin/risk/ip-list": risk,
  "DELETE /admin/risk/ip-list": risk,
  "GET /admin/risk/records": risk,
  // A trail with a gap would be a lie.
  "GET /admin/audit": {
    class: "admin",
    needs: { identity: "busy", inventory: "busy", ordering: "busy", payment: "busy", database: "busy" },
  },

  "GET /livez": local,
  "GET /readyz": local,
  "GET /.well-known/jwks.json": { class: "local", needs: { identity: "held" } },
  "GET /openapi.json": local,
  "GET /docs/errors/:code": local,
}

/** The row of a route, `route` being the pattern of the contract; HEAD is GET's. */
export const of = (method: string, route: string): Row =>
  rows[`${method === "HEAD" ? "GET" : method} ${route}`] ?? local

/** The requests of one class that are in hand at once, and that wait for their turn, for at most `WAIT_MS`. */
export interface Bound {
  readonly atOnce: number
  readonly waiting: number
}

/**
 * The bounds by class; one more is answered 530 at once. The rush isn't here: its items are bounded by the coalescer,
 * and nothing here can take from them more than a core's time.
 */
export const bounds: Readonly<Record<Exclude<RouteClass, "rush">, Bound>> = {
  catalogue: { atOnce: 512, waiting: 2_048 },
  // Hashing passwords is what identity can do least of: more at once would only wait there.
  sign_in: { atOnce: 256, waiting: 2_048 },
  account: { atOnce: 512, waiting: 2_048 },
  trade: { atOnce: 256, waiting: 1_024 },
  callback: { atOnce: 128, waiting: 512 },
  // Exports of whole tables among them.
  admin: { atOnce: 16, waiting: 64 },
  local: { atOnce: 64, waiting: 256 },
}

/** How long (ms) a request may wait for its turn. */
export const WAIT_MS = 1_000
