/** Registering, signing in, staying signed in, signing out. */
import {
  InvalidInput,
  type RateLimited,
  Unauthenticated,
  UsernameTaken,
  WrongCredentials,
} from "@floodgate/contracts/errors/Errors"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AccessTokens, LIFETIME_S } from "./AccessTokens.ts"
import { passwordIssue } from "./domain/PasswordPolicy.ts"
import { isUsername, usernameIssue } from "./domain/Username.ts"
import { Passwords } from "./Passwords.ts"
import { hashOf, isRefreshToken, RefreshTokens } from "./RefreshTokens.ts"
import { SessionStore } from "./store/SessionStore.ts"
import { type User, UserStore } from "./store/UserStore.ts"

export interface Session {
  readonly accessToken: string
  readonly refreshToken: string
  /** Seconds until the access token expires. */
  readonly expiresInS: number
  readonly user: User
}

export interface NamedPassword {
  readonly username: string
  readonly password: string
}

export class Accounts extends Context.Tag("@floodgate/identity/Accounts")<
  Accounts,
  {
    readonly register: (
      account: NamedPassword,
    ) => Effect.Effect<User, UsernameTaken | InvalidInput | RateLimited | MysqlError>
    /** WrongCredentials, after the same work, for an unknown name and for a wrong password. */
    readonly login: (
      account: NamedPassword,
    ) => Effect.Effect<Session, WrongCredentials | RateLimited | MysqlError>
    /** Unauthenticated for a token that is unknown, expired, spent or revoked. A spent one ends its whole family. */
    readonly refresh: (refreshToken: string) => Effect.Effect<Session, Unauthenticated | MysqlError>
    /** Ends the session of a refresh token; nothing happens where there is none. */
    readonly logout: (refreshToken: string) => Effect.Effect<void, MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<
    Accounts,
    never,
    Passwords | AccessTokens | RefreshTokens | UserStore | SessionStore
  > = Layer.effect(
    Accounts,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const passwords = yield* Passwords
  const accessTokens = yield* AccessTokens
  const refreshTokens = yield* RefreshTokens
  const users = yield* UserStore
  const sessions = yield* SessionStore

  const sessionOf = (user: User, refreshToken: string): Effect.Effect<Session> =>
    Effect.map(
      accessTokens.sign({ userId: user.id, username: user.username, roles: user.roles }),
      (accessToken) => ({ accessToken, refreshToken, expiresInS: LIFETIME_S, user }),
    )

  return Accounts.of({
    register: Effect.fn("Accounts.register")(function* ({ username, password }) {
      const issues = [
        { path: "username", message: usernameIssue(username) },
        { path: "password", message: passwordIssue(password) },
      ].flatMap(({ path, message }) => (message === undefined ? [] : [{ path, message }]))
      if (issues.length > 0) return yield* new InvalidInput({ issues })
      // The unique key decides; this only spares the work of hashing for names that are long gone.
      if (yield* users.isTaken(username)) return yield* new UsernameTaken()
      return yield* users.create({ username, passwordHash: yield* passwords.hash(password) })
    }),

    login: Effect.fn("Accounts.login")(function* ({ username, password }) {
      const found = isUsername(username) ? yield* users.credentialOf(username) : undefined
      const right = yield* passwords.verify(found?.passwordHash, password)
      if (found === undefined || !right) return yield* new WrongCredentials()
      const refreshToken = yield* refreshTokens.first
      yield* sessions.begin(found.user.id, hashOf(refreshToken))
      return yield* sessionOf(found.user, refreshToken)
    }),

    refresh: Effect.fn("Accounts.refresh")(function* (presented) {
      if (!isRefreshToken(presented)) return yield* new Unauthenticated()
      const successor = refreshTokens.successorOf(presented)
      const { outcome, userId } = yield* sessions.use(hashOf(presented), hashOf(successor))
      if (outcome === "revoke_family") {
        yield* Effect.annotateLogs(
          Effect.logWarning("a spent refresh token came back: its family is revoked"),
          {
            user_id: userId,
          },
        )
      }
      if (outcome !== "rotate" && outcome !== "repeat") return yield* new Unauthenticated()
      const user = yield* Effect.catchTag(users.get(userId), "NotFound", () => new Unauthenticated())
      return yield* sessionOf(user, successor)
    }),

    logout: Effect.fn("Accounts.logout")((presented) =>
      isRefreshToken(presented) ? sessions.end(hashOf(presented)) : Effect.void,
    ),
  })
})
