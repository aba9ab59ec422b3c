/** The switch of all sales: inventory keeps it, and the shards obey it. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { SaleSwitch } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import type { SaleState } from "@floodgate/contracts/http/SaleApi"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as Effect from "effect/Effect"
import { callerOf, fromPeer } from "./Peer.ts"
import * as RequestId from "./RequestId.ts"

const stateOf = (sale: SaleSwitch): SaleState => {
  const touched = sale.revision > 0n
  return {
    paused: sale.paused,
    revision: Number(sale.revision),
    reason: touched ? sale.reason : null,
    changed_by: sale.changedBy === 0n ? null : Number(sale.changedBy),
    changed_at: touched ? format(Number(sale.changedAtMs)) : null,
  }
}

interface Write {
  readonly payload: { readonly reason: string }
  readonly request: HttpServerRequest.HttpServerRequest
}

export const layer = HttpApiBuilder.group(RestApi, "sale", (handlers) =>
  Effect.gen(function* () {
    const inventory = yield* InventoryClient

    const set = (paused: boolean) =>
      Effect.fn("SaleHandlers.set")(function* ({ payload, request }: Write) {
        const user = yield* CurrentUser
        const sale = yield* fromPeer(
          inventory.setSaleSwitch(
            { paused, reason: payload.reason, requestId: RequestId.of(request, user) },
            callerOf(user),
          ),
        )
        return stateOf(sale)
      })

    return handlers
      .handle(
        "get",
        Effect.fn("SaleHandlers.get")(function* () {
          const user = yield* CurrentUser
          return stateOf(yield* fromPeer(inventory.getSaleSwitch({}, callerOf(user))))
        }),
      )
      .handle("pause", set(true), { uninterruptible: true })
      .handle("resume", set(false), { uninterruptible: true })
  }),
)
