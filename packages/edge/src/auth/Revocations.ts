/**
 * Tokens that were revoked before they expired: by a ban, a new password, other roles, a sign-out everywhere. Identity
 * numbers them by a revision; the edge loads them all before it is ready, asks for newer ones every 300 ms, and looks
 * here at every use of a token. While identity can't be reached, the last known list stays in force, so that those who
 * are signed in go on buying.
 */
import type { Revocation } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import { ServerTime } from "@floodgate/runtime/mysql/ServerTime"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type Entry, RevocationList, type Verdict } from "./RevocationList.ts"

/** How old our knowledge may get: a third of the second within which a ban must hold. */
export const POLL_MS = 300
/** One question; a slow answer must not take the time of the next ones. */
const CALL_MS = 500
/** Of one round: a page is of identity's choosing, and there is always a next round. */
const MAX_PAGES = 100

export type Listener = (entry: Entry) => void

export class Revocations extends Context.Tag("@floodgate/edge/auth/Revocations")<
  Revocations,
  {
    /** Whether the list has been loaded: before that, no token can be told to be good. */
    readonly isLoaded: () => boolean
    /** What speaks against a token issued at `issuedMs` (Unix ms); undefined: nothing. A lookup, for every request. */
    readonly check: (userId: number, issuedMs: number) => Verdict | undefined
    /** Calls back with every entry that is heard from now on, while the scope is open. Must not throw. */
    readonly onRevoked: (listener: Listener) => Effect.Effect<void, never, Scope.Scope>
  }
>() {}

const entryOf = (message: Revocation): Entry => ({
  userId: Number(message.userId),
  notBeforeMs: Number(message.notBeforeMs),
  banned: message.banned,
  banUntilMs: message.banUntilMs === undefined ? undefined : Number(message.banUntilMs),
})

export const make = Effect.gen(function* () {
  const identity = yield* IdentityClient
  const readiness = yield* Readiness
  const clock = yield* Effect.clock
  const serverTime = yield* ServerTime
  const list = new RevocationList()
  const listeners = new Set<Listener>()
  let since = 0n
  let loaded = false
  let failing = false

  const page = Effect.gen(function* () {
    const answer = yield* identity.listRevocations(
      { sinceRevision: since },
      // A crowd that makes identity slow must not keep the banned in.
      { deadlineMs: CALL_MS, bypassBreaker: true },
    )
    if (answer.revision < since) {
      // Another history, of a database that was put back: what it holds is asked for from its beginning.
      since = 0n
      return true
    }
    const nowMs = clock.unsafeCurrentTimeMillis()
    for (const message of answer.entries) {
      const entry = entryOf(message)
      list.add(entry, nowMs)
      if (loaded) for (const listener of listeners) listener(entry)
    }
    since = answer.revision
    return answer.more
  })

  const round = Effect.gen(function* () {
    let pages = 0
    while (yield* page) if (++pages === MAX_PAGES) return
    loaded = true
    if (failing) {
      failing = false
      yield* Effect.logInfo("identity's revocations can be read again")
    }
    list.prune(clock.unsafeCurrentTimeMillis())
  }).pipe(
    // Defects too: a list that silently stands still would let the banned in.
    Effect.catchAllCause((cause) => {
      if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      // Once a streak: three times a second would fill the log.
      if (failing) return Effect.void
      failing = true
      return Effect.logWarning("identity's revocations can't be read; the last known hold", cause)
    }),
    // Three spans a second of asking in vain would be most of the traces.
    Effect.withTracerEnabled(false),
  )

  yield* readiness.register(
    "revocations",
    Effect.sync(() => loaded),
  )
  yield* Effect.forkScoped(Effect.repeat(round, Schedule.spaced(POLL_MS)))

  return Revocations.of({
    isLoaded: () => loaded,
    // A ban ends by identity's time.
    check: (userId, issuedMs) =>
      list.check(userId, issuedMs, clock.unsafeCurrentTimeMillis() + serverTime.offsetMs()),
    onRevoked: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          listeners.add(listener)
        }),
        () => Effect.sync(() => listeners.delete(listener)),
      ),
  })
})

export const layer = Layer.scoped(Revocations, make)
