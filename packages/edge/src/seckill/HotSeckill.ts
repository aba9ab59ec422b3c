/**
 * The listener of `POST /seckill`: on the bare Node request, without a fiber or a schema of its own, because here a
 * microsecond is a buyer. Held to the endpoint's contract by tests; declared in `SeckillApi` like any other route.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import {
  Banned,
  Busy,
  ChallengeRequired,
  type FloodgateError,
  Internal,
  InvalidInput,
  Unauthenticated,
  WaitingRoom as WaitingRoomError,
} from "@floodgate/contracts/errors/Errors"
import type { Product } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"
import type { User } from "@floodgate/contracts/http/Auth"
import { HEADER, isIdempotencyKey } from "@floodgate/contracts/http/IdempotencyKey"
import type { SeckillPayload } from "@floodgate/contracts/http/Seckill"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as SaleFunnel from "@floodgate/runtime/metrics/SaleFunnel"
import * as Breakers from "@floodgate/runtime/resilience/Breakers"
import * as SyncLog from "@floodgate/runtime/telemetry/SyncLog"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import { ChallengeProvider } from "../challenge/ChallengeProvider.ts"
import { Experiments } from "../experiments/Experiments.ts"
import * as BodyGate from "../http/BodyGate.ts"
import * as ClientAddress from "../http/ClientAddress.ts"
import type { Exchange } from "../http/Exchange.ts"
import type { HttpMetrics } from "../http/HttpMetrics.ts"
import * as Reply from "../http/Reply.ts"
import * as RequestSpan from "../http/RequestSpan.ts"
import { type BaseHeaders, send } from "../http/Send.ts"
import * as Limits from "../limits/Limiter.ts"
import { ProductCache } from "../products/ProductCache.ts"
import { WaitingRoom } from "../queue/WaitingRoom.ts"
import type { Entry } from "../risk/AddressList.ts"
import { Devices } from "../risk/Devices.ts"
import * as Risk from "../risk/RiskEngine.ts"
import { Tickets } from "../ticket/Tickets.ts"
import { Coalescer } from "./Coalescer.ts"
import * as Overflow from "./Overflow.ts"
import * as RequestId from "./RequestId.ts"
import * as ReserveAnswer from "./ReserveAnswer.ts"
import * as SeckillMetrics from "./SeckillMetrics.ts"
import * as SeckillRequest from "./SeckillRequest.ts"
import { ServerClock } from "./ServerClock.ts"
import { SoldOutMarks } from "./SoldOutMarks.ts"

export const PATH = "/seckill"

export type HotListener = (
  request: IncomingMessage,
  response: ServerResponse,
  exchange: Exchange,
  base: BaseHeaders,
) => void

/** For the span of a request whose client left; nobody is answered with it. */
const CLIENT_LEFT = 499

const soldOut: ReserveAnswer.ReserveOutcome = { ...ReserveAnswer.notExecuted, code: ReserveCode.SOLD_OUT }
/** What is answered to somebody who has an order of this product. */
const HAS_BOUGHT: ReadonlySet<number> = new Set([
  ReserveCode.RESERVED,
  ReserveCode.REPEATED,
  ReserveCode.ALREADY_BOUGHT,
])
const internal = new Internal({})
const banned = new Banned({})
const unauthenticated = new Unauthenticated({})
const badKey = InvalidInput.at(HEADER, "must be 1 to 255 printable ASCII characters")

const ROUTE = { method: "POST", path: PATH } as const

