/** The console's accounts: identity decides and keeps the audit. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as AdminLists from "./AdminLists.ts"
import * as AdminUserView from "./AdminUserView.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import { callerOf, fromPeer } from "./Peer.ts"
import * as RequestId from "./RequestId.ts"

export const layer = HttpApiBuilder.group(RestApi, "adminUsers", (handlers) =>
  Effect.gen(function* () {
    const identity = yield* IdentityClient
    return handlers
      .handle(
        "list",
        Effect.fn("AdminUserHandlers.list")(function* ({ request, urlParams }) {
          const user = yield* CurrentUser
          const { banned, q } = urlParams
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "users",
            columns: AdminUserView.columns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  identity.listUsers(
                    {
                      q: q ?? "",
                      ...(banned === undefined ? undefined : { banned: banned === "true" }),
                      ...AdminLists.spanOf(urlParams),
                      ...pageOf(at),
                    },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ nextPageToken, users }) => ({
                  items: users.map(AdminUserView.of),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
      .handle(
        "get",
        Effect.fn("AdminUserHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          const found = yield* fromPeer(identity.getUser({ userId: BigInt(path.id) }, callerOf(user)))
          return AdminUserView.of(found)
        }),
      )
      .handle(
        "ban",
        Effect.fn("AdminUserHandlers.ban")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const { until } = payload
          if (until !== undefined && until <= (yield* Clock.currentTimeMillis)) {
            return yield* InvalidInput.at("until", "must be in the future")
          }
          const banned = yield* fromPeer(
            identity.banUser(
              {
                userId: BigInt(path.id),
                reason: payload.reason,
                requestId: RequestId.of(request, user),
                version: BigInt(payload.version ?? 0),
                untilMs: BigInt(until ?? 0),
              },
              callerOf(user),
            ),
          )
          return AdminUserView.of(banned)
        }),
        { uninterruptible: true },
      )
      .handle(
        "unban",
        Effect.fn("AdminUserHandlers.unban")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const unbanned = yield* fromPeer(
            identity.unbanUser(
              {
                userId: BigInt(path.id),
                reason: payload.reason,
                requestId: RequestId.of(request, user),
                version: BigInt(payload.version ?? 0),
              },
              callerOf(user),
            ),
          )
          return AdminUserView.of(unbanned)
        }),
        { uninterruptible: true },
      )
      .handle(
        "roles",
        Effect.fn("AdminUserHandlers.roles")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const changed = yield* fromPeer(
            identity.setRoles(
              {
                userId: BigInt(path.id),
                roles: [...payload.roles],
                reason: payload.reason,
                requestId: RequestId.of(request, user),
                version: BigInt(payload.version ?? 0),
              },
              callerOf(user),
            ),
          )
          return AdminUserView.of(changed)
        }),
        { uninterruptible: true },
      )
  }),
)
