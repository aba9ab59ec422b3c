/** Whether the stores agree: ordering's reconciler looks. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { Drift as Message } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import type { Drift } from "@floodgate/contracts/http/Reconciliation"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import * as Effect from "effect/Effect"
import { callerOf, fromPeer } from "./Peer.ts"

const said = (value: bigint | undefined): number | null => (value === undefined ? null : Number(value))

const driftOf = (message: Message): Drift => ({
  kind: message.kind,
  ...(message.productId === 0n ? {} : { product_id: Number(message.productId) }),
  ...(message.orderNum === "" ? {} : { order_num: message.orderNum }),
  redis: said(message.redis),
  mysql: said(message.mysql),
  ledger: said(message.ledger),
  repaired: message.repaired,
})

export const layer = HttpApiBuilder.group(RestApi, "reconciliation", (handlers) =>
  Effect.gen(function* () {
    const ordering = yield* OrderingClient
    return handlers.handle(
      "get",
      Effect.fn("ReconciliationHandlers.get")(function* () {
        const answer = yield* fromPeer(ordering.getReconciliation({}, callerOf(yield* CurrentUser)))
        return {
          checked_at: answer.checkedAtMs === 0n ? null : format(Number(answer.checkedAtMs)),
          drift: answer.drift.map(driftOf),
          ledgers_ok: answer.ledgersOk,
        }
      }),
    )
  }),
)
