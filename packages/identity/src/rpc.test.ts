import { assert, describe, layer } from "@effect/vitest"
import {
  AccountState,
  WalletEntryKind,
  WalletOutcome,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { person, TestServer, layer as testServer } from "./testing/TestServer.ts"

const password = "correct horse"

const admin = person(1_000_000, "customer", "admin")

const tagOf = <A, E extends { readonly _tag: string }, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(self), ({ _tag }) => _tag)

/** What an access token says. */
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as {
    readonly iat_ms: number
    readonly roles: ReadonlyArray<string>
  }

const signUp = (username: string) =>
  Effect.gen(function* () {
    const edge = (yield* TestServer).as("edge")
    yield* edge.register({ username, password })
    const session = yield* edge.login({ username, password })
    return { ...session, id: session.user!.id, self: person(session.user!.id, "customer") }
  })

/** All revocations since a revision, as an edge reads them. */
const revocationsSince = (sinceRevision: bigint) =>
  Effect.flatMap(TestServer, ({ as }) => as("edge").listRevocations({ sinceRevision }))

describe("identity over gRPC", () => {
  layer(testServer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("an account from registration to sign-out", () =>
      Effect.gen(function* () {
        const edge = (yield* TestServer).as("edge")
        const user = yield* edge.register({ username: "Alice_1", password })
        assert.deepInclude(user, {
          username: "Alice_1",
          roles: ["customer"],
          balance: 0n,
          state: AccountState.ACTIVE,
          version: 1n,
          bannedReason: "",
        })
        assert.strictEqual(yield* tagOf(edge.register({ username: "alice_1", password })), "UsernameTaken")
        assert.strictEqual(
          yield* tagOf(edge.register({ username: "weak", password: "Password123" })),
          "InvalidInput",
        )
        const session = yield* edge.login({ username: "alice_1", password })
        assert.strictEqual(session.expiresIn, 900)
        assert.strictEqual(
          yield* tagOf(edge.login({ username: "alice_1", password: "wrong one" })),
          "WrongCredentials",
        )
        const next = yield* edge.refresh({ refreshToken: session.refreshToken })
        yield* edge.logout({ refreshToken: next.refreshToken })
        assert.strictEqual(yield* tagOf(edge.refresh({ refreshToken: next.refreshToken })), "Unauthenticated")
        assert.strictEqual((yield* edge.getUser({ userId: user.id })).username, "Alice_1")
        const { users } = yield* edge.batchGetUsers({ userIds: [user.id, user.id, 999_999n, 2n ** 64n - 1n] })
        assert.deepStrictEqual(
          users.map(({ id }) => id),
          [user.id],
        )
        assert.strictEqual(yield* tagOf(edge.getUser({ userId: 2n ** 63n })), "NotFound")
        assert.strictEqual(
          yield* tagOf(edge.batchGetUsers({ userIds: Array.from({ length: 501 }, () => 1n) })),
          "InvalidInput",
        )
        const { jwksJson } = yield* edge.getJwks({})
        assert.lengthOf(JSON.parse(jwksJson).keys, 1)
      }),
    )

    it.effect("a wallet: topped up, debited, voided, listed by pages", () =>
      Effect.gen(function* () {
        const { as } = yield* TestServer
        const [edge, payment] = [as("edge"), as("payment")]
        const { id: userId, self } = yield* signUp("wallet")
        const credit = { creditId: "c1", userId, amount: 100n, currency: "CNY", kind: WalletEntryKind.TOPUP }
        const entry = yield* payment.creditWallet(credit)
        assert.deepStrictEqual(yield* payment.creditWallet(credit), entry)
        const debit = { paymentId: "p1", userId, amount: 30n, currency: "CNY", orderNum: "o1" }
        assert.deepInclude(yield* payment.debitWallet(debit), {
          outcome: WalletOutcome.DEBITED,
          balanceAfter: 70n,
        })
        assert.strictEqual(
          (yield* payment.debitWallet({ ...debit, paymentId: "p2", amount: 71n })).outcome,
          WalletOutcome.DECLINED,
        )
        assert.strictEqual(
          (yield* payment.voidDebit({ paymentId: "p3", userId })).outcome,
          WalletOutcome.VOID,
        )
        assert.deepInclude(yield* edge.getWallet({ userId }, self), { balance: 70n, currency: "CNY" })
        const first = yield* edge.listWalletEntries({ userId, pageSize: 1 }, self)
        const second = yield* edge.listWalletEntries(
          { userId, pageSize: 1, pageToken: first.nextPageToken },
          self,
        )
        assert.deepStrictEqual(
          [...first.entries, ...second.entries].map(({ kind, amount, balanceAfter, orderNum }) => [
            kind,
            amount,
            balanceAfter,
            orderNum,
          ]),
          [
            [WalletEntryKind.PAYMENT, -30n, 70n, "o1"],
            [WalletEntryKind.TOPUP, 100n, 100n, ""],
          ],
        )
        assert.strictEqual(second.nextPageToken, "")
        for (const bad of [
          payment.debitWallet({ ...debit, amount: 0n }),
          payment.debitWallet({ ...debit, amount: -1n }),
          payment.debitWallet({ ...debit, paymentId: "" }),
          payment.debitWallet({ ...debit, orderNum: "x".repeat(41) }),
          Effect.asVoid(payment.creditWallet({ ...credit, kind: WalletEntryKind.PAYMENT })),
          Effect.asVoid(edge.listWalletEntries({ userId, pageSize: 101 }, self)),
          Effect.asVoid(edge.listWalletEntries({ userId, pageToken: "nonsense" }, self)),
        ] as ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>>) {
          assert.strictEqual(yield* tagOf(bad), "InvalidInput")
        }
      }),
    )

    it.effect("roles: a change reaches the next token, revokes the present ones, and keeps the session", () =>
      Effect.gen(function* () {
        const { as } = yield* TestServer
        const [edge, stack] = [as("edge"), as("stack")]
        const { id: userId, accessToken, refreshToken, self } = yield* signUp("roles")
        const change = { userId, roles: ["customer", "operator"], reason: "demo", requestId: "roles-1" }
        assert.strictEqual(yield* tagOf(edge.setRoles(change, self)), "Forbidden")
        // Not even an administrator changes their own.
        assert.strictEqual(yield* tagOf(edge.setRoles(change, person(userId, "admin"))), "Forbidden")
        const changed = yield* stack.setRoles(change)
        assert.deepInclude(changed, { roles: ["customer", "operator"], version: 2n })
        const { entries } = yield* revocationsSince(0n)
        const entry = entries.find((each) => each.userId === userId)!
        assert.deepInclude(entry, { reason: "roles", banned: false })
        assert.isBelow(claimsOf(accessToken).iat_ms, Number(entry.notBeforeMs))
        const next = yield* edge.refresh({ refreshToken })
        assert.deepStrictEqual(claimsOf(next.accessToken).roles, ["customer", "operator"])
        assert.isAtLeast(claimsOf(next.accessToken).iat_ms, Number(entry.notBeforeMs))
        const stale = yield* Effect.flip(
          edge.setRoles({ ...change, roles: ["customer"], requestId: "roles-2", version: 1n }, admin),
        )
        assert.deepInclude(stale, { _tag: "StaleVersion", version: 2 })
        assert.deepInclude(
          yield* edge.setRoles({ ...change, roles: ["customer"], requestId: "roles-3", version: 2n }, admin),
          { roles: ["customer"], version: 3n },
        )
        // A late repeat of the first doesn't undo the last; what changes nothing revokes nothing.
        assert.deepInclude(yield* stack.setRoles(change), { roles: ["customer"], version: 3n })
        const { revision } = yield* revocationsSince(0n)
        yield* edge.setRoles({ ...change, roles: ["customer"], requestId: "roles-4" }, admin)
        assert.strictEqual((yield* revocationsSince(0n)).revision, revision)
        for (const bad of [{ roles: ["root"] }, { reason: " " }, { reason: "x".repeat(501) }]) {
          assert.strictEqual(yield* tagOf(stack.setRoles({ ...change, ...bad })), "InvalidInput")
        }
      }),
    )

    it.effect("a ban is listed at once, ends every session, and tells only who knows the password", () =>
      Effect.gen(function* () {
        const edge = (yield* TestServer).as("edge")
        const { id: userId, refreshToken, accessToken, self } = yield* signUp("banned_one")
        const other = yield* edge.login({ username: "banned_one", password })
        const { revision: before } = yield* revocationsSince(0n)
        const ban = { userId, reason: "bot", requestId: "ban-1", version: 1n }
        assert.strictEqual(yield* tagOf(edge.banUser(ban, self)), "Forbidden")
        assert.deepInclude(yield* edge.banUser(ban, person(7, "risk")), {
          state: AccountState.BANNED,
          bannedReason: "bot",
          version: 2n,
        })
        const { entries, revision } = yield* revocationsSince(before)
        assert.lengthOf(entries, 1)
        assert.deepInclude(entries[0], {
          userId,
          reason: "ban",
          banned: true,
          revision,
        })
        assert.isUndefined(entries[0]!.banUntilMs)
        assert.isBelow(claimsOf(accessToken).iat_ms, Number(entries[0]!.notBeforeMs))
        // The same request again changes nothing; another one with the old version is stale.
        assert.strictEqual((yield* edge.banUser(ban, admin)).version, 2n)
        assert.strictEqual(yield* tagOf(edge.banUser({ ...ban, requestId: "ban-2" }, admin)), "StaleVersion")
        assert.strictEqual(yield* tagOf(edge.login({ username: "banned_one", password })), "Banned")
        assert.strictEqual(
          yield* tagOf(edge.login({ username: "banned_one", password: "not this one" })),
          "WrongCredentials",
        )
        for (const token of [refreshToken, other.refreshToken]) {
          assert.strictEqual(yield* tagOf(edge.refresh({ refreshToken: token })), "Banned")
        }
        assert.strictEqual(
          yield* tagOf(
            edge.changePassword({ userId, oldPassword: password, newPassword: "a new horse" }, self),
          ),
          "Banned",
        )
        assert.deepInclude(yield* Effect.flip(edge.eraseUser({ userId, password }, self)), {
          _tag: "WrongState",
          state: "banned",
        })
        const lift = { userId, reason: "a mistake", requestId: "unban-1", version: 2n }
        assert.deepInclude(yield* edge.unbanUser(lift, admin), {
          state: AccountState.ACTIVE,
          bannedReason: "",
          version: 3n,
        })
        assert.strictEqual(
          yield* tagOf(edge.unbanUser({ ...lift, requestId: "unban-2", version: 3n }, admin)),
          "WrongState",
        )
        assert.deepInclude((yield* revocationsSince(revision)).entries[0], {
          userId,
          reason: "unban",
          banned: false,
        })
        // The sessions of before stay ended; a new one begins.
        assert.strictEqual(yield* tagOf(edge.refresh({ refreshToken })), "Unauthenticated")
        const again = yield* edge.login({ username: "banned_one", password })
        const last = (yield* revocationsSince(0n)).entries.find((each) => each.userId === userId)!
        assert.isAtLeast(claimsOf(again.accessToken).iat_ms, Number(last.notBeforeMs))
      }),
    )

    it.effect("a ban with an end ends by itself; nobody bans themselves, nor risk an administrator", () =>
      Effect.gen(function* () {
        const { as } = yield* TestServer
        const edge = as("edge")
        const { run, sql } = yield* Mysql
        const { id: userId } = yield* signUp("cooling")
        const untilMs = BigInt(Date.now() + 3_600_000)
        const ban = { userId, reason: "cool down", requestId: "" }
        for (const bad of [1n, -1n, 2n ** 62n]) {
          assert.strictEqual(yield* tagOf(edge.banUser({ ...ban, untilMs: bad }, admin)), "InvalidInput")
        }
        assert.strictEqual((yield* edge.banUser({ ...ban, untilMs }, admin)).banUntilMs, untilMs)
        const entry = (yield* revocationsSince(0n)).entries.find((each) => each.userId === userId)
        assert.deepInclude(entry, { banned: true, banUntilMs: untilMs })
        assert.strictEqual(yield* tagOf(edge.login({ username: "cooling", password })), "Banned")
        yield* run(
          "past",
          sql`UPDATE user SET ban_until_ms = ban_until_ms - 7200000 WHERE id = ${Number(userId)}`,
        )
        yield* edge.login({ username: "cooling", password })
        assert.deepInclude(yield* edge.getUser({ userId }), { state: AccountState.ACTIVE, bannedReason: "" })
        assert.strictEqual(yield* tagOf(edge.banUser(ban, person(userId, "admin"))), "Forbidden")
        yield* as("stack").setRoles({ userId, roles: ["admin"], reason: "demo" })
        assert.strictEqual(yield* tagOf(edge.banUser(ban, person(7, "risk"))), "Forbidden")
        assert.strictEqual(yield* tagOf(edge.banUser({ ...ban, userId: 10n ** 15n }, admin)), "NotFound")
      }),
    )

    it.effect("accounts are listed newest first, by name, id and ban, in pages", () =>
      Effect.gen(function* () {
        const edge = (yield* TestServer).as("edge")
        const ids: Array<bigint> = []
        for (const username of ["list_a", "List_b", "listXc"]) {
          ids.push((yield* edge.register({ username, password })).id)
        }
        const list = (request: Parameters<typeof edge.listUsers>[0]) =>
          Effect.map(edge.listUsers(request, person(7, "auditor")), ({ users }) =>
            users.map(({ username }) => username),
          )
        assert.deepStrictEqual(yield* list({ q: "LIST" }), ["listXc", "List_b", "list_a"])
        // A name's _ is a letter, not any letter.
        assert.deepStrictEqual(yield* list({ q: "list_" }), ["List_b", "list_a"])
        assert.deepStrictEqual(yield* list({ q: String(ids[1]) }), ["List_b"])
        assert.deepStrictEqual(yield* list({ q: "list%" }), [])
        assert.deepStrictEqual(yield* list({ q: "名" }), [])
        yield* edge.banUser({ userId: ids[0]!, reason: "bot" }, admin)
        assert.deepStrictEqual(yield* list({ q: "list", banned: true }), ["list_a"])
        assert.deepStrictEqual(yield* list({ q: "list", banned: false }), ["listXc", "List_b"])
        const soon = BigInt(Date.now() + 3_600_000)
        assert.deepStrictEqual(yield* list({ q: "list", fromMs: soon }), [])
        assert.lengthOf(yield* list({ q: "list", fromMs: soon - 7_200_000n, toMs: 4_000_000_000_000n }), 3)
        const first = yield* edge.listUsers({ q: "list", pageSize: 2 }, admin)
        const second = yield* edge.listUsers(
          { q: "list", pageSize: 2, pageToken: first.nextPageToken },
          admin,
        )
        assert.deepStrictEqual([first.users.length, second.users.length, second.nextPageToken], [2, 1, ""])
        assert.strictEqual(yield* tagOf(edge.listUsers({ pageSize: 101 }, admin)), "InvalidInput")
        assert.strictEqual(yield* tagOf(edge.listUsers({ q: "x".repeat(33) }, admin)), "InvalidInput")
      }),
    )

    it.effect("a new password needs the old one, and ends every session, access tokens included", () =>
      Effect.gen(function* () {
        const edge = (yield* TestServer).as("edge")
        const { id: userId, refreshToken, accessToken, self } = yield* signUp("changing")
        const other = yield* edge.login({ username: "changing", password })
        const newPassword = "battery staple"
        const change = (oldPassword: string, wanted: string) =>
          edge.changePassword({ userId, oldPassword, newPassword: wanted }, self)
        assert.strictEqual(yield* tagOf(change("not the old one", newPassword)), "WrongCredentials")
        for (const bad of ["short", "Password123", "Changing", password]) {
          assert.strictEqual(yield* tagOf(change(password, bad)), "InvalidInput")
        }
        yield* edge.refresh({ refreshToken: other.refreshToken })
        yield* change(password, newPassword)
        for (const token of [refreshToken, other.refreshToken]) {
          assert.strictEqual(yield* tagOf(edge.refresh({ refreshToken: token })), "Unauthenticated")
        }
        const entry = (yield* revocationsSince(0n)).entries.find((each) => each.userId === userId)!
        assert.deepInclude(entry, { reason: "password", banned: false })
        assert.isBelow(claimsOf(accessToken).iat_ms, Number(entry.notBeforeMs))
        assert.strictEqual(yield* tagOf(edge.login({ username: "changing", password })), "WrongCredentials")
        const next = yield* edge.login({ username: "changing", password: newPassword })
        assert.isAtLeast(claimsOf(next.accessToken).iat_ms, Number(entry.notBeforeMs))
      }),
    )

    it.effect("signing out everywhere ends every session and leaves the next one alone", () =>
      Effect.gen(function* () {
        const edge = (yield* TestServer).as("edge")
        const { id: userId, refreshToken, accessToken, self } = yield* signUp("everywhere")
        const other = yield* edge.login({ username: "everywhere", password })
        yield* edge.logoutAll({ userId }, self)
        for (const token of [refreshToken, other.refreshToken]) {
          assert.strictEqual(yield* tagOf(edge.refresh({ refreshToken: token })), "Unauthenticated")
        }
        const entry = (yield* revocationsSince(0n)).entries.find((each) => each.userId === userId)!
        assert.isBelow(claimsOf(accessToken).iat_ms, Number(entry.notBeforeMs))
        const next = yield* edge.login({ username: "everywhere", password })
        assert.isAtLeast(claimsOf(next.accessToken).iat_ms, Number(entry.notBeforeMs))
        yield* edge.refresh({ refreshToken: next.refreshToken })
      }),
    )

    it.effect("one's data as a document; then erased: no name, no session, but the id and the books", () =>
      Effect.gen(function* () {
        const { as } = yield* TestServer
        const [edge, payment] = [as("edge"), as("payment")]
        const { id: userId, refreshToken, self } = yield* signUp("Leaving_1")
        const money = { userId, amount: 5n, currency: "CNY" }
        yield* payment.creditWallet({ ...money, creditId: "leaving", kind: WalletEntryKind.TOPUP })
        const { documentJson } = yield* edge.exportUser({ userId }, self)
        const document = JSON.parse(documentJson)
        assert.deepInclude(document.user, { id: Number(userId), username: "Leaving_1", state: "active" })
        assert.deepInclude(document.wallet, { balance: 5, currency: "CNY" })
        assert.deepInclude(document.wallet.entries[0], { kind: "topup", amount: 5, order_num: null })
        assert.lengthOf(document.sessions, 1)
        assert.strictEqual(document.audit[0].action, "user.register")
        assert.isTrue(document.complete)
        assert.notMatch(documentJson, /argon2|password/)

        const erase = (given: string) => edge.eraseUser({ userId, password: given }, self)
        assert.strictEqual(yield* tagOf(erase("not this one")), "WrongCredentials")
        assert.deepInclude(yield* Effect.flip(erase(password)), { _tag: "WrongState", state: "balance" })
        yield* payment.debitWallet({ ...money, paymentId: "leaving", orderNum: "o9" })
        yield* erase(password)

        assert.deepInclude(yield* edge.getUser({ userId }), {
          username: "",
          roles: [],
          state: AccountState.ERASED,
        })
        assert.deepInclude((yield* revocationsSince(0n)).entries.at(-1), { userId, reason: "erase" })
        assert.strictEqual(yield* tagOf(edge.refresh({ refreshToken })), "Unauthenticated")
        assert.strictEqual(yield* tagOf(edge.login({ username: "Leaving_1", password })), "WrongCredentials")
        assert.strictEqual(yield* tagOf(erase(password)), "NotFound")
        for (const refused of [
          edge.banUser({ userId, reason: "late" }, admin),
          edge.setRoles({ userId, roles: ["customer"], reason: "late" }, admin),
        ]) {
          assert.deepInclude(yield* Effect.flip(refused), { _tag: "WrongState", state: "erased" })
        }
        assert.lengthOf((yield* edge.listUsers({ q: String(userId) }, admin)).users, 0)
        // The name is anybody's again; the ledger is as it was.
        assert.notStrictEqual((yield* edge.register({ username: "leaving_1", password })).id, userId)
        assert.lengthOf((yield* edge.listWalletEntries({ userId }, self)).entries, 2)
        const { run, sql } = yield* Mysql
        for (const table of ["credential", "role_binding", "refresh_family"]) {
          const left = yield* run("left", sql`SELECT 1 FROM ${sql(table)} WHERE user_id = ${Number(userId)}`)
          assert.lengthOf(left, 0, table)
        }
      }),
    )

    it.effect(
      "revocations come in the order of their commits, each once, in pages, the newest of a user only",
      () =>
        Effect.gen(function* () {
          const edge = (yield* TestServer).as("edge")
          const users = yield* Effect.forEach(
            Array.from({ length: 8 }, (_, i) => `ordered_${i}`),
            (username) => edge.register({ username, password }),
            { concurrency: 4 },
          )
          let seen = (yield* revocationsSince(0n)).revision
          const start = seen
          const last = new Map<bigint, bigint>()
          // Somebody reads while several write: no number is passed over.
          const reader = yield* Effect.gen(function* () {
            const page = yield* revocationsSince(seen)
            for (const entry of page.entries) {
              assert.isAbove(Number(entry.revision), Number(seen))
              last.set(entry.userId, entry.revision)
            }
            seen = page.revision
          }).pipe(Effect.repeat({ until: () => seen >= start + BigInt(users.length * 5) }), Effect.fork)
          yield* Effect.forEach(
            Array.from({ length: users.length * 5 }, (_, i) => users[i % users.length]!.id),
            (userId) => edge.logoutAll({ userId }, person(userId, "customer")),
            { concurrency: 10 },
          )
          yield* Fiber.join(reader)
          const { entries } = yield* revocationsSince(start)
          assert.deepStrictEqual(
            [...last].sort(),
            entries.map(({ userId, revision }) => [userId, revision] as const).sort() as never,
          )
          assert.lengthOf(entries, users.length)
          // Who comes with a number from another database's time is told everything.
          const all = yield* revocationsSince(0n)
          assert.deepStrictEqual(yield* revocationsSince(10n ** 12n), all)
        }),
    )

    it.effect("who watches hears the newest revision at once, and of each change within a second", () =>
      Effect.gen(function* () {
        const edge = (yield* TestServer).as("edge")
        const { id: userId, self } = yield* signUp("watched")
        const heard: Array<bigint> = []
        const first = yield* Deferred.make<void>()
        const changed = yield* Deferred.make<void>()
        const before = (yield* revocationsSince(0n)).revision
        const listener = yield* edge.watchRevocations({}).pipe(
          Stream.runForEach(({ revision }) =>
            Effect.gen(function* () {
              heard.push(revision)
              yield* Deferred.succeed(first, undefined)
              if (revision > before) yield* Deferred.succeed(changed, undefined)
            }),
          ),
          Effect.fork,
        )
        yield* Deferred.await(first)
        assert.strictEqual(heard[0], before)
        const startedAt = performance.now()
        yield* edge.logoutAll({ userId }, self)
        yield* Deferred.await(changed)
        assert.isBelow(performance.now() - startedAt, 5_000)
        // And something, even where nothing happens.
        const count = heard.length
        yield* Effect.repeat(Effect.sleep(100), { until: () => heard.length > count, times: 150 })
        assert.isAbove(heard.length, count)
        yield* Fiber.interrupt(listener)
      }),
    )

    it.effect("keys are rotated by who may, once a request, with an audit row", () =>
      Effect.gen(function* () {
        const { as } = yield* TestServer
        const [edge, stack] = [as("edge"), as("stack")]
        const fresh = yield* edge.rotateKeys({ reason: "yearly", requestId: "keys-1" }, admin)
        assert.strictEqual(fresh.signsFromMs - fresh.createdAtMs, 60_000n)
        assert.deepStrictEqual(yield* stack.rotateKeys({ reason: "yearly", requestId: "keys-1" }), fresh)
        const { keys } = JSON.parse((yield* edge.getJwks({})).jwksJson) as { keys: Array<{ kid: string }> }
        assert.strictEqual(keys.at(-1)!.kid, fresh.kid)
        assert.strictEqual(yield* tagOf(stack.rotateKeys({ reason: "" })), "InvalidInput")
        const { entries } = yield* edge.listAudit({ action: "key.rotate" }, person(7, "auditor"))
        assert.deepStrictEqual(
          entries.map(({ actorId, targetId, reason }) => [Number(actorId), targetId, reason]),
          [[admin.caller.user_id, fresh.kid, "yearly"]],
        )
      }),
    )
  })
})
