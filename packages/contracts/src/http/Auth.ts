/**
 * Who is asking. An endpoint carries exactly one guard, {@link signedIn} or {@link permission}, or none where it is
 * public; a handler that needs {@link CurrentUser} doesn't compile on a public one.
 */
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import type { Banned, Busy, Forbidden, Unauthenticated } from "../errors/Errors.ts"
import { type Permission, permissions } from "../Roles.ts"
import { Failure } from "./Envelope.ts"

/** The verified bearer of the access token. */
export interface User {
  readonly userId: number
  readonly username: string
  readonly roles: ReadonlyArray<string>
}

export class CurrentUser extends Context.Tag("@floodgate/contracts/http/CurrentUser")<CurrentUser, User>() {}

const security = {
  bearer: HttpApiSecurity.bearer,
}

/** The identity of a guard: what it provides and what it fails with. */
export interface Guard<Name extends string, E> {
  readonly name: Name
  readonly [HttpApiMiddleware.TypeId]: {
    readonly provides: CurrentUser
    readonly failure: E
    readonly failureContext: never
  }
}

/**
 * Busy: whoever keeps the signing keys and the revocations could not be asked yet. Forbidden: the roles don't permit it,
 * or the service behind, which looks for itself, says so.
 */
type SignInError = Unauthenticated | Banned | Busy | Forbidden

const SignInFailure = Schema.Union(
  Failure("UNAUTHENTICATED"),
  Failure("BANNED"),
  Failure("BUSY"),
  Failure("FORBIDDEN"),
)

/** Any signed-in account. */
export const signedIn = HttpApiMiddleware.Tag<Guard<"signedIn", SignInError>>()(
  "@floodgate/contracts/http/signedIn",
  {
    failure: SignInFailure,
    provides: CurrentUser,
    security,
  },
)

const guard = <const P extends Permission>(name: P) =>
  HttpApiMiddleware.Tag<Guard<P, SignInError>>()(`@floodgate/contracts/http/permission/${name}`, {
    failure: SignInFailure,
    provides: CurrentUser,
    security,
  })

type PermissionGuard<P extends Permission> = ReturnType<typeof guard<P>>

const guards = new Map<string, unknown>(permissions.map((name) => [name, guard(name)]))
const permissionByKey = new Map<string, Permission>(
  permissions.map((name) => [(guards.get(name) as { readonly key: string }).key, name]),
)

/** A signed-in account whose roles carry the permission. The same tag for the same name. */
export const permission = <const P extends Permission>(name: P): PermissionGuard<P> =>
  guards.get(name) as PermissionGuard<P>

/** The permission that a guard's tag stands for; undefined for {@link signedIn}. */
export const permissionOf = (tag: { readonly key: string }): Permission | undefined =>
  permissionByKey.get(tag.key)
