/** The keys that sign access tokens: identity keeps them. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as Effect from "effect/Effect"
import { callerOf, fromPeer } from "./Peer.ts"
import * as RequestId from "./RequestId.ts"

export const layer = HttpApiBuilder.group(RestApi, "keys", (handlers) =>
  Effect.gen(function* () {
    const identity = yield* IdentityClient
    return handlers.handle(
      "rotate",
      Effect.fn("KeyHandlers.rotate")(function* ({ payload, request }) {
        const user = yield* CurrentUser
        const key = yield* fromPeer(
          identity.rotateKeys(
            { reason: payload.reason, requestId: RequestId.of(request, user) },
            callerOf(user),
          ),
        )
        return {
          kid: key.kid,
          created_at: format(Number(key.createdAtMs)),
          signs_from: format(Number(key.signsFromMs)),
        }
      }),
      { uninterruptible: true },
    )
  }),
)
