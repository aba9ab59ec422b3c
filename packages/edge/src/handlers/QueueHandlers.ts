/** The waiting room's two routes. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import * as Effect from "effect/Effect"
import { WaitingRoom } from "../queue/WaitingRoom.ts"
import { Devices } from "../risk/Devices.ts"

export const layer = HttpApiBuilder.group(RestApi, "queue", (handlers) =>
  Effect.gen(function* () {
    const room = yield* WaitingRoom
    const devices = yield* Devices
    return handlers
      .handle(
        "join",
        Effect.fn("QueueHandlers.join")(function* ({ path, payload, request }) {
          const { userId } = yield* CurrentUser
          const device = devices.signedIdOf(request.headers)
          return yield* room.join({ userId, productId: path.id, device, ticket: payload.ticket })
        }),
        { uninterruptible: true },
      )
      .handle(
        "place",
        Effect.fn("QueueHandlers.place")(function* ({ path, request }) {
          const { userId } = yield* CurrentUser
          const device = devices.signedIdOf(request.headers)
          return yield* room.place({ userId, productId: path.id, device, ticket: undefined })
        }),
      )
  }),
)
