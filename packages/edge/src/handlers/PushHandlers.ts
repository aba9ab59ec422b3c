/** What surrounds event streams: tickets, and other topics for an open one. The streams are in `push/`. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Busy, NotFound, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import * as Effect from "effect/Effect"
import * as AccessToken from "../auth/AccessToken.ts"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import * as EventTickets from "../push/EventTickets.ts"
import * as Hub from "../push/Hub.ts"
import { Journal } from "../push/Journal.ts"
import { Push } from "../push/Push.ts"

export const layer = HttpApiBuilder.group(RestApi, "push", (handlers) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const verifier = yield* TokenVerifier
    const { hub } = yield* Push
    return handlers
      .handle(
        "ticket",
        Effect.fn("PushHandlers.ticket")(function* ({ request }) {
          const { userId } = yield* CurrentUser
          const token = (request.headers["authorization"] ?? "").split(" ").at(-1) ?? ""
          const times = AccessToken.timesOf(token)
          if (times === undefined) return yield* new Unauthenticated({})
          const ticket = yield* EventTickets.issue(journal, { userId, ...times })
          return { ticket, expires_in: EventTickets.LIFE_S }
        }),
        { uninterruptible: true },
      )
      .handle(
        "subscribe",
        Effect.fn("PushHandlers.subscribe")(function* ({ path, payload, request }) {
          const { authorization } = request.headers
          const user = authorization === undefined ? undefined : yield* verifier.verify(authorization)
          const { topics } = payload
          // A stream that nobody signed in for may hear what is everybody's.
          if (user === undefined && topics.some((topic) => !topic.startsWith("stock:"))) {
            return yield* new Unauthenticated({})
          }
          if (!Hub.isOwner(path.stream_id, user?.userId)) return yield* new NotFound({})
          if (Hub.edgeOf(path.stream_id) === hub.edgeId) {
            return hub.subscribe(path.stream_id, topics) ? null : yield* new NotFound({})
          }
          // Another edge has it, and reads the same journal.
          yield* Effect.mapError(journal.append({ stream_id: path.stream_id, topics }), () => new Busy({}))
          return null
        }),
        { uninterruptible: true },
      )
  }),
)
