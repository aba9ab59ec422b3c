/** The edge's own audit trail: changes of limits, risk rules and experiments, asked for as that of any service. */
import { create } from "@bufbuild/protobuf"
import type { Busy, Forbidden, InvalidInput } from "@floodgate/contracts/errors/Errors"
import {
  type ListAuditRequest,
  ListAuditRequestSchema,
  type ListAuditResponse,
  ListAuditResponseSchema,
} from "@floodgate/contracts/gen/floodgate/audit/v1/audit_pb"
import type { Caller } from "@floodgate/contracts/rpc/ServiceCredential"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class AuditTrail extends Context.Tag("@floodgate/edge/audit/AuditTrail")<
  AuditTrail,
  {
    /** As `ListAudit` of a service: newest first, for a caller who holds `audit:read`. */
    readonly listAudit: (
      request: Partial<Omit<ListAuditRequest, "$typeName" | "$unknown">>,
      options: { readonly caller: Caller },
    ) => Effect.Effect<ListAuditResponse, Forbidden | InvalidInput | Busy>
  }
>() {}

export const layer = Layer.effect(
  AuditTrail,
  Effect.map(Mysql, (mysql) =>
    AuditTrail.of({
      listAudit: (request, { caller }) =>
        AuditList.handler(create(ListAuditRequestSchema, request), {
          caller,
          peer: "edge",
          deadlineMs: Number.POSITIVE_INFINITY,
        }).pipe(
          Effect.map((response) => create(ListAuditResponseSchema, response)),
          Effect.provideService(Mysql, mysql),
        ),
    }),
  ),
)
