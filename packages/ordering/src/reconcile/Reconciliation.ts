/** The answer to GetReconciliation. */
import * as CallerAccess from "@floodgate/runtime/grpc/CallerAccess"
import type * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Drift, DriftStore } from "./DriftStore.ts"

const said = <K extends string>(name: K, value: number | undefined) =>
  (value === undefined ? {} : { [name]: BigInt(value) }) as { readonly [_ in K]?: bigint }

const toMessage = (drift: Drift) => ({
  kind: drift.kind,
  subject: drift.subject,
  productId: BigInt(drift.productId ?? 0),
  orderNum: drift.orderNum ?? "",
  ...said("redis", drift.redis),
  ...said("mysql", drift.mysql),
  ...said("ledger", drift.ledger),
  repaired: drift.repaired,
  firstSeenAtMs: BigInt(drift.firstSeenMs),
  lastSeenAtMs: BigInt(drift.lastSeenMs),
})

/** For holders of report:read, and for services. */
export const get = Effect.fn("Reconciliation.get")(function* (
  drifts: Context.Tag.Service<DriftStore>,
  context: Pick<GrpcServer.CallContext, "caller">,
) {
  yield* CallerAccess.requirePermission(context, "report:read")
  const last = yield* orBusy(drifts.lastRound)
  const list = yield* orBusy(drifts.list)
  return {
    checkedAtMs: BigInt(last.checkedAtMs ?? 0),
    drift: list.map(toMessage),
    ledgersOk: last.complete && list.every(({ repaired }) => repaired),
  }
})
