/**
 * Who may send a body that is larger than usual. Its bytes are held in memory, so they are read only from somebody who
 * may call the route, and from a few at a time; whoever else asks is answered without them, as the route's guard says.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { Busy, type FloodgateError } from "@floodgate/contracts/errors/Errors"
import type { User } from "@floodgate/contracts/http/Auth"
import { permits } from "@floodgate/contracts/Roles"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import type { Route } from "./RouteTable.ts"

/** Bodies that are held at once; one more is Busy. */
export const AT_ONCE = 8

const RETRY_MS = 1_000

export type Verdict =
  /** Read it. */
  | { readonly _tag: "Read" }
  /** Go on without it. */
  | { readonly _tag: "Skip" }
  | { readonly _tag: "Refused"; readonly error: FloodgateError }

const skip: Verdict = { _tag: "Skip" }
const read: Verdict = { _tag: "Read" }
const refused: Verdict = { _tag: "Refused", error: new Busy({ retry_after_ms: RETRY_MS }) }

export const make = Effect.gen(function* () {
  const verifier = yield* TokenVerifier
  const run = yield* FiberSet.makeRuntime<never>()
  let held = 0

  /** Calls back once, at once where the token's key is known. */
  return (
    route: Route,
    request: IncomingMessage,
    response: ServerResponse,
    done: (verdict: Verdict) => void,
  ): void => {
    const judge = (user: User | undefined): void => {
      const may =
        user !== undefined && (route.permission === undefined || permits(user.roles, route.permission))
      if (!may) done(skip)
      else if (held >= AT_ONCE) done(refused)
      else {
        held++
        response.once("close", () => {
          held--
        })
        done(read)
      }
    }
    const user = verifier.verifySync(request.headers.authorization)
    if (user === "unsure") {
      run(
        Effect.match(verifier.verify(request.headers.authorization), {
          onFailure: () => judge(undefined),
          onSuccess: judge,
        }),
      )
    } else judge(user === "banned" ? undefined : user)
  }
})
