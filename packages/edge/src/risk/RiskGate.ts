/** Risk in front of the HttpApi's routes: lists before the limits, rules behind them, and the device that is issued. */
import type { IncomingMessage } from "node:http"
import * as Effect from "effect/Effect"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import { EdgeConfig } from "../EdgeConfig.ts"
import * as ClientAddress from "../http/ClientAddress.ts"
import type { Exchange } from "../http/Exchange.ts"
import type { Reply } from "../http/Reply.ts"
import type { Route } from "../http/RouteTable.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import { Tickets } from "../ticket/Tickets.ts"
import * as Device from "./Device.ts"
import { Devices } from "./Devices.ts"
import * as RiskEngine from "./RiskEngine.ts"
import * as RiskRoutes from "./RiskRoutes.ts"

export interface RiskGate {
  /** The refusal of a black address, before anything is counted for it; undefined where the request goes on. */
  readonly refusal: (route: Route, request: IncomingMessage, exchange: Exchange) => Reply | undefined
  /** A new device id for a caller without one, as a cookie; undefined where none is issued. */
  readonly cookie: (route: Route, exchange: Exchange) => string | undefined
  /** Judges by the rules of the route's class; calls back once, with the refusal or undefined. */
  readonly judge: (
    route: Route,
    path: string,
    request: IncomingMessage,
    exchange: Exchange,
    done: (refusal: Reply | undefined) => void,
  ) => void
}

/** A browser keeps it for a year. */
const MAX_AGE_S = 31_536_000

const productOf = (path: string): number | undefined => {
  const id = Number(path.split("/")[2])
  return Number.isSafeInteger(id) && id > 0 ? id : undefined
}

export const make = Effect.gen(function* () {
  const engine = yield* RiskEngine.RiskEngine
  const devices = yield* Devices
  const verifier = yield* TokenVerifier
  const tickets = yield* Tickets
  const serverClock = yield* ServerClock
  const { hsts } = yield* EdgeConfig
  const attributes = `Path=/; Max-Age=${MAX_AGE_S}; HttpOnly; SameSite=Lax${hsts ? "; Secure" : ""}`

  const subjectOf = (
    route: RiskEngine.Subject["route"],
    path: string,
    request: IncomingMessage,
    exchange: Exchange,
  ): RiskEngine.Subject => {
    const user = verifier.verifySync(request.headers.authorization)
    return {
      route,
      address: exchange.address,
      addressKey: ClientAddress.limitKey(exchange.address),
      userId: typeof user === "object" ? user.userId : undefined,
      device: exchange.device,
      productId: route === "queue" ? productOf(path) : undefined,
    }
  }

  return {
    refusal: (route, request, exchange) => {
      exchange.device = devices.of(request.headers)
      const entry = engine.listed(exchange.address)
      if (entry?.list !== "black" || RiskRoutes.isOpen(route)) return undefined
      engine.turnedAway(subjectOf(RiskRoutes.classOf(route), route.path, request, exchange), entry)
      return RiskEngine.reply({ _tag: "AddressBlocked" }, undefined, exchange.language)
    },
    cookie: (route, exchange) =>
      exchange.device?.signed !== true && RiskRoutes.issuesDevice(route)
        ? `${Device.COOKIE}=${devices.issue()}; ${attributes}`
        : undefined,
    judge: (route, path, request, exchange, done) => {
      const name = RiskRoutes.classOf(route)
      if (name === "other") {
        done(undefined)
        return
      }
      const subject = subjectOf(name, path, request, exchange)
      // Nobody, or somebody banned: the guard says so, and what they ask isn't the account's doing.
      if (subject.userId === undefined && (name === "pay" || name === "queue")) {
        done(undefined)
        return
      }
      const proved = (): boolean => {
        const ticket = (exchange.body as { readonly ticket?: unknown } | undefined)?.ticket
        const bearer = {
          user: subject.userId ?? 0,
          product: subject.productId ?? 0,
          device: exchange.device?.signed === true ? exchange.device.key : undefined,
        }
        return (
          typeof ticket === "string" && tickets.verify(ticket, bearer, serverClock.nowMs()).has("challenge")
        )
      }
      engine.judge(subject, proved, (verdict) =>
        done(
          verdict === undefined ? undefined : RiskEngine.reply(verdict, subject.productId, exchange.language),
        ),
      )
    },
  } satisfies RiskGate
})
