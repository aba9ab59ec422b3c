/**
 * What an `Idempotency-Key` does on each POST. Every route has a row; one without fails a test.
 *
 * Three ways, by where the effect is and what the answer holds:
 *
 * - `service`: the key is a row in the owning service's database, in the transaction of the effect. The only way that
 *   survives everything, for what moves money or goods.
 * - `edge`: the edge stores the first answer. An edge that dies between effect and answer leaves the key in flight, and
 *   the next attempt asks the service again: so only for what does no harm when it is asked for twice, because the
 *   service knows the wish by its `request_id` or the effect is idempotent by its nature.
 * - `none`: the key is checked and has no effect of its own, for the reason beside it. Where a body holds a password,
 *   not even its hash may be stored: that would be a quicker way to guess it than argon2id allows.
 */

export type KeyPolicy = "service" | "edge" | "none"

export const policies: Readonly<Record<string, KeyPolicy>> = {
  // The reservation's record in Redis carries the request id made of the key.
  "POST /seckill": "service",
  "POST /products": "service",
  "POST /orders/:order_num/pay": "service",
  "POST /wallet/topups": "service",
  "POST /admin/orders/:order_num/refund": "service",
  // Its answer holds a secret, which the edge must not store.
  "POST /admin/webhooks": "service",
  "POST /admin/products/:id/stock": "service",
  "POST /admin/products/:id/clone": "service",

  // Cancelling twice cancels once; with the key the second answer is the first one instead of 520.
  "POST /orders/:order_num/cancel": "edge",
  "POST /admin/orders/:order_num/cancel": "edge",
  "POST /admin/dead-letters/:id/replay": "edge",
  "POST /admin/dead-letters/:id/discard": "edge",
  "POST /admin/users/:id/ban": "edge",
  "POST /admin/users/:id/unban": "edge",
  "POST /admin/users/:id/roles": "edge",
  // A message sent twice is known by its event_id.
  "POST /admin/webhooks/:id/redeliver": "edge",
  "POST /admin/keys/rotate": "edge",
  "POST /admin/products/:id/warmup": "edge",
  "POST /admin/products/:id/withdraw": "edge",
  "POST /admin/products/:id/rebuild": "edge",
  "POST /admin/sale/pause": "edge",
  "POST /admin/sale/resume": "edge",
  // A key of an experiment is taken once, and stopped is stopped; with the key the second answer is the first one.
  "POST /admin/experiments": "edge",
  "POST /admin/experiments/:key/stop": "edge",
  // A rule that is there twice decides nothing that it wouldn't alone.
  "POST /admin/risk/rules": "edge",

  // The same picture has the same address.
  "POST /admin/media": "none",
  // Everybody counts once.
  "POST /experiments/:key/exposure": "none",
  // Joining twice is joining once, and a ticket is stored nowhere.
  "POST /products/:id/queue": "none",
  // Signed afresh each time, and stored nowhere.
  "POST /challenge": "none",
  "POST /challenge/:id": "none",
  // Passwords in the body. A name is registered once; a second change finds the old password gone.
  "POST /register": "none",
  "POST /password": "none",
  // The answer holds tokens, which are stored nowhere.
  "POST /login": "none",
  // As above; a lost answer is made good by the grace in which the old token still finds its successor.
  "POST /token/refresh": "none",
  // Ended is ended: asked again, the answer is the same.
  "POST /logout": "none",
  // Ends the very token that it is asked with.
  "POST /logout/all": "none",
  // A ticket is good once, so an old answer is worth nothing.
  "POST /events/ticket": "none",
  // Providers send no keys: their event's id is the row.
  "POST /payment/callback": "none",
  "POST /payment/callback/:channel": "none",
}

/** `route` is the pattern of the contract. */
export const of = (method: string, route: string): KeyPolicy => policies[`${method} ${route}`] ?? "none"
