import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import {
  Banned,
  Busy,
  type FloodgateError,
  Internal,
  InvalidInput,
  Unauthenticated,
  UsernameTaken,
  WrongCredentials,
  WrongState,
} from "@floodgate/contracts/errors/Errors"
import {
  ChangePasswordResponseSchema,
  EraseUserResponseSchema,
  ExportUserResponseSchema,
  LogoutAllResponseSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const { bearer } = TestEdge

/** What identity answers to a name. */
const byName: Record<string, FloodgateError> = {
  taken: new UsernameTaken({}),
  weak: InvalidInput.at("password", "is too common"),
  wrong: new WrongCredentials({}),
  banned: new Banned({}),
  away: new Busy({}),
  broken: new Internal({}),
  // Our credential, not the user's: must never look like the user's fault.
  refused: new Unauthenticated({}),
}

const answer = <A>(name: string, value: A) => {
  const error = byName[name]
  return error === undefined ? Effect.succeed(value) : Effect.fail(error as never)
}

const asked: Array<unknown> = []
const changes: Array<unknown> = []

/** How many orders each user has. */
const ordersOf: Record<number, number> = { 7: 150, 8: 1_200, 9: 0 }

layer(
  TestEdge.layer({
    identity: {
      register: (request) => answer(request.username!, Messages.user({ username: request.username! })),
      login: (request) => answer(request.username!, Messages.session()),
      refresh: (request) => answer(request.refreshToken!, Messages.session()),
      logout: (request) => answer(request.refreshToken!, Messages.logout()),
      getUser: (request, options) => {
        asked.push([request.userId, options?.caller])
        return Effect.succeed(Messages.user())
      },
      changePassword: (request, options) => {
        changes.push([request, options?.caller?.user_id])
        return Effect.as(answer(request.oldPassword!, null), create(ChangePasswordResponseSchema, {}))
      },
      logoutAll: (request, options) => {
        changes.push([request, options?.caller?.user_id])
        return Effect.succeed(create(LogoutAllResponseSchema, {}))
      },
      exportUser: () =>
        Effect.succeed(
          create(ExportUserResponseSchema, { documentJson: '{"username":"alice","wallet":[]}' }),
        ),
      eraseUser: (request, options) => {
        changes.push([request, options?.caller?.user_id])
        return request.password === "rich"
          ? Effect.fail(new WrongState({ state: "balance" }))
          : Effect.as(answer(request.password!, null), create(EraseUserResponseSchema, {}))
      },
      getWallet: () => Effect.succeed(Messages.wallet()),
      listWalletEntries: (request) =>
        request.pageToken === "bad"
          ? Effect.fail(InvalidInput.at("page_token", "is not a cursor of this list"))
          : Effect.succeed(
              Messages.walletEntries(
                [
                  {
                    id: 2n,
                    kind: 2,
                    amount: -9_900n,
                    balanceAfter: 990_100n,
                    orderNum: "n",
                    createdAtMs: 0n,
                  },
                  { id: 1n, kind: 1, amount: 1_000_000n, balanceAfter: 1_000_000n, createdAtMs: 0n },
                ],
                "more",
              ),
            ),
    },
    ordering: {
      listOrders: ({ pageSize, pageToken, userId }) => {
        const from = Number(pageToken || 0)
        const next = from + pageSize!
        const total = ordersOf[Number(userId)]!
        const count = Math.min(pageSize!, total - from)
        const orders = Array.from({ length: count }, (_, i) =>
          Messages.order({ id: BigInt(total - from - i) }),
        )
        return Effect.succeed(Messages.orders(orders, next < total ? String(next) : ""))
      },
    },
  }),
  live,
)("accounts, sessions, wallets", (it) => {
  const password = "correct horse"

  describe("register", () => {
    it.effect("201 with id and name", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const created = yield* ask("/register", { body: { username: "alice", password } })
        assert.strictEqual(created.status, 201)
        assert.deepStrictEqual(created.json, { code: 0, msg: "ok", data: { id: 7, username: "alice" } })
      }),
    )

    const refused: ReadonlyArray<readonly [string, unknown, number, number]> = [
      ["a taken name", { username: "taken", password }, 409, 501],
      ["a common password", { username: "weak", password }, 400, 400],
      ["a short name", { username: "ab", password }, 400, 400],
      ["an oversize name", { username: "a".repeat(33), password }, 400, 400],
      ["a name with blanks", { username: "a b c", password }, 400, 400],
      ["a name with a line end", { username: "alice\n", password }, 400, 400],
      ["a short password", { username: "alice", password: "1234567" }, 400, 400],
      ["an oversize password", { username: "alice", password: "a".repeat(129) }, 400, 400],
      ["a password with NUL", { username: "alice", password: "a\0bcdefgh" }, 400, 400],
      ["half a character", { username: "alice", password: "\ud800abcdefgh" }, 400, 400],
      ["a role", { username: "alice", password, roles: ["admin"] }, 400, 400],
      ["a balance", { username: "alice", password, balance: 1 }, 400, 400],
      ["identity away", { username: "away", password }, 503, 530],
      ["identity broken", { username: "broken", password }, 500, 500],
      ["our credential refused", { username: "refused", password }, 500, 500],
    ]
    for (const [name, body, status, code] of refused) {
      it.effect(`${name}: ${status}/${code}`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          const got = yield* ask("/register", { body })
          assert.deepStrictEqual([got.status, got.json.code], [status, code])
        }),
      )
    }
  })

  describe("sessions", () => {
    const session = {
      access_token: "access",
      refresh_token: "refresh",
      token_type: "Bearer",
      expires_in: 900,
      user: { id: 7, username: "alice", roles: ["customer"] },
    }

    it.effect("login and refresh answer a session", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const login = yield* ask("/login", { body: { username: "alice", password } })
        assert.deepStrictEqual(login.json.data, session)
        assert.strictEqual(login.headers["cache-control"], "no-store")
        const refresh = yield* ask("/token/refresh", { body: { refresh_token: "good" } })
        assert.deepStrictEqual(refresh.json.data, session)
        const logout = yield* ask("/logout", { body: { refresh_token: "good" } })
        assert.deepStrictEqual(logout.json, { code: 0, msg: "ok", data: null })
      }),
    )

    it.effect("an unknown user and a wrong password get the same bytes", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const wrong = yield* ask("/login", { body: { username: "wrong", password } })
        assert.deepStrictEqual([wrong.status, wrong.json.code], [401, 502])
      }),
    )

    it.effect("only a bad refresh token is told 401/401", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const refused = yield* ask("/token/refresh", { body: { refresh_token: "refused" } })
        assert.deepStrictEqual([refused.status, refused.json.code], [401, 401])
        const banned = yield* ask("/token/refresh", { body: { refresh_token: "banned" } })
        assert.deepStrictEqual([banned.status, banned.json.code], [403, 701])
        const login = yield* ask("/login", { body: { username: "banned", password } })
        assert.deepStrictEqual([login.status, login.json.code], [403, 701])
        const ours = yield* ask("/login", { body: { username: "refused", password } })
        assert.deepStrictEqual([ours.status, ours.json.code], [500, 500])
      }),
    )
  })

  it.effect("the profile is the bearer's, asked for in the bearer's name", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const got = yield* ask("/profile", { headers: bearer({ userId: 7, username: "alice" }) })
      assert.deepStrictEqual(got.json.data, {
        id: 7,
        username: "alice",
        roles: ["customer"],
        balance: 1_000_000,
        created_at: "2026-01-31T08:00:00.000Z",
        updated_at: "2026-01-31T08:00:00.000Z",
      })
      assert.deepStrictEqual(asked, [[7n, { user_id: 7, username: "alice", roles: ["customer"] }]])
    }),
  )

  describe("one's own account", () => {
    const headers = bearer({ userId: 7, username: "alice" })

    it.effect("a new password takes the old one, and is asked for in the bearer's name", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        changes.length = 0
        const body = { old_password: "correct horse", new_password: "battery staple" }
        const done = yield* ask("/password", { headers, body })
        assert.deepStrictEqual(done.json, { code: 0, msg: "ok", data: null })
        assert.deepStrictEqual(changes, [
          [{ userId: 7n, oldPassword: "correct horse", newPassword: "battery staple" }, 7],
        ])
        for (const [old_password, new_password, status, code] of [
          ["wrong", "battery staple", 401, 502],
          ["weak", "password", 400, 400],
          ["correct horse", "short", 400, 400],
          ["correct horse", "x".repeat(129), 400, 400],
          ["away", "battery staple", 503, 530],
        ] as const) {
          const answer = yield* ask("/password", { headers, body: { old_password, new_password } })
          assert.deepStrictEqual([answer.status, answer.json.code], [status, code], old_password)
        }
        const extra = yield* ask("/password", { headers, body: { ...body, user_id: 8 } })
        assert.strictEqual(extra.status, 400)
      }),
    )

    it.effect("sign-out everywhere needs no body, and takes no fields", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        changes.length = 0
        const done = yield* ask("/logout/all", { headers, method: "POST" })
        assert.deepStrictEqual(done.json, { code: 0, msg: "ok", data: null })
        assert.deepStrictEqual(changes, [[{ userId: 7n }, 7]])
        const other = yield* ask("/logout/all", { headers, body: { user_id: 8 } })
        assert.strictEqual(other.status, 400)
      }),
    )

    it.effect("an export has the account and all orders, and says where the rest of very many begins", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const { data } = (yield* ask("/profile/export", { headers })).json
        assert.deepStrictEqual(data.account, { username: "alice", wallet: [] })
        assert.lengthOf(data.orders, 150)
        assert.strictEqual(data.orders[0].id, 150)
        assert.strictEqual(data.orders[149].id, 1)
        assert.isNull(data.orders_next_cursor)
        assert.match(data.exported_at, /^\d{4}-.*Z$/)
        const many = (yield* ask("/profile/export", { headers: bearer({ userId: 8 }) })).json.data
        assert.lengthOf(many.orders, 1_000)
        assert.strictEqual(many.orders_next_cursor, "1000")
        const none = (yield* ask("/profile/export", { headers: bearer({ userId: 9 }) })).json.data
        assert.deepStrictEqual(none.orders, [])
      }),
    )

    it.effect("erasing takes the password, and tells what stands against it", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        changes.length = 0
        const erase = (body: unknown) => ask("/profile", { method: "DELETE", headers, body })
        const done = yield* erase({ password: "correct horse" })
        assert.deepStrictEqual(done.json, { code: 0, msg: "ok", data: null })
        assert.deepStrictEqual(changes, [[{ userId: 7n, password: "correct horse" }, 7]])
        const wrong = yield* erase({ password: "wrong" })
        assert.deepStrictEqual([wrong.status, wrong.json.code], [401, 502])
        const rich = yield* erase({ password: "rich" })
        assert.deepStrictEqual(
          [rich.status, rich.json.code, rich.json.data],
          [409, 520, { state: "balance" }],
        )
        assert.strictEqual((yield* erase({})).status, 400)
        assert.strictEqual((yield* erase({ password: "correct horse", user_id: 8 })).status, 400)
      }),
    )
  })

  it.effect("the wallet and what moved it", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const headers = bearer({ userId: 7 })
      const wallet = yield* ask("/wallet", { headers })
      assert.deepStrictEqual(wallet.json.data, { balance: 1_000_000, currency: "CNY" })
      const entries = yield* ask("/wallet/entries?limit=2", { headers })
      const created_at = "1970-01-01T00:00:00.000Z"
      assert.deepStrictEqual(entries.json.data, {
        items: [
          { id: 2, kind: "payment", amount: -9_900, balance_after: 990_100, order_num: "n", created_at },
          { id: 1, kind: "topup", amount: 1_000_000, balance_after: 1_000_000, order_num: null, created_at },
        ],
        next_cursor: "more",
      })
      const bad = yield* ask("/wallet/entries?cursor=bad", { headers })
      assert.deepStrictEqual([bad.status, bad.json.data.issues[0].path], [400, "cursor"])
    }),
  )
})