export const make = (metrics: HttpMetrics) =>
  Effect.gen(function* () {
    const verifier = yield* TokenVerifier
    const coalescer = yield* Coalescer
    const serverClock = yield* ServerClock
    const limiter = yield* Limits.Limiter
    const marks = yield* SoldOutMarks
    const products = yield* ProductCache
    const room = yield* WaitingRoom
    const risk = yield* Risk.RiskEngine
    const devices = yield* Devices
    const tickets = yield* Tickets
    const challenges = yield* ChallengeProvider
    const inventory = yield* Breakers.gate("grpc", "inventory")
    const experiments = yield* Experiments
    const spans = yield* RequestSpan.make
    const log = yield* SyncLog.make
    const run = yield* FiberSet.makeRuntime<never>()

    const listener: HotListener = (request, response, exchange, base) => {
      const span = spans.begin(request, exchange, PATH)
      const over = metrics.begin()
      SaleFunnel.asked(1)
      const address = ClientAddress.limitKey(exchange.address)

      const listed = risk.listed(exchange.address)

      let ended = false
      /** Tells of the end once, whatever went wrong on the way to it. */
      const end = (status: number): void => {
        if (ended) return
        ended = true
        over(ROUTE, status === CLIENT_LEFT ? undefined : status)
        span.end(status)
      }
      const reply = (answer: Reply.Reply): void => {
        send(request, response, base, serverClock.nowMs(), answer)
        end(answer.status)
      }
      const refuse = (error: FloodgateError): void => reply(Reply.failure(error, exchange.language))

      /**
       * For whoever has the answer's x-trace-id: every accepted wish, recorded or not, and there are never more of them than
       * pieces. Those that got nothing are counted, not told.
       */
      const tellReserved = (user: User, payload: SeckillPayload, order_num: string): void => {
        log("reserved", {
          trace_id: exchange.traceId,
          user_id: user.userId,
          product_id: payload.product_id,
          order_num,
        })
      }

      const reserve = (user: User, payload: SeckillPayload, key: string | undefined): void => {
        span.attribute("user_id", user.userId)
        span.attribute("product_id", payload.product_id)
        const label = experiments.label(user.userId)
        if (label !== "") span.attribute("experiments", label)
        coalescer.submit(payload.product_id, {
          userId: user.userId,
          quantity: payload.quantity,
          requestId:
            key === undefined ? RequestId.random() : RequestId.ofKey(user.userId, payload.product_id, key),
          traceparent: span.traceparent,
          answer: (outcome) =>
            attempt(() => {
              if (outcome.code === ReserveCode.RESERVED) {
                experiments.happened(user.userId, "accepted")
                tellReserved(user, payload, outcome.orderNum)
              }
              if (HAS_BOUGHT.has(outcome.code)) marks.bought(payload.product_id, user.userId)
              if (!ReserveAnswer.isKnown(outcome.code)) {
                run(Effect.logError(`inventory answered a reservation with the unknown code ${outcome.code}`))
              }
              SeckillMetrics.answered(outcome.code)
              reply(ReserveAnswer.encode(outcome, exchange.language))
            }),
        })
      }

      /** Whose request it is, once that is known. */
      let sender: User | undefined
      const slowDown = (name: LimitName, waitMs: number): void => {
        SaleFunnel.limited(1)
        if (sender !== undefined) experiments.happened(sender.userId, "limited")
        reply(Limits.reply(name, waitMs, exchange.language))
      }

      const within = (name: LimitName, limitKey: string | number, next: () => void): void => {
        const waitMs = limiter.take(name, limitKey)
        if (waitMs === 0) next()
        else if (waitMs > 0) slowDown(name, waitMs)
        else {
          limiter.wait(name, limitKey, (ms) => attempt(() => (ms === 0 ? next() : slowDown(name, ms))))
        }
      }

      /** White addresses are many people who are known to be some. */
      const byAddress = (next: () => void): void => {
        if (listed?.list === "white") next()
        else within("seckill-address", address, next)
      }

      /** Past the waiting room, where the product has one, and past the product's own limit. */
      const approach = (user: User, payload: SeckillPayload, key: string | undefined): void => {
        const product = products.peek(payload.product_id)
        if (product !== undefined) pass(product, user, payload, key)
        else {
          // Known from here on. Where it can't be, inventory says what there is to say.
          run(
            Effect.matchCause(products.messageOf(payload.product_id), {
              onFailure: () => attempt(() => pass(undefined, user, payload, key)),
              onSuccess: (found) => attempt(() => pass(found, user, payload, key)),
            }),
          )
        }
      }

      const pass = (
        product: Product | undefined,
        user: User,
        payload: SeckillPayload,
        key: string | undefined,
      ): void => {
        if (product?.access?.challenge === true && !challenged(user, payload)) {
          refuse(new ChallengeRequired({ kind: challenges.kind, product_id: payload.product_id }))
          return
        }
        const visitor = {
          userId: user.userId,
          productId: payload.product_id,
          device: signedDevice(),
          ticket: payload.ticket,
        }
        const waitingRoom = product?.access?.waitingRoom === true
        const admitted = waitingRoom && room.admits(visitor)
        const settle = (over: boolean, waitMs: number): void => {
          const verdict = Overflow.decide({ waitingRoom, admitted, over, degraded: inventory.waitMs() > 0 })
          if (verdict === "through") reserve(user, payload, key)
          else if (verdict === "slow_down") slowDown("seckill-product", waitMs)
          else if (verdict === "busy") refuse(new Busy({ retry_after_ms: Math.ceil(inventory.waitMs()) }))
          else {
            run(
              Effect.match(room.place(visitor), {
                onFailure: refuse,
                onSuccess: ({ ticket: _, ...place }) => refuse(new WaitingRoomError(place)),
              }),
            )
          }
        }
        if (waitingRoom && !admitted) settle(false, 0)
        else {
          const waitMs = limiter.take("seckill-product", payload.product_id)
          if (waitMs >= 0) settle(waitMs > 0, waitMs)
          else {
            limiter.wait("seckill-product", payload.product_id, (ms) => attempt(() => settle(ms > 0, ms)))
          }
        }
      }

      const signedDevice = (): string | undefined =>
        exchange.device?.signed === true ? exchange.device.key : undefined

      /** Whether the buyer's ticket proves a challenge. */
      const challenged = (user: User, payload: SeckillPayload): boolean =>
        tickets
          .verify(
            payload.ticket,
            { user: user.userId, product: payload.product_id, device: signedDevice() },
            serverClock.nowMs(),
          )
          .has("challenge")

      /** Past the rules: behind the limits, which cost less, and before anything that is the product's. */
      const judge = (user: User, payload: SeckillPayload, next: () => void): void => {
        exchange.device = devices.of(request.headers)
        risk.judge(
          {
            route: "seckill",
            address: exchange.address,
            addressKey: address,
            userId: user.userId,
            device: exchange.device,
            productId: payload.product_id,
          },
          () => challenged(user, payload),
          (verdict) =>
            attempt(() => {
              if (verdict === undefined) next()
              else reply(Risk.reply(verdict, payload.product_id, exchange.language))
            }),
        )
      }

      // First by what is the buyer's own, so that one who hurries uses up nothing of their neighbours'.
      const admit = (user: User, body: unknown): void => {
        sender = user
        within("seckill-user", user.userId, () =>
          byAddress(() => {
            const payload = SeckillRequest.read(body)
            const key = request.headers[HEADER] as string | undefined
            if (payload === undefined) refuse(SeckillRequest.explain(body))
            else if (key !== undefined && !isIdempotencyKey(key)) refuse(badKey)
            // A key may stand for a reservation that was made: only inventory knows.
            else if (key === undefined && marks.isSoldOut(payload.product_id, user.userId)) {
              SeckillMetrics.marked()
              reply(ReserveAnswer.encode(soldOut, exchange.language))
            } else judge(user, payload, () => approach(user, payload, key))
          }),
        )
      }

      // Before the token is looked at, which is dear.
      const turnAwayBlack = (entry: Entry): void => {
        risk.turnedAway(
          {
            route: "seckill",
            address: exchange.address,
            addressKey: address,
            userId: undefined,
            device: undefined,
            productId: undefined,
          },
          entry,
        )
        reply(Risk.reply({ _tag: "AddressBlocked" }, undefined, exchange.language))
      }

      // Whoever has no good token is counted by the address: looking at a token costs more than refusing it.
      const turnAway = (error: FloodgateError): void => byAddress(() => refuse(error))

      // A key that identity has just begun to sign with, perhaps.
      const verifyThenAdmit = (body: unknown): void => {
        run(
          Effect.match(verifier.verify(request.headers.authorization), {
            onFailure: (error) => attempt(() => turnAway(error)),
            onSuccess: (user) => attempt(() => admit(user, body)),
          }),
        )
      }

      // No fiber catches what is thrown here, and one bad request must not end the process.
      const attempt = (work: () => void): void => {
        try {
          work()
        } catch (defect) {
          run(
            Effect.annotateLogs(Effect.logError("A reservation ended in a defect", Cause.die(defect)), {
              trace_id: exchange.traceId,
            }),
          )
          refuse(internal)
        }
      }

      BodyGate.read(request, false, (gated) =>
        attempt(() => {
          if (gated._tag === "Gone") end(CLIENT_LEFT)
          else if (gated._tag === "Refused") refuse(gated.error)
          else if (listed?.list === "black") turnAwayBlack(listed)
          else if (listed?.list !== "white" && limiter.isRefused("seckill-address", address))
            turnAway(unauthenticated)
          else {
            const user = verifier.verifySync(request.headers.authorization)
            if (user === undefined) turnAway(unauthenticated)
            else if (user === "banned") turnAway(banned)
            else if (user === "unsure") verifyThenAdmit(gated.value)
            else admit(user, gated.value)
          }
        }),
      )
    }
    return listener
  })
