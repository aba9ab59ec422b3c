import { assert, describe, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import { Accounts } from "../Accounts.ts"
import { hashOf } from "../RefreshTokens.ts"
import * as TestIdentity from "../testing/TestIdentity.ts"
import { RevocationStore } from "./RevocationStore.ts"
import { MAX_SESSIONS, SessionStore } from "./SessionStore.ts"
import { UserStore } from "./UserStore.ts"

const password = "correct horse"

const issuedAtMs = (accessToken: string): number =>
  JSON.parse(Buffer.from(accessToken.split(".")[1]!, "base64url").toString()).iat_ms

/** Whether a refresh token is still good. */
const lives = (refreshToken: string) =>
  Effect.flatMap(Accounts, (accounts) => Effect.isSuccess(accounts.refresh(refreshToken)))

const notBeforeOf = (userId: number) =>
  Effect.flatMap(RevocationStore, ({ since }) =>
    Effect.map(since(0), ({ entries }) => entries.find((entry) => entry.userId === userId)?.notBeforeMs ?? 0),
  )

describe("SessionStore", () => {
  layer(TestIdentity.layer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("one session too many ends the oldest, and only that one", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        yield* accounts.register({ username: "hoarder", password })
        const tokens: Array<string> = []
        for (let i = 0; i < MAX_SESSIONS + 2; i++) {
          tokens.push((yield* accounts.login({ username: "hoarder", password })).refreshToken)
        }
        const alive = yield* Effect.forEach(tokens, lives)
        assert.deepStrictEqual(
          alive,
          tokens.map((_, i) => i >= 2),
        )
      }),
    )

    it.effect("parallel logins keep the bound, too", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const sessions = yield* SessionStore
        const users = yield* UserStore
        const { run, sql } = yield* Mysql
        const { id } = yield* accounts.register({ username: "parallel", password })
        const { passwordHash } = (yield* users.credentialOf(id))!
        yield* Effect.forEach(
          Array.from({ length: MAX_SESSIONS * 3 }, (_, i) => hashOf(`token ${i}`)),
          (tokenHash) => sessions.begin(id, passwordHash, tokenHash),
          { concurrency: 8 },
        )
        const live = yield* run(
          "live",
          sql`SELECT 1 FROM refresh_family WHERE user_id = ${id} AND revoked_at IS NULL`,
        )
        assert.lengthOf(live, MAX_SESSIONS)
      }),
    )

    it.effect(
      "whenever it began, a session's access token is revoked if and only if its refresh token is",
      () =>
        Effect.gen(function* () {
          const accounts = yield* Accounts
          const sessions = yield* SessionStore
          const users = yield* UserStore
          const { id } = yield* accounts.register({ username: "racing", password })
          const { passwordHash } = (yield* users.credentialOf(id))!
          const issued: Array<{ readonly tokenHash: Buffer; readonly atMs: number }> = []
          // Faster than a millisecond each, so that many share one.
          const begin = (i: number) =>
            Effect.gen(function* () {
              const tokenHash = hashOf(`racing ${i}`)
              const begun = yield* sessions.begin(id, passwordHash, tokenHash)
              assert.strictEqual(begun.outcome, "begun")
              if (begun.outcome === "begun") issued.push({ tokenHash, atMs: begun.issuedAtMs })
            })
          yield* Effect.all(
            [
              Effect.forEach(
                Array.from({ length: 120 }, (_, i) => i),
                begin,
                { concurrency: 4 },
              ),
              Effect.repeatN(sessions.endAll(id), 20),
            ],
            { concurrency: "unbounded" },
          )
          const notBeforeMs = yield* notBeforeOf(id)
          const { run, sql } = yield* Mysql
          const rows = yield* run(
            "families",
            sql<{ token_hash: Buffer; by_all: number }>`
            SELECT t.token_hash, f.revoked_at IS NOT NULL AS by_all FROM refresh_token t
            JOIN refresh_family f ON f.id = t.family_id WHERE f.user_id = ${id}`,
          )
          const revoked = new Map(rows.map((row) => [row.token_hash.toString("hex"), row.by_all === 1]))
          const kept = issued.filter(({ tokenHash }) => !revoked.get(tokenHash.toString("hex")))
          for (const { atMs } of kept) assert.isAtLeast(atMs, notBeforeMs)
          // The bound on sessions ends some that no revocation touched; whatever was revoked last is all before it.
          const late = issued.filter(({ atMs }) => atMs >= notBeforeMs)
          assert.strictEqual(kept.length, Math.min(late.length, MAX_SESSIONS))
          assert.strictEqual(new Set(issued.map(({ tokenHash }) => tokenHash.toString("hex"))).size, 120)
        }),
    )

    it.effect("a login whose password is changed meanwhile begins no session", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const sessions = yield* SessionStore
        const users = yield* UserStore
        const { id } = yield* accounts.register({ username: "overtaken", password })
        const { passwordHash } = (yield* users.credentialOf(id))!
        yield* accounts.changePassword({ userId: id, oldPassword: password, newPassword: "battery staple" })
        assert.deepStrictEqual(yield* sessions.begin(id, passwordHash, hashOf("late")), {
          outcome: "outdated",
        })
        // Nor does a second change by the same old password, or an erasure.
        assert.isFalse(yield* users.changePassword({ userId: id, passwordHash }, passwordHash))
        assert.isFalse(yield* users.erase({ userId: id, passwordHash }))
        const next = yield* accounts.login({ username: "overtaken", password: "battery staple" })
        assert.isAtLeast(issuedAtMs(next.accessToken), yield* notBeforeOf(id))
      }),
    )

    it.effect("a revocation is kept for as long as a token that it concerns can live", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const revocations = yield* RevocationStore
        const { run, sql } = yield* Mysql
        const { id } = yield* accounts.register({ username: "forgotten", password })
        yield* accounts.logoutAll(id)
        const age = (minutes: number) =>
          run("age", sql`UPDATE revocation SET at = at - INTERVAL ${minutes} MINUTE WHERE user_id = ${id}`)
        const { revision } = yield* revocations.since(0)
        yield* age(16)
        yield* revocations.sweep
        assert.isAbove(yield* notBeforeOf(id), 0)
        yield* age(5)
        assert.isAtLeast(yield* revocations.sweep, 1)
        assert.strictEqual(yield* notBeforeOf(id), 0)
        // Numbers go on from where they were.
        assert.strictEqual((yield* revocations.since(0)).revision, revision)
        assert.strictEqual(yield* revocations.head, revision)
      }),
    )
  })
})
