/**
 * Makes refresh tokens: 256 random bits for a new session, and for each later one the HMAC of its predecessor. So
 * whoever repeats a refresh in the grace period gets the same successor without it ever being stored, and whoever
 * steals a token can't compute what follows.
 */
import { createHash, createHmac, randomBytes } from "node:crypto"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const PATTERN = /^[A-Za-z0-9_-]{43}$/

/** `REFRESH_TOKEN_KEY`. */
export const key = AppConfig.secret("REFRESH_TOKEN_KEY")

export class RefreshTokens extends Context.Tag("@floodgate/identity/RefreshTokens")<
  RefreshTokens,
  {
    /** The first token of a session. */
    readonly first: Effect.Effect<string>
    /** The one and only successor of a token. */
    readonly successorOf: (token: string) => string
  }
>() {
  static readonly layer: Layer.Layer<RefreshTokens, AppConfig.ConfigInvalid> = Layer.effect(
    RefreshTokens,
    Effect.map(AppConfig.load(key), (secret) => ({
      first: Effect.sync(() => randomBytes(32).toString("base64url")),
      successorOf: (token: string) =>
        createHmac("sha256", Redacted.value(secret)).update(token, "latin1").digest("base64url"),
    })),
  )
}

/** Whether a text can be a refresh token of ours. */
export const isRefreshToken = (text: string): boolean => PATTERN.test(text)

/** What is stored of a token. It has 256 bits of entropy, so a plain hash is enough. */
export const hashOf = (token: string): Buffer => createHash("sha256").update(token, "latin1").digest()
