/** Signs access tokens. */
import { randomUUID } from "node:crypto"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SignJWT } from "jose/jwt/sign"
import { KeyRing } from "./KeyRing.ts"

export const ISSUER = "floodgate"
export const AUDIENCE = "floodgate-edge"
/** How long an access token is good for. */
export const LIFETIME_S = 15 * 60

/** Whom a token speaks for. */
export interface Subject {
  readonly userId: number
  readonly username: string
  readonly roles: ReadonlyArray<string>
}

export class AccessTokens extends Context.Tag("@floodgate/identity/AccessTokens")<
  AccessTokens,
  {
    /**
     * An RS256 JWT, good for `LIFETIME_S` from `issuedAtMs`: Unix ms of the database's clock, as `LockedUser` has it.
     * The claim `iat_ms` carries it, because revocations are exact to the millisecond and `iat` has seconds.
     */
    readonly sign: (subject: Subject, issuedAtMs: number) => Effect.Effect<string, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<AccessTokens, never, KeyRing> = Layer.effect(
    AccessTokens,
    Effect.map(KeyRing, (ring) => ({
      sign: Effect.fn("AccessTokens.sign")(function* ({ userId, username, roles }: Subject, issuedAtMs) {
        const issuedAtS = Math.floor(issuedAtMs / 1000)
        const { kid, key } = yield* ring.signer(issuedAtMs)
        return yield* Effect.promise(() =>
          new SignJWT({ username, roles: [...roles], iat_ms: issuedAtMs })
            .setProtectedHeader({ alg: "RS256", kid, typ: "at+jwt" })
            .setIssuer(ISSUER)
            .setAudience(AUDIENCE)
            .setSubject(String(userId))
            .setIssuedAt(issuedAtS)
            .setNotBefore(issuedAtS)
            .setExpirationTime(issuedAtS + LIFETIME_S)
            .setJti(randomUUID())
            .sign(key),
        )
      }),
    })),
  )
}
