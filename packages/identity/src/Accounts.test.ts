import { assert, describe, it, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import { createLocalJWKSet } from "jose/jwks/local"
import { jwtVerify } from "jose/jwt/verify"
import { Accounts } from "./Accounts.ts"
import { KeyRing } from "./KeyRing.ts"
import * as Passwords from "./Passwords.ts"
import { hashOf } from "./RefreshTokens.ts"
import { SessionStore } from "./store/SessionStore.ts"
import { UserStore } from "./store/UserStore.ts"
import * as TestIdentity from "./testing/TestIdentity.ts"

const password = "correct horse"

const signUp = (username: string) =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    yield* accounts.register({ username, password })
    return yield* accounts.login({ username, password })
  })

/** Moves the clock of one token's row back, as if that much time had passed. */
const age = (token: string, column: "used_at" | "expires_at", seconds: number) =>
  Effect.flatMap(Mysql, ({ run, sql }) =>
    run(
      "age",
      sql`UPDATE refresh_token SET ${sql(column)} = ${sql(column)} - INTERVAL ${seconds} SECOND
        WHERE token_hash = ${hashOf(token)}`,
    ),
  )

describe("Accounts", () => {
  layer(TestIdentity.layer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("50 parallel registrations of one name make one account, in whatever letter case", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const { run, sql } = yield* Mysql
        const results = yield* Effect.all(
          Array.from({ length: 50 }, (_, i) =>
            Effect.either(
              accounts.register({ username: i % 2 === 0 ? "Crowded_Name" : "crowded_name", password }),
            ),
          ),
          { concurrency: "unbounded" },
        )
        const users = results.flatMap((result) => (result._tag === "Right" ? [result.right] : []))
        const errors = results.flatMap((result) => (result._tag === "Left" ? [result.left._tag] : []))
        assert.lengthOf(users, 1)
        assert.deepStrictEqual([...new Set(errors)], ["UsernameTaken"])
        assert.deepInclude(users[0], { roles: ["customer"], balance: 0 })
        for (const table of ["credential", "wallet", "role_binding"]) {
          const rows = yield* run("count", sql`SELECT 1 FROM ${sql(table)} WHERE user_id = ${users[0]!.id}`)
          assert.lengthOf(rows, 1, table)
        }
      }),
    )

    it.effect("a bad name and a bad password are both told at once", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const error = yield* Effect.flip(accounts.register({ username: "a b", password: "short" }))
        assert.strictEqual(error._tag, "InvalidInput")
        assert.deepStrictEqual(error._tag === "InvalidInput" ? error.issues.map(({ path }) => path) : [], [
          "username",
          "password",
        ])
      }),
    )

    it.effect("passwords are stored as argon2id with the cost we promise", () =>
      Effect.gen(function* () {
        const { user } = yield* signUp("argon")
        const { run, sql } = yield* Mysql
        const [row] = yield* run(
          "hash",
          sql<{ password_hash: string }>`SELECT password_hash FROM credential WHERE user_id = ${user.id}`,
        )
        assert.match(row!.password_hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
      }),
    )

    it.effect("the access token says who it is, and the published keys verify it", () =>
      Effect.gen(function* () {
        const { accessToken, expiresInS, user } = yield* signUp("Verified")
        const jwks = yield* Effect.flatMap(KeyRing, (ring) => ring.jwks)
        assert.notMatch(jwks, /"(d|p|q|dp|dq|qi)"/)
        const { payload, protectedHeader } = yield* Effect.promise(() =>
          jwtVerify(accessToken, createLocalJWKSet(JSON.parse(jwks)), {
            issuer: "floodgate",
            audience: "floodgate-edge",
            algorithms: ["RS256"],
          }),
        )
        assert.deepStrictEqual(protectedHeader, { alg: "RS256", kid: "first", typ: "at+jwt" })
        assert.strictEqual(payload.sub, String(user.id))
        assert.strictEqual(payload["username"], "Verified")
        assert.deepStrictEqual(payload["roles"], ["customer"])
        assert.strictEqual(payload.exp! - payload.iat!, 900)
        assert.strictEqual(Math.floor(Number(payload["iat_ms"]) / 1000), payload.iat)
        assert.strictEqual(expiresInS, 900)
        assert.strictEqual(payload.nbf, payload.iat)
        assert.isString(payload.jti)
      }),
    )

    it.effect("an unknown name and a wrong password look and take the same; letter case doesn't matter", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        yield* signUp("Somebody")
        assert.strictEqual(
          (yield* accounts.login({ username: "SOMEBODY", password })).user.username,
          "Somebody",
        )
        const names = ["Somebody", "Nobody_at_all", "not a name"]
        const best = names.map(() => Number.POSITIVE_INFINITY)
        // In turns, so that a busy moment of the machine slows them all.
        for (let round = 0; round < 6; round++) {
          for (const [i, username] of names.entries()) {
            const startedAt = performance.now()
            const error = yield* Effect.flip(accounts.login({ username, password: "wrong password" }))
            best[i] = Math.min(best[i]!, performance.now() - startedAt)
            assert.strictEqual(error._tag, "WrongCredentials")
          }
        }
        assert.isAbove(Math.min(...best), best[0]! / 2)
      }),
    )

    it.effect("a refresh token works once, and its successor goes on", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const first = yield* signUp("rotating")
        const second = yield* accounts.refresh(first.refreshToken)
        const third = yield* accounts.refresh(second.refreshToken)
        assert.strictEqual(new Set([first.refreshToken, second.refreshToken, third.refreshToken]).size, 3)
        assert.strictEqual(third.user.id, first.user.id)
        assert.notStrictEqual(second.accessToken, third.accessToken)
      }),
    )

    it.effect("parallel refreshes of one token get one successor", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const { refreshToken } = yield* signUp("parallel")
        const sessions = yield* Effect.all(
          Array.from({ length: 10 }, () => accounts.refresh(refreshToken)),
          { concurrency: "unbounded" },
        )
        const successors = new Set(sessions.map((session) => session.refreshToken))
        assert.strictEqual(successors.size, 1)
        yield* accounts.refresh([...successors][0]!)
      }),
    )

    for (const [what, spoil] of [
      [
        "after its successor was used",
        (_: string, successor: string) => Effect.flatMap(Accounts, (a) => a.refresh(successor)),
      ],
      ["after the grace", (token: string) => age(token, "used_at", 11)],
    ] as const) {
      it.effect(`a spent token that comes back ${what} ends every session of its family`, () =>
        Effect.gen(function* () {
          const accounts = yield* Accounts
          const other = yield* signUp(what === "after the grace" ? "reuse_late" : "reuse_spent")
          const { refreshToken } = yield* accounts.login({ username: other.user.username, password })
          const { refreshToken: successor } = yield* accounts.refresh(refreshToken)
          yield* spoil(refreshToken, successor)
          const { run, sql } = yield* Mysql
          assert.strictEqual((yield* Effect.flip(accounts.refresh(refreshToken)))._tag, "Unauthenticated")
          const alive = yield* run(
            "alive",
            sql<{ successor: Buffer | null }>`
              SELECT t.token_hash AS successor FROM refresh_token t JOIN refresh_family f ON f.id = t.family_id
              WHERE t.used_at IS NULL AND f.revoked_at IS NULL AND f.user_id = ${other.user.id}`,
          )
          // Only the other login's.
          assert.deepStrictEqual(
            alive.map((row) => row.successor),
            [hashOf(other.refreshToken)],
          )
          assert.strictEqual((yield* Effect.flip(accounts.refresh(successor)))._tag, "Unauthenticated")
          yield* accounts.refresh(other.refreshToken)
        }),
      )
    }

    it.effect("a token that expired, was signed out, or never was is refused", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const expired = yield* signUp("expired")
        yield* age(expired.refreshToken, "expires_at", 31 * 86_400)
        const out = yield* accounts.login({ username: "expired", password })
        yield* accounts.logout(out.refreshToken)
        yield* accounts.logout(out.refreshToken)
        yield* accounts.logout("nothing")
        for (const token of [expired.refreshToken, out.refreshToken, "", "A".repeat(43), out.accessToken]) {
          assert.strictEqual((yield* Effect.flip(accounts.refresh(token)))._tag, "Unauthenticated")
        }
      }),
    )

    it.effect("expired tokens are swept, live ones stay", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const { sweep } = yield* SessionStore
        const { refreshToken, user } = yield* signUp("swept")
        const { refreshToken: live } = yield* accounts.login({ username: user.username, password })
        yield* sweep
        yield* age(refreshToken, "expires_at", 31 * 86_400)
        assert.strictEqual(yield* sweep, 1)
        yield* accounts.refresh(live)
      }),
    )

    it.effect("roles are set with an audit row of ids only, once a request", () =>
      Effect.gen(function* () {
        const users = yield* UserStore
        const { run, sql } = yield* Mysql
        const { user } = yield* signUp("promoted")
        const change = {
          userId: user.id,
          reason: "why not",
          requestId: "r1",
          version: 0,
          caller: { user_id: 7, roles: ["admin"] },
        }
        const set = (roles: ReadonlyArray<string>, requestId: string) =>
          users.setRoles({ ...change, roles, requestId })
        assert.deepStrictEqual((yield* set(["operator", "customer"], "r1")).roles, ["customer", "operator"])
        assert.deepStrictEqual((yield* set(["customer"], "r2")).roles, ["customer"])
        // A late repeat of the first doesn't undo the second.
        assert.deepStrictEqual((yield* set(["operator", "customer"], "r1")).roles, ["customer"])
        const rows = yield* run(
          "audit",
          sql<Record<string, unknown>>`
            SELECT actor_id, action, target_type, target_id, before_json, after_json, reason FROM audit
            WHERE target_id = ${String(user.id)} AND action = 'user.roles' ORDER BY id`,
        )
        assert.lengthOf(rows, 2)
        assert.deepInclude(rows[0], {
          actor_id: 7,
          action: "user.roles",
          before_json: '{"roles":["customer"]}',
          after_json: '{"roles":["customer","operator"]}',
        })
        assert.notInclude(JSON.stringify(rows), "promoted")
        assert.strictEqual(
          (yield* Effect.flip(set(["admin"], "r3").pipe(Effect.zipRight(users.get(2 ** 40)))))._tag,
          "NotFound",
        )
      }),
    )
  })

  it.live("more password work than a bounded line holds is turned away", () =>
    Effect.gen(function* () {
      const passwords = yield* Passwords.make({ maxRunning: 1, maxWaiting: 1 })
      const results = yield* Effect.all(
        Array.from({ length: 3 }, () => Effect.either(passwords.hash(password))),
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(
        results.map((result) => (result._tag === "Left" ? result.left._tag : "hashed")),
        ["hashed", "hashed", "RateLimited"],
      )
      const hash = yield* passwords.hash(password)
      assert.isTrue(yield* passwords.verify(hash, password))
      assert.isFalse(yield* passwords.verify(hash, `${password}!`))
      assert.isFalse(yield* passwords.verify(undefined, "nobody's password"))
    }),
  )
})
