/** The audit trail of all services, asked for at once. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import type { AuditEntry as Message } from "@floodgate/contracts/gen/floodgate/audit/v1/audit_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import type { AuditEntry, AuditService } from "@floodgate/contracts/http/Audit"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as Effect from "effect/Effect"
import { AuditTrail } from "../audit/AuditTrail.ts"
import * as AdminLists from "./AdminLists.ts"
import * as AuditMerge from "./AuditMerge.ts"
import { withQueryNames } from "./Lists.ts"
import { callerOf, fromPeer } from "./Peer.ts"

const columns: ReadonlyArray<keyof AuditEntry> = [
  "id",
  "at",
  "service",
  "actor_id",
  "actor_name",
  "action",
  "target_type",
  "target_id",
  "before",
  "after",
  "reason",
  "trace_id",
  "hash",
]

const textOrNull = (text: string): string | null => (text === "" ? null : text)

/** What a service wrote as JSON; its text, should it be none. */
const jsonOrNull = (text: string): unknown => {
  if (text === "") return null
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const entryOf = (
  service: AuditService,
  message: Message,
  names: ReadonlyMap<bigint, string>,
): AuditEntry => ({
  id: `${service}-${message.id}`,
  at: format(Number(message.atMs)),
  service,
  actor_id: message.actorId === 0n ? null : Number(message.actorId),
  actor_name: names.get(message.actorId) ?? null,
  action: message.action,
  target_type: message.targetType,
  target_id: message.targetId,
  before: jsonOrNull(message.beforeJson),
  after: jsonOrNull(message.afterJson),
  reason: message.reason,
  trace_id: textOrNull(message.traceId),
  hash: textOrNull(message.hash),
})

export const layer = HttpApiBuilder.group(RestApi, "audit", (handlers) =>
  Effect.gen(function* () {
    const identity = yield* IdentityClient
    const clients = {
      identity,
      inventory: yield* InventoryClient,
      ordering: yield* OrderingClient,
      payment: yield* PaymentClient,
      edge: yield* AuditTrail,
    } satisfies Record<AuditService, unknown>

    return handlers.handle(
      "list",
      Effect.fn("AuditHandlers.list")(function* ({ request, urlParams }) {
        const options = callerOf(yield* CurrentUser)

        const namesOf = (entries: ReadonlyArray<readonly [AuditService, Message]>) => {
          const userIds = [...new Set(entries.map(([, { actorId }]) => actorId))].filter((id) => id !== 0n)
          return userIds.length === 0
            ? Effect.succeed(new Map<bigint, string>())
            : Effect.map(
                fromPeer(identity.batchGetUsers({ userIds }, options)),
                ({ users }) =>
                  new Map(
                    users.filter((user) => user.username !== "").map((user) => [user.id, user.username]),
                  ),
              )
        }

        const page = Effect.fnUntraced(function* (at: { readonly limit: number; readonly cursor?: string }) {
          const start = at.cursor === undefined ? AuditMerge.beginning : AuditMerge.parseCursor(at.cursor)
          if (start === undefined) return yield* InvalidInput.at("cursor", "is not a cursor of this list")
          const filter = {
            ...(urlParams.actor === undefined ? undefined : { actorId: BigInt(urlParams.actor) }),
            action: urlParams.action ?? "",
            target: urlParams.target ?? "",
            ...AdminLists.spanOf(urlParams),
            pageSize: at.limit,
          }
          const { entries, next } = yield* AuditMerge.take(start, at.limit, (service, pageToken) =>
            withQueryNames(fromPeer(clients[service].listAudit({ ...filter, pageToken }, options))),
          )
          const names = yield* namesOf(entries)
          return {
            items: entries.map(([service, message]) => entryOf(service, message, names)),
            next_cursor: AuditMerge.formatCursor(next),
          }
        })

        return yield* AdminLists.answer({ request, query: urlParams, name: "audit", columns, page })
      }),
    )
  }),
)
