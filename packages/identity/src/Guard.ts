/** Puts the access table before every handler: none can be reached around it. */
import { Forbidden } from "@floodgate/contracts/errors/Errors"
import type { IdentityRpc } from "@floodgate/contracts/rpc/Services"
import type * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { access, decide, type Method } from "./domain/Access.ts"

type AnyHandler = (
  request: { readonly userId?: unknown },
  context: GrpcServer.CallContext,
) => Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>

const isStream = (method: Method): boolean => method === "watchRevocations"

const guard =
  (method: Method, handler: AnyHandler): AnyHandler =>
  (request, context) => {
    const userId = typeof request.userId === "bigint" ? request.userId : undefined
    const verdict = decide(method, { peer: context.peer, caller: context.caller, userId })
    if (verdict.allowed) return handler(request, context)
    const refusal = new Forbidden(verdict.permission === undefined ? {} : { permission: verdict.permission })
    return isStream(method) ? Stream.fail(refusal) : Effect.fail(refusal)
  }

/** The same handlers, each refusing with Forbidden what the table doesn't allow. */
export const guarded = <const H extends GrpcServer.Handlers<typeof IdentityRpc, any>>(handlers: H): H =>
  Object.fromEntries(
    (Object.keys(access) as ReadonlyArray<Method>).map((method) => [
      method,
      guard(method, handlers[method] as unknown as AnyHandler),
    ]),
  ) as unknown as H
