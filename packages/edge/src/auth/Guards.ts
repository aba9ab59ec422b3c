/** The guards of the contract, made real: a token verified here, a permission looked up in the one table of roles. */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Forbidden } from "@floodgate/contracts/errors/Errors"
import { permission, signedIn, type User } from "@floodgate/contracts/http/Auth"
import { type Permission, permits } from "@floodgate/contracts/Roles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TokenVerifier } from "./TokenVerifier.ts"

/** The header itself, not what HttpApi cuts out of it: it takes any scheme for a bearer's. */
const bearer = (verifier: TokenVerifier["Type"]) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    verifier.verify(request.headers["authorization"]),
  )

const signedInLayer = Layer.effect(
  signedIn,
  Effect.map(TokenVerifier, (verifier) => ({ bearer: () => bearer(verifier) })),
)

const holding = (name: Permission) => (user: User) =>
  permits(user.roles, name) ? Effect.succeed(user) : Effect.fail(new Forbidden({ permission: name }))

const permissionLayer = <const P extends Permission>(name: P) =>
  Layer.effect(
    permission(name),
    Effect.map(TokenVerifier, (verifier) => ({
      bearer: () => Effect.flatMap(bearer(verifier), holding(name)),
    })),
  )

/** One for each permission that a route asks for. */
export const layer = Layer.mergeAll(
  signedInLayer,
  permissionLayer("product:write"),
  permissionLayer("user:read"),
  permissionLayer("user:ban"),
  permissionLayer("user:roles"),
  permissionLayer("order:read"),
  permissionLayer("order:write"),
  permissionLayer("queue:read"),
  permissionLayer("queue:write"),
  permissionLayer("payment:read"),
  permissionLayer("payment:write"),
  permissionLayer("webhook:read"),
  permissionLayer("webhook:write"),
  permissionLayer("audit:read"),
  permissionLayer("key:write"),
  permissionLayer("sale:write"),
  permissionLayer("sale:read"),
  permissionLayer("stock:write"),
  permissionLayer("stock:read"),
  permissionLayer("product:read"),
  permissionLayer("report:read"),
)
