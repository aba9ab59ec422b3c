/**
 * What a user may do, checked again where the work is done: the edge's word is the first check, not the only one. A call
 * without a user is a service's own business; its credential was checked before.
 */
import { Forbidden, NotFound } from "@floodgate/contracts/errors/Errors"
import { type Permission, permits } from "@floodgate/contracts/Roles"
import * as Effect from "effect/Effect"
import type { CallContext } from "./GrpcServer.ts"

type Called = Pick<CallContext, "caller">

/** Fails with Forbidden where a user calls without the permission. */
export const requirePermission = (
  { caller }: Called,
  permission: Permission,
): Effect.Effect<void, Forbidden> =>
  caller === undefined || permits(caller.roles, permission)
    ? Effect.void
    : Effect.fail(new Forbidden({ permission }))

/**
 * Fails with NotFound where a user asks in the name of another, or of nobody (0): what isn't one's own isn't there.
 * Holders of `instead` may ask for anyone.
 */
export const requireSelf = (
  { caller }: Called,
  userId: bigint,
  instead?: Permission,
): Effect.Effect<void, NotFound> =>
  caller === undefined ||
  BigInt(caller.user_id) === userId ||
  (instead !== undefined && permits(caller.roles, instead))
    ? Effect.void
    : Effect.fail(new NotFound())
