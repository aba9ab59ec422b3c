/** Accounts and sessions: identity decides, the edge translates. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { WrongCredentials } from "@floodgate/contracts/errors/Errors"
import type {
  Session as SessionMessage,
  User as UserMessage,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import type { Order } from "@floodgate/contracts/http/Order"
import type { Profile, Session } from "@floodgate/contracts/http/Session"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ClientAddress from "../http/ClientAddress.ts"
import * as Exchange from "../http/Exchange.ts"
import { Limiter } from "../limits/Limiter.ts"
import { AccountAges } from "../risk/AccountAges.ts"
import { nextCursor } from "./Lists.ts"
import * as OrderView from "./OrderView.ts"
import { aboutSelf, callerOf, fromPeer } from "./Peer.ts"

/** An export holds as many of the newest orders; it says where the rest begins. */
const EXPORT_PAGE_SIZE = 100
const EXPORT_PAGES = 10

const isWrongCredentials = (error: unknown): boolean => error instanceof WrongCredentials

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
    const ordering = yield* OrderingClient
    const limiter = yield* Limiter
    const ages = yield* AccountAges
    const learn = (user: UserMessage | undefined): void => {
      if (user !== undefined) ages.learn(Number(user.id), Number(user.createdAtMs))
    }
    return handlers
      .handle(
        "register",
        Effect.fn("AuthHandlers.register")(function* ({ payload }) {
          const user = yield* fromPeer(identity.register(payload))
          learn(user)
          return { id: Number(user.id), username: user.username }
        }),
        { uninterruptible: true },
      )
      .handle(
        "login",
        Effect.fn("AuthHandlers.login")(function* ({ payload, request }) {
          // Paid in advance, so that a hundred guesses at once aren't free, and given back where it was no guess. By
          // account and address: whoever guesses somebody's password elsewhere can't lock them out here.
          const address = ClientAddress.limitKey(Exchange.of(request).address)
          const key = `${payload.username.toLowerCase()}|${address}`
          yield* limiter.check("login-failures", key)
          return yield* fromPeer(identity.login(payload)).pipe(
            Effect.onExit((exit) =>
              Exit.isFailure(exit) && Option.exists(Cause.failureOption(exit.cause), isWrongCredentials)
                ? Effect.void
                : Effect.sync(() => limiter.giveBack("login-failures", key)),
            ),
            Effect.tap(({ user }) => Effect.sync(() => learn(user))),
            Effect.map(sessionOf),
          )
        }),
        { uninterruptible: true },
      )
      .handle(
        "refresh",
        Effect.fn("AuthHandlers.refresh")(function* ({ payload }) {
          // Here the refusal is the token's, and the client's to hear.
          const session = yield* identity.refresh({ refreshToken: payload.refresh_token })
          learn(session.user)
          return sessionOf(session)
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
      .handle(
        "password",
        Effect.fn("AuthHandlers.password")(function* ({ payload }) {
          const user = yield* CurrentUser
          yield* fromPeer(
            identity.changePassword(
              {
                userId: BigInt(user.userId),
                oldPassword: payload.old_password,
                newPassword: payload.new_password,
              },
              callerOf(user),
            ),
          )
          return null
        }),
        { uninterruptible: true },
      )
      .handle(
        "logoutAll",
        Effect.fn("AuthHandlers.logoutAll")(function* () {
          const user = yield* CurrentUser
          yield* fromPeer(identity.logoutAll({ userId: BigInt(user.userId) }, callerOf(user)))
          return null
        }),
        { uninterruptible: true },
      )
      .handle(
        "export",
        Effect.fn("AuthHandlers.export")(function* () {
          const user = yield* CurrentUser
          const userId = BigInt(user.userId)

          const orders = Effect.gen(function* () {
            const found: Array<Order> = []
            let pageToken = ""
            for (let pages = 0; pages < EXPORT_PAGES; pages++) {
              const page = yield* fromPeer(
                ordering.listOrders({ userId, pageSize: EXPORT_PAGE_SIZE, pageToken }, callerOf(user)),
              )
              found.push(...page.orders.map(OrderView.of))
              pageToken = page.nextPageToken
              if (pageToken === "") break
            }
            return { found, next: nextCursor(pageToken) }
          })

          const [account, { found, next }] = yield* Effect.all(
            [fromPeer(identity.exportUser({ userId }, callerOf(user))), orders],
            { concurrency: 2 },
          )
          return {
            exported_at: format(yield* Clock.currentTimeMillis),
            account: JSON.parse(account.documentJson) as unknown,
            orders: found,
            orders_next_cursor: next,
          }
        }),
      )
      .handle(
        "erase",
        Effect.fn("AuthHandlers.erase")(function* ({ payload }) {
          const user = yield* CurrentUser
          yield* fromPeer(
            identity.eraseUser({ userId: BigInt(user.userId), password: payload.password }, callerOf(user)),
          )
          return null
        }),
        { uninterruptible: true },
      )
  }),
)
