/** Calls to the services, as handlers make them. */
import { Forbidden, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import type { User } from "@floodgate/contracts/http/Auth"
import type { Caller } from "@floodgate/contracts/rpc/ServiceCredential"
import * as Effect from "effect/Effect"

/** The user on whose behalf a call is made. */
export const callerOf = (user: User): { readonly caller: Caller } => ({
  caller: { user_id: user.userId, username: user.username, roles: user.roles },
})

/**
 * A service that refuses our own credential is a defect of the deployment: told to a user as 401, it would make every
 * client throw its good token away.
 */
export const fromPeer = <A, E, R>(
  self: Effect.Effect<A, E, R>,
): Effect.Effect<A, Exclude<E, Unauthenticated>, R> =>
  Effect.catchAll(self, (error) =>
    error instanceof Unauthenticated
      ? Effect.die(new Error("A service refused the edge's credential"))
      : Effect.fail(error as Exclude<E, Unauthenticated>),
  )

/** A call that users make about themselves. It takes no permission, so being refused for want of one is a defect, too. */
export const aboutSelf = <A, E, R>(
  self: Effect.Effect<A, E, R>,
): Effect.Effect<A, Exclude<E, Unauthenticated | Forbidden>, R> =>
  Effect.catchAll(fromPeer(self), (error) =>
    error instanceof Forbidden
      ? Effect.die(new Error("A service refused a user what is their own"))
      : Effect.fail(error as Exclude<E, Unauthenticated | Forbidden>),
  )
