/** Registering, signing in, staying signed in, signing out; one's password, one's data, one's end. */
import {
  Banned,
  InvalidInput,
  NotFound,
  type RateLimited,
  Unauthenticated,
  UsernameTaken,
  WrongCredentials,
  type WrongState,
} from "@floodgate/contracts/errors/Errors"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AccessTokens, LIFETIME_S } from "./AccessTokens.ts"
import { isCommon } from "./CommonPasswords.ts"
import { passwordIssue } from "./domain/PasswordPolicy.ts"
import { isUsername, usernameIssue } from "./domain/Username.ts"
import { Passwords } from "./Passwords.ts"
import { hashOf, isRefreshToken, RefreshTokens } from "./RefreshTokens.ts"
import { SessionStore } from "./store/SessionStore.ts"
import type { LockedUser } from "./store/UserRows.ts"
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
    /**
     * WrongCredentials, after the same work, for an unknown name and for a wrong password. Banned only to who knows
     * the password, so that nobody else learns whether there is such an account.
     */
    readonly login: (
      account: NamedPassword,
    ) => Effect.Effect<Session, WrongCredentials | Banned | RateLimited | MysqlError>
    /**
     * Unauthenticated for a token that is unknown, expired, spent or revoked; a spent one ends its whole family.
     * Banned for any token of a banned account.
     */
    readonly refresh: (refreshToken: string) => Effect.Effect<Session, Unauthenticated | Banned | MysqlError>
    /** Ends the session of a refresh token; nothing happens where there is none. */
    readonly logout: (refreshToken: string) => Effect.Effect<void, MysqlError>
    /** Ends every session, access tokens included. */
    readonly logoutAll: (userId: number) => Effect.Effect<void, NotFound | MysqlError>
    /** Ends every session, too. WrongCredentials where the old password is wrong. */
    readonly changePassword: (change: {
      readonly userId: number
      readonly oldPassword: string
      readonly newPassword: string
    }) => Effect.Effect<void, NotFound | InvalidInput | WrongCredentials | Banned | RateLimited | MysqlError>
    /** Removes all that says who it was. WrongState: "banned", or "balance" where the wallet holds money. */
    readonly erase: (account: {
      readonly userId: number
      readonly password: string
    }) => Effect.Effect<void, NotFound | WrongCredentials | WrongState | RateLimited | MysqlError>
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

  const sessionOf = (
    { user, issuedAtMs }: LockedUser,
    refreshToken: string,
  ): Effect.Effect<Session, MysqlError> =>
    Effect.map(
      accessTokens.sign({ userId: user.id, username: user.username, roles: user.roles }, issuedAtMs),
      (accessToken) => ({ accessToken, refreshToken, expiresInS: LIFETIME_S, user }),
    )

  /** The account whose password this is. */
  const verified = Effect.fnUntraced(function* (userId: number, password: string) {
    const found = yield* users.credentialOf(userId)
    if (found === undefined) return yield* new NotFound()
    return (yield* passwords.verify(found.passwordHash, password)) ? found : yield* new WrongCredentials()
  })

  return Accounts.of({
    register: Effect.fn("Accounts.register")(function* ({ username, password }) {
      const issues = [
        { path: "username", message: usernameIssue(username) },
        { path: "password", message: passwordIssue(password, username, isCommon) },
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
      const begun = yield* sessions.begin(found.user.id, found.passwordHash, hashOf(refreshToken))
      switch (begun.outcome) {
        case "begun":
          return yield* sessionOf(begun, refreshToken)
        case "banned":
          return yield* new Banned()
        case "outdated":
          return yield* new WrongCredentials()
      }
    }),

    refresh: Effect.fn("Accounts.refresh")(function* (presented) {
      if (!isRefreshToken(presented)) return yield* new Unauthenticated()
      const successor = refreshTokens.successorOf(presented)
      const used = yield* sessions.use(hashOf(presented), hashOf(successor))
      switch (used.outcome) {
        case "rotate":
        case "repeat":
          return yield* sessionOf(used, successor)
        case "banned":
          return yield* new Banned()
        case "revoke_family":
          yield* Effect.annotateLogs(
            Effect.logWarning("a spent refresh token came back: its family is revoked"),
            { user_id: used.userId },
          )
          return yield* new Unauthenticated()
        case "refuse":
          return yield* new Unauthenticated()
      }
    }),

    logout: Effect.fn("Accounts.logout")((presented) =>
      isRefreshToken(presented) ? sessions.end(hashOf(presented)) : Effect.void,
    ),

    logoutAll: Effect.fn("Accounts.logoutAll")((userId) => sessions.endAll(userId)),

    changePassword: Effect.fn("Accounts.changePassword")(function* ({ userId, oldPassword, newPassword }) {
      const { user, passwordHash } = yield* verified(userId, oldPassword)
      if (user.state === "banned") return yield* new Banned()
      const issue =
        newPassword === oldPassword
          ? "must differ from the old one"
          : passwordIssue(newPassword, user.username, isCommon)
      if (issue !== undefined) return yield* InvalidInput.at("new_password", issue)
      const newHash = yield* passwords.hash(newPassword)
      if (!(yield* users.changePassword({ userId, passwordHash }, newHash))) {
        return yield* new WrongCredentials()
      }
    }),

    erase: Effect.fn("Accounts.erase")(function* ({ userId, password }) {
      const { passwordHash } = yield* verified(userId, password)
      if (!(yield* users.erase({ userId, passwordHash }))) return yield* new WrongCredentials()
    }),
  })
})
