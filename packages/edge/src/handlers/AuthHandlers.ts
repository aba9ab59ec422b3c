/** Accounts and sessions: identity decides, the edge translates. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type {
  Session as SessionMessage,
  User as UserMessage,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import type { Profile, Session } from "@floodgate/contracts/http/Session"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as Effect from "effect/Effect"
import { aboutSelf, callerOf, fromPeer } from "./Peer.ts"

const sessionOf = (message: SessionMessage): Session => ({
  access_token: message.accessToken,
  refresh_token: message.refreshToken,
  token_type: "Bearer",
  expires_in: message.expiresIn,
  user: {
    id: Number(message.user?.id ?? 0n),
    username: message.user?.username ?? "",
    roles: message.user?.roles ?? [],
  },
})

const profileOf = (message: UserMessage): Profile => ({
  id: Number(message.id),
  username: message.username,
  roles: message.roles,
  balance: Number(message.balance),
  created_at: format(Number(message.createdAtMs)),
  updated_at: format(Number(message.updatedAtMs)),
})

export const layer = HttpApiBuilder.group(RestApi, "auth", (handlers) =>
  Effect.gen(function* () {
    const identity = yield* IdentityClient
    return handlers
      .handle(
        "register",
        Effect.fn("AuthHandlers.register")(function* ({ payload }) {
          const user = yield* fromPeer(identity.register(payload))
          return { id: Number(user.id), username: user.username }
        }),
        { uninterruptible: true },
      )
      .handle(
        "login",
        Effect.fn("AuthHandlers.login")(function* ({ payload }) {
          return sessionOf(yield* fromPeer(identity.login(payload)))
        }),
        { uninterruptible: true },
      )
      .handle(
        "refresh",
        Effect.fn("AuthHandlers.refresh")(function* ({ payload }) {
          // Here the refusal is the token's, and the client's to hear.
          return sessionOf(yield* identity.refresh({ refreshToken: payload.refresh_token }))
        }),
        { uninterruptible: true },
      )
      .handle(
        "logout",
        Effect.fn("AuthHandlers.logout")(function* ({ payload }) {
          yield* fromPeer(identity.logout({ refreshToken: payload.refresh_token }))
          return null
        }),
        { uninterruptible: true },
      )
      .handle(
        "profile",
        Effect.fn("AuthHandlers.profile")(function* () {
          const user = yield* CurrentUser
          return profileOf(
            yield* aboutSelf(identity.getUser({ userId: BigInt(user.userId) }, callerOf(user))),
          )
        }),
      )
  }),
)
