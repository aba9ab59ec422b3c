/**
 * Where risk is looked at, and by which kinds of rules: one table. Lists hold everywhere but on the routes named last.
 *
 * A challenge is about a product, so only `seckill` and `queue` can ask for one: elsewhere a rule in that mode, and the
 * grey list, write down what they found and let the request through.
 */
import type { RiskRoute, RuleKind } from "@floodgate/contracts/http/Risk"
import type { Route } from "../http/RouteTable.ts"

/** About the people behind a device or an account, whatever it asks for. */
const people: ReadonlyArray<RuleKind> = [
  "device-accounts",
  "account-devices",
  "account-addresses",
  "address-accounts",
  "new-account",
]

export const kindsOf: Readonly<Record<RiskRoute, ReadonlySet<RuleKind>>> = {
  seckill: new Set([...people, "device-frequency", "account-frequency", "regular-timing"]),
  // Whoever waits asks again at regular times, because we tell them to.
  queue: new Set([...people, "device-frequency", "account-frequency"]),
  // Nobody is known yet.
  login: new Set<RuleKind>(["device-frequency"]),
  register: new Set<RuleKind>(["device-frequency"]),
  pay: new Set<RuleKind>([
    "device-frequency",
    "account-frequency",
    "account-devices",
    "account-addresses",
    "new-account",
  ]),
  other: new Set(),
}

const classes: Readonly<Record<string, RiskRoute>> = {
  "POST /login": "login",
  "POST /register": "register",
  "POST /orders/:order_num/pay": "pay",
  "POST /products/:id/queue": "queue",
}

/** The class of a route of the HttpApi; the rush has its own listener. */
export const classOf = (route: Route): RiskRoute => classes[`${route.method} ${route.path}`] ?? "other"

/** Whether a challenge can be asked for, and a ticket shown. */
export const takesTickets = (route: RiskRoute): boolean => route === "seckill" || route === "queue"

/**
 * Where a black address is answered all the same: the machine that looks after us, providers, who sign what they send,
 * the one who asks how they stand, and the console, so that nobody locks out the hand that could undo it.
 */
export const isOpen = (route: Route): boolean =>
  route.path === "/livez" ||
  route.path === "/readyz" ||
  route.path === "/risk/status" ||
  route.path.startsWith("/payment/callback") ||
  route.path.startsWith("/admin/")

/** Where a device id is issued: to whoever signs in or is signed in, never with an answer that a cache may keep. */
export const issuesDevice = (route: Route): boolean => issuing.has(`${route.method} ${route.path}`)

const issuing: ReadonlySet<string> = new Set([
  "POST /register",
  "POST /login",
  "POST /token/refresh",
  "GET /profile",
  "POST /challenge",
  "POST /products/:id/queue",
  "GET /risk/status",
])
