/** Challenges: posed, and their solutions turned into tickets. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import * as Effect from "effect/Effect"
import { ChallengeProvider } from "../challenge/ChallengeProvider.ts"
import * as ClientAddress from "../http/ClientAddress.ts"
import * as Exchange from "../http/Exchange.ts"
import { RiskEngine } from "../risk/RiskEngine.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import { LIFE_MS } from "../ticket/Ticket.ts"
import { Tickets } from "../ticket/Tickets.ts"

export const layer = HttpApiBuilder.group(RestApi, "challenge", (handlers) =>
  Effect.gen(function* () {
    const provider = yield* ChallengeProvider
    const engine = yield* RiskEngine
    const tickets = yield* Tickets
    const serverClock = yield* ServerClock
    return handlers
      .handle(
        "begin",
        Effect.fn("ChallengeHandlers.begin")(function* ({ payload, request }) {
          const { userId } = yield* CurrentUser
          const { address, device } = Exchange.of(request)
          const suspicion = engine.suspicion({
            route: "seckill",
            address,
            addressKey: ClientAddress.limitKey(address),
            userId,
            device,
            productId: payload.product_id,
          })
          const posed = yield* provider.pose(
            {
              userId,
              productId: payload.product_id,
              deviceId: device?.signed === true ? device.key : undefined,
              suspicion,
            },
            serverClock.nowMs(),
          )
          const { bits, id, kind, nonce } = posed
          return { id, kind, nonce, bits, expires_at: format(posed.expiresMs) }
        }),
      )
      .handle(
        "solve",
        Effect.fn("ChallengeHandlers.solve")(function* ({ path, payload, request }) {
          const { userId } = yield* CurrentUser
          const { device } = Exchange.of(request)
          const nowMs = serverClock.nowMs()
          const signedId = device?.signed === true ? device.key : undefined
          const solver = { userId, deviceId: signedId }
          const judgement = yield* provider.judge(path.id, solver, payload.solution, nowMs)
          if (judgement._tag === "Unknown") return yield* new NotFound({})
          if (judgement._tag === "Wrong") return yield* InvalidInput.at("solution", "does not solve it")
          const { deviceId, productId } = judgement
          const brought = tickets.verify(
            payload.ticket,
            { user: userId, product: productId, device: signedId },
            nowMs,
          )
          const exp = nowMs + LIFE_MS
          const ticket = tickets.sign({
            user: userId,
            product: productId,
            ...(deviceId === undefined ? undefined : { device: deviceId }),
            proved: [...new Set([...brought, "challenge" as const])],
            exp,
          })
          return { ticket, expires_at: format(exp) }
        }),
      )
  }),
)
