/** How a caller stands with rules, lists and limits. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import * as Effect from "effect/Effect"
import * as ClientAddress from "../http/ClientAddress.ts"
import * as Exchange from "../http/Exchange.ts"
import { Limiter } from "../limits/Limiter.ts"
import { RiskEngine } from "../risk/RiskEngine.ts"
import { ServerClock } from "../seckill/ServerClock.ts"

export const layer = HttpApiBuilder.group(RestApi, "risk", (handlers) =>
  Effect.gen(function* () {
    const engine = yield* RiskEngine
    const limiter = yield* Limiter
    const serverClock = yield* ServerClock
    return handlers.handle(
      "status",
      Effect.fn("RiskHandlers.status")(function* ({ request }) {
        const { userId } = yield* CurrentUser
        const { address, device } = Exchange.of(request)
        const addressKey = ClientAddress.limitKey(address)
        const subject = {
          route: "other" as const,
          address,
          addressKey,
          userId,
          device,
          productId: undefined,
        }
        const left = yield* Effect.all(
          [
            limiter.left("seckill-user", userId),
            limiter.left("seckill-address", addressKey),
            limiter.left("pay", userId),
            limiter.left("default", userId),
          ],
          { concurrency: 4 },
        )
        const ofDevice = engine.deviceLeft(subject)
        const nowMs = serverClock.nowMs()
        const { standing, untilMs } = engine.standing(subject)
        return {
          standing,
          until: untilMs === undefined ? null : format(untilMs),
          limits: [...left, ...(ofDevice === undefined ? [] : [ofDevice])].map(
            ({ name, remaining, resetInMs }) => ({
              name,
              remaining,
              reset_at: format(Math.ceil(nowMs + resetInMs)),
            }),
          ),
        }
      }),
    )
  }),
)
