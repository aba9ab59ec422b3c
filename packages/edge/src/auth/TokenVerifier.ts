/**
 * Verifies access tokens in this process: identity's public keys are fetched at start, every half minute, and when a
 * token names a key that isn't known (at most once a second). While identity can't be reached, the keys at hand go on
 * serving. Every use of a token asks the revocations, also of one that was verified before.
 */
import { Banned, Busy, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import type { User } from "@floodgate/contracts/http/Auth"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import { ServerTime } from "@floodgate/runtime/mysql/ServerTime"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { type Keys, keysOf, read, type Verified } from "./AccessToken.ts"
import { Revocations } from "./Revocations.ts"
import { TokenCache } from "./TokenCache.ts"

/** A new key is published 60 s before it signs. */
const REFRESH_MS = 30_000
/** While there are no keys at all, nobody can be signed in: ask more often. */
const REFRESH_WITHOUT_KEYS_MS = 500
const MIN_REFETCH_MS = 1_000
const MAX_TOKENS = 20_000

const NO_KEYS: Keys = new Map()

export class TokenVerifier extends Context.Tag("@floodgate/edge/auth/TokenVerifier")<
  TokenVerifier,
  {
    /**
     * The bearer of an `Authorization` header, without waiting: undefined where it isn't a good token (or one that was
     * revoked), `unsure` where {@link verify} may still find it good.
     */
    readonly verifySync: (authorization: string | undefined) => User | "banned" | "unsure" | undefined
    /**
     * As `verifySync`, fetching keys where that may help. Busy where keys or revocations couldn't be fetched: whether
     * the token is good isn't known then, and a client must not throw it away.
     */
    readonly verify: (
      authorization: string | undefined,
    ) => Effect.Effect<User, Unauthenticated | Banned | Busy>
    /** The key set as identity published it. Busy while none could be fetched yet. */
    readonly jwks: Effect.Effect<string, Busy>
  }
>() {}

const BEARER = /^Bearer +([A-Za-z0-9_.-]+)$/i

export const make = Effect.gen(function* () {
  const identity = yield* IdentityClient
  const readiness = yield* Readiness
  const revocations = yield* Revocations
  const clock = yield* Effect.clock
  const serverTime = yield* ServerTime
  const cache = new TokenCache(MAX_TOKENS)
  const one = yield* Effect.makeSemaphore(1)
  let keys: Keys | undefined
  let published = ""
  let failing = false
  let fetchedMs = Number.NEGATIVE_INFINITY

  const fetch = Effect.gen(function* () {
    const { jwksJson } = yield* identity.getJwks({}, { bypassBreaker: true })
    const found = keysOf(jwksJson)
    if (found === undefined || found.size === 0) {
      return yield* Effect.logError("identity published no usable key set")
    }
    // A key that is gone takes the tokens it signed with it.
    if (keys !== undefined && [...keys.keys()].some((kid) => !found.has(kid))) cache.clear()
    keys = found
    published = jwksJson
    failing = false
  }).pipe(
    Effect.catchAll((error) => {
      // Once a streak: it is tried every half second while there are no keys.
      if (failing) return Effect.void
      failing = true
      return Effect.logWarning(`identity's keys can't be fetched: ${error._tag}`)
    }),
    Effect.zipRight(
      Effect.sync(() => {
        fetchedMs = clock.unsafeCurrentTimeMillis()
      }),
    ),
    Effect.withSpan("TokenVerifier.fetch", { root: true, captureStackTrace: false }),
  )

  // Whoever waited for the fetch of another is served by it.
  const refetch = Effect.suspend(() => {
    const askedMs = clock.unsafeCurrentTimeMillis()
    return one.withPermits(1)(
      Effect.suspend(() =>
        fetchedMs >= askedMs || clock.unsafeCurrentTimeMillis() - fetchedMs < MIN_REFETCH_MS
          ? Effect.void
          : fetch,
      ),
    )
  })

  const current = (verified: Verified): User | "banned" | "unsure" | undefined => {
    if (!revocations.isLoaded()) return "unsure"
    const verdict = revocations.check(verified.user.userId, verified.issuedMs)
    if (verdict === undefined) return verified.user
    return verdict === "banned" ? "banned" : undefined
  }

  const verifySync = (authorization: string | undefined): User | "banned" | "unsure" | undefined => {
    if (authorization === undefined) return undefined
    const match = BEARER.exec(authorization)
    if (match === null) return undefined
    const token = match[1]!
    // As identity signs: by MySQL's time.
    const nowMs = clock.unsafeCurrentTimeMillis() + serverTime.offsetMs()
    const known = cache.get(token)
    if (known !== undefined) return known.expiresMs > nowMs ? current(known) : undefined
    const verified = read(token, keys ?? NO_KEYS, nowMs)
    if (verified === undefined) return undefined
    if (verified === "unknown_key") return "unsure"
    cache.set(token, verified)
    return current(verified)
  }

  yield* readiness.register(
    "jwks",
    Effect.sync(() => keys !== undefined),
  )
  yield* Effect.forkScoped(
    Effect.repeat(
      one.withPermits(1)(fetch),
      Schedule.identity<void>().pipe(
        Schedule.addDelay(() => (keys === undefined ? REFRESH_WITHOUT_KEYS_MS : REFRESH_MS)),
      ),
    ),
  )

  return TokenVerifier.of({
    verifySync,
    verify: Effect.fnUntraced(function* (authorization: string | undefined) {
      let user = verifySync(authorization)
      if (user === "unsure" && revocations.isLoaded()) {
        yield* refetch
        user = verifySync(authorization)
        // The key is nobody's, as far as identity could be asked.
        if (user === "unsure" && keys !== undefined && !failing) user = undefined
      }
      if (user === undefined) return yield* new Unauthenticated({})
      if (user === "banned") return yield* new Banned({})
      if (user === "unsure") return yield* new Busy({ retry_after_ms: REFRESH_WITHOUT_KEYS_MS })
      return user
    }),
    jwks: Effect.suspend(() =>
      keys === undefined
        ? Effect.fail(new Busy({ retry_after_ms: REFRESH_WITHOUT_KEYS_MS }))
        : Effect.succeed(published),
    ),
  })
})

export const layer = Layer.scoped(TokenVerifier, make)
