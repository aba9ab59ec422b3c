/** Signs access tokens, and publishes the keys by which others verify them. */
import { randomUUID } from "node:crypto"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SignJWT } from "jose/jwt/sign"
import { importJWK } from "jose/key/import"

export const ISSUER = "floodgate"
export const AUDIENCE = "floodgate-edge"
/** How long an access token is good for. */
export const LIFETIME_S = 15 * 60

/** A new key is published this long before it signs, so that every verifier knows it by then. */
const PUBLISH_AHEAD_MS = 60_000

const KEY = "JWT_KEYS_FILE"

/** A private RSA key as a JSON Web Key (RFC 7518, §6.3); at least 2048 bits, that is 342 characters of base64url. */
const PrivateJwk = Schema.Struct({
  kty: Schema.Literal("RSA"),
  n: Schema.String.pipe(Schema.minLength(342)),
  e: Schema.String,
  d: Schema.String,
  p: Schema.String,
  q: Schema.String,
  dp: Schema.String,
  dq: Schema.String,
  qi: Schema.String,
})

const KeyFile = Schema.Struct({
  keys: Schema.NonEmptyArray(
    Schema.Struct({
      kid: Schema.NonEmptyString,
      created_at: Schema.String.pipe(Schema.filter((text) => !Number.isNaN(Date.parse(text)))),
      private_jwk: PrivateJwk,
    }),
  ),
})

type StoredKey = (typeof KeyFile.Type)["keys"][number]

const decodeKeyFile = Schema.decodeUnknownOption(KeyFile)

/** The content of `JWT_KEYS_FILE`, newest key first. What is wrong with it is never quoted: it holds private keys. */
export const keys: Config.Config<ReadonlyArray<StoredKey>> = AppConfig.secretJsonFile(KEY).pipe(
  Config.mapOrFail((json) =>
    Option.match(decodeKeyFile(json), {
      onNone: () =>
        Either.left(
          ConfigError.InvalidData(
            [KEY],
            'must be {"environment", "keys": [{"kid", "created_at", "private_jwk": an RSA key of 2048 bits or more}]}',
          ),
        ),
      onSome: (file) =>
        Either.right(
          [...file.keys].sort(
            (a, b) => Date.parse(b.created_at) - Date.parse(a.created_at),
          ) as ReadonlyArray<StoredKey>,
        ),
    }),
  ),
)

/** Whom a token speaks for. */
export interface Subject {
  readonly userId: number
  readonly username: string
  readonly roles: ReadonlyArray<string>
}

export class AccessTokens extends Context.Tag("@floodgate/identity/AccessTokens")<
  AccessTokens,
  {
    /** An RS256 JWT, good for `LIFETIME_S`. */
    readonly sign: (subject: Subject) => Effect.Effect<string>
    /** The JSON Web Key Set with the public keys (RFC 7517). */
    readonly jwks: string
  }
>() {
  static readonly layer: Layer.Layer<AccessTokens, AppConfig.ConfigInvalid> = Layer.effect(
    AccessTokens,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const stored = yield* AppConfig.load(keys)
  const signers = yield* Effect.forEach(stored, ({ kid, created_at, private_jwk }) =>
    Effect.map(
      Effect.tryPromise({
        try: () => importJWK({ ...private_jwk }, "RS256"),
        catch: () =>
          new AppConfig.ConfigInvalid({ issues: [`${KEY}: key ${kid} isn't a usable private key`] }),
      }),
      (key) => ({ kid, key, signsFromMs: Date.parse(created_at) + PUBLISH_AHEAD_MS }),
    ),
  )
  const jwks = JSON.stringify({
    keys: stored.map(({ kid, private_jwk: { kty, n, e } }) => ({ kty, n, e, kid, alg: "RS256", use: "sig" })),
  })

  return AccessTokens.of({
    jwks,
    sign: Effect.fn("AccessTokens.sign")(function* ({ userId, username, roles }: Subject) {
      const nowMs = yield* Clock.currentTimeMillis
      const nowS = Math.floor(nowMs / 1000)
      // The newest that everybody knows; where all are new, as in a fresh installation, nobody knows an older one.
      const { kid, key } =
        signers.find(({ signsFromMs }) => signsFromMs <= nowMs) ?? signers[signers.length - 1]!
      return yield* Effect.promise(() =>
        new SignJWT({ username, roles })
          .setProtectedHeader({ alg: "RS256", kid, typ: "at+jwt" })
          .setIssuer(ISSUER)
          .setAudience(AUDIENCE)
          .setSubject(String(userId))
          .setIssuedAt(nowS)
          .setNotBefore(nowS)
          .setExpirationTime(nowS + LIFETIME_S)
          .setJti(randomUUID())
          .sign(key),
      )
    }),
  })
})
