/** Which limit each route of the HttpApi has, and whom it counts: one table. The rush has its own in HotSeckill. */
import type { IncomingMessage } from "node:http"
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"
import * as Effect from "effect/Effect"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import { Experiments } from "../experiments/Experiments.ts"
import * as ClientAddress from "../http/ClientAddress.ts"
import type { Exchange } from "../http/Exchange.ts"
import type { Route } from "../http/RouteTable.ts"
import { RiskSettings } from "../risk/RiskSettings.ts"
import { Limiter } from "./Limiter.ts"

type By =
  | "address"
  /** The signed-in user; who isn't, by the address, and under the limit of everything else. */
  | "user"
  /** The provider that calls. */
  | "channel"

interface RouteLimit {
  readonly name: LimitName
  readonly by: By
}

/** Asked by whoever runs us, every few seconds; a refusal would be taken for an edge that is down. */
const unlimited: ReadonlySet<string> = new Set(["GET /livez", "GET /readyz"])

const table: Readonly<Record<string, RouteLimit>> = {
  "POST /login": { name: "sign-in", by: "address" },
  "POST /register": { name: "sign-in", by: "address" },
  "POST /orders/:order_num/pay": { name: "pay", by: "user" },
  "POST /payment/callback": { name: "callback", by: "channel" },
  "POST /payment/callback/:channel": { name: "callback", by: "channel" },
}

const everythingElse: RouteLimit = { name: "default", by: "user" }

/** The channel that a callback's path names; all that can't be a channel's name count as one. */
const channelOf = (path: string): string => {
  const name = path.slice("/payment/callback/".length)
  return name === "" ? "sandbox" : /^[a-z0-9_-]{1,32}$/.test(name) ? name : "?"
}

/** Calls back once, with the limit and 0 where the request is let through, else with the ms to wait. */
export type Limits = (
  route: Route,
  path: string,
  request: IncomingMessage,
  exchange: Exchange,
  done: (name: LimitName, waitMs: number) => void,
) => void

export const make: Effect.Effect<Limits, never, Limiter | TokenVerifier | RiskSettings | Experiments> =
  Effect.gen(function* () {
    const limiter = yield* Limiter
    const verifier = yield* TokenVerifier
    const risk = yield* RiskSettings
    const experiments = yield* Experiments
    return (route, path, request, exchange, done) => {
      const id = `${route.method} ${route.path}`
      if (unlimited.has(id)) {
        done("default", 0)
        return
      }
      let { by, name } = table[id] ?? everythingElse
      let key: string | number
      if (by === "channel") key = channelOf(path)
      else {
        const user = by === "user" ? verifier.verifySync(request.headers.authorization) : undefined
        if (typeof user === "object") key = user.userId
        else {
          if (by === "user") name = everythingElse.name
          // White addresses are many people who are known to be some.
          if (risk.listed(exchange.address)?.list === "white") {
            done(name, 0)
            return
          }
          // Apart from users' numbers.
          key = `@${ClientAddress.limitKey(exchange.address)}`
        }
      }
      const settle = (waitMs: number): void => {
        // Users are numbers.
        if (waitMs > 0 && typeof key === "number") experiments.happened(key, "limited")
        done(name, waitMs)
      }
      const waitMs = limiter.take(name, key)
      if (waitMs >= 0) settle(waitMs)
      else limiter.wait(name, key, settle)
    }
  })
