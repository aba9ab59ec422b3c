/** The waiting room's two routes. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import * as Effect from "effect/Effect"
import { WaitingRoom } from "../queue/WaitingRoom.ts"

export const layer = HttpApiBuilder.group(RestApi, "queue", (handlers) =>
  Effect.gen(function* () {
    const room = yield* WaitingRoom
    return handlers
      .handle(
        "join",
        Effect.fn("QueueHandlers.join")(function* ({ path, payload }) {
          const { userId } = yield* CurrentUser
          return yield* room.join({ userId, productId: path.id, device: undefined, ticket: payload.ticket })
        }),
        { uninterruptible: true },
      )
      .handle(
        "place",
        Effect.fn("QueueHandlers.place")(function* ({ path }) {
          const { userId } = yield* CurrentUser
          return yield* room.place({ userId, productId: path.id, device: undefined, ticket: undefined })
        }),
      )
  }),
)
