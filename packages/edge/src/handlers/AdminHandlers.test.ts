import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import { Busy, InvalidInput, NotFound, StaleVersion, WrongState } from "@floodgate/contracts/errors/Errors"
import {
  type ListAuditRequest,
  ListAuditResponseSchema,
} from "@floodgate/contracts/gen/floodgate/audit/v1/audit_pb"
import {
  AccountState,
  BatchGetUsersResponseSchema,
  ListUsersResponseSchema,
  RotateKeysResponseSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import type { AuditService } from "@floodgate/contracts/http/Audit"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const headers = TestEdge.bearer({ userId: 1, username: "root", roles: ["admin"] })

let asked: Array<any> = []

const by =
  (name: string) =>
  (request: any, options?: any): Effect.Effect<any, any> => {
    asked.push([name, request, options?.caller?.user_id])
    switch (request.userId) {
      case 404n:
        return Effect.fail(new NotFound({}))
      case 409n:
        return Effect.fail(new StaleVersion({ version: 9 }))
      case 520n:
        return Effect.fail(new WrongState({ state: "banned" }))
      default:
        return Effect.succeed(
          Messages.user({
            id: request.userId,
            state: AccountState.BANNED,
            bannedReason: "fraud",
            version: 4n,
          }),
        )
    }
  }

/** 250 users, newest first. */
const names = Array.from({ length: 250 }, (_, i) => `user${250 - i}`)

const trail =
  (service: AuditService, atMs: number, actorId: bigint) => (request: Partial<ListAuditRequest>) => {
    asked.push([service, request])
    if (service === "payment" && request.action === "away") return Effect.fail(new Busy({}))
    return Effect.succeed(
      create(ListAuditResponseSchema, {
        entries: [
          {
            id: 5n,
            atMs: BigInt(atMs),
            actorId,
            action: "user.ban",
            targetType: "user",
            targetId: "9",
            beforeJson: '{"state":"active"}',
            afterJson: '{"state":"banned"}',
            reason: '=cmd|"/c calc"!A1',
            traceId: service === "identity" ? "0af7651916cd43dd8448eb211c80319c" : "",
            hash: service === "identity" ? "ab".repeat(32) : "",
          },
        ],
      }),
    )
  }

layer(
  TestEdge.layer({
    identity: {
      getUser: by("get"),
      banUser: by("ban"),
      unbanUser: by("unban"),
      setRoles: by("roles"),
      listUsers: (request, options) => {
        asked.push(["list", request, options?.caller?.user_id])
        if (request.pageToken === "bad") {
          return Effect.fail(InvalidInput.at("page_token", "is not a cursor of this list"))
        }
        const from = Number(request.pageToken || 0)
        const users = names
          .slice(from, from + request.pageSize!)
          .map((username, i) =>
            Messages.user({ id: BigInt(250 - from - i), username, state: 1, version: 1n }),
          )
        const next = from + request.pageSize!
        return Effect.succeed(
          create(ListUsersResponseSchema, { users, nextPageToken: next < names.length ? String(next) : "" }),
        )
      },
      batchGetUsers: (request) => {
        asked.push(["names", request.userIds])
        return Effect.succeed(
          create(BatchGetUsersResponseSchema, {
            users: [Messages.user({ id: 1n, username: "root" }), Messages.user({ id: 3n, username: "" })],
          }),
        )
      },
      rotateKeys: (request) => {
        asked.push(["rotate", request])
        return Effect.succeed(
          create(RotateKeysResponseSchema, { kid: "k2", createdAtMs: 0n, signsFromMs: 60_000n }),
        )
      },
      listAudit: trail("identity", 1_000, 1n),
    },
    inventory: { listAudit: trail("inventory", 3_000, 0n) },
    ordering: { listAudit: trail("ordering", 2_000, 3n) },
    payment: { listAudit: trail("payment", 4_000, 1n) },
  }),
  live,
)("the console's accounts, keys and audit trail", (it) => {
  const ask = (path: string, body?: unknown, more: Record<string, string> = {}) =>
    Effect.suspend(() => {
      asked = []
      return Effect.flatMap(TestEdge.TestEdge, (edge) =>
        edge.ask(path, { headers: { ...headers, ...more }, ...(body === undefined ? {} : { body }) }),
      )
    })

  describe("users", () => {
    const user = {
      id: 9,
      username: "alice",
      roles: ["customer"],
      state: "banned",
      banned: true,
      banned_reason: "fraud",
      ban_until: null,
      balance: 1_000_000,
      version: 4,
      created_at: "2026-01-31T08:00:00.000Z",
      updated_at: "2026-01-31T08:00:00.000Z",
    }

    it.effect("one by id; a list by the filters, in the asker's name", () =>
      Effect.gen(function* () {
        const one = yield* ask("/admin/users/9")
        assert.deepStrictEqual(one.json.data, user)
        assert.deepStrictEqual(asked, [["get", { userId: 9n }, 1]])
        assert.strictEqual((yield* ask("/admin/users/404")).json.code, 404)
        const list = yield* ask(
          "/admin/users?q=Ali&banned=false&limit=2&cursor=4&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00%2B08:00",
        )
        assert.deepStrictEqual(
          list.json.data.items.map((item: { id: number }) => item.id),
          [246, 245],
        )
        assert.strictEqual(list.json.data.next_cursor, "6")
        assert.deepStrictEqual(asked[0][1], {
          q: "Ali",
          banned: false,
          fromMs: BigInt(Date.UTC(2026, 0, 1)),
          toMs: BigInt(Date.UTC(2026, 0, 31, 16)),
          pageSize: 2,
          pageToken: "4",
        })
        assert.strictEqual(asked[0][2], 1)
        yield* ask("/admin/users")
        assert.deepStrictEqual(asked[0][1], { q: "", fromMs: 0n, toMs: 0n, pageSize: 20, pageToken: "" })
      }),
    )

    for (const query of [
      "limit=1e9",
      "limit=0",
      "limit=101",
      "cursor=bad",
      "cursor=%20",
      "banned=1",
      "from=yesterday",
      "to=5",
      "format=xml",
      "q=",
      `q=${"a".repeat(65)}`,
      "q=%00",
      "role=admin",
    ]) {
      it.effect(`?${query.slice(0, 30)} is 400`, () =>
        Effect.gen(function* () {
          const answer = yield* ask(`/admin/users?${query}`)
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400])
          assert.strictEqual(answer.json.data.issues[0].path, query.split("=")[0])
        }),
      )
    }

    it.effect("as CSV: all of them, page by page, or as many as asked for with a link to the next", () =>
      Effect.gen(function* () {
        const all = yield* ask("/admin/users?format=csv&q=u")
        assert.strictEqual(all.status, 200)
        assert.match(String(all.headers["content-type"]), /^text\/csv/)
        assert.strictEqual(all.headers["content-disposition"], 'attachment; filename="users.csv"')
        assert.strictEqual(all.headers["x-content-type-options"], "nosniff")
        assert.strictEqual(all.headers["cache-control"], "no-store")
        assert.isUndefined(all.headers["link"])
        const lines = all.text.split("\r\n")
        assert.strictEqual(
          lines[0],
          "id,username,roles,state,banned_reason,ban_until,balance,version,created_at,updated_at",
        )
        assert.lengthOf(lines, 252)
        assert.lengthOf(asked, 3)
        const some = yield* ask("/admin/users?format=csv&q=u&limit=7")
        assert.lengthOf(some.text.split("\r\n"), 9)
        assert.strictEqual(some.headers["link"], '</admin/users?format=csv&q=u&limit=7&cursor=7>; rel="next"')
      }),
    )

    const writes = [
      ["ban", { reason: "fraud" }, {}],
      ["unban", { reason: "a mistake" }, {}],
      ["roles", { reason: "joins the team", roles: ["customer", "operator"] }, {}],
    ] as const
    for (const [name, body] of writes) {
      it.effect(`${name} carries reason, version and an id made of the key`, () =>
        Effect.gen(function* () {
          const done = yield* ask(`/admin/users/9/${name}`, { ...body, version: 3 })
          assert.deepStrictEqual(done.json.data, user)
          const [called, request, caller] = asked[0]
          assert.deepStrictEqual([called, caller], [name, 1])
          assert.deepInclude(request, { userId: 9n, reason: body.reason, version: 3n })
          assert.match(request.requestId, /^[0-9a-f-]{36}$/)
          yield* ask(`/admin/users/9/${name}`, body)
          assert.strictEqual(asked[0][1].version, 0n)
          assert.notStrictEqual(asked[0][1].requestId, request.requestId)
        }),
      )

      it.effect(`${name}: a stale version is 409/525 with the current one, a wrong state 409/520`, () =>
        Effect.gen(function* () {
          const stale = yield* ask(`/admin/users/409/${name}`, { ...body, version: 3 })
          assert.deepStrictEqual([stale.status, stale.json.code, stale.json.data], [409, 525, { version: 9 }])
          const state = yield* ask(`/admin/users/520/${name}`, body)
          assert.deepStrictEqual(
            [state.status, state.json.code, state.json.data],
            [409, 520, { state: "banned" }],
          )
          assert.strictEqual((yield* ask(`/admin/users/404/${name}`, body)).json.code, 404)
        }),
      )

      for (const [what, wrong] of [
        ["no reason", { reason: undefined }],
        ["an empty reason", { reason: "" }],
        ["a blank reason", { reason: "  " }],
        ["a long reason", { reason: "x".repeat(501) }],
        ["a reason with bidi", { reason: "a\u202eb" }],
        ["a version that is none", { version: 0 }],
        ["another field", { status: "active" }],
      ] as const) {
        it.effect(`${name} with ${what} is 400 and asks nobody`, () =>
          Effect.gen(function* () {
            const answer = yield* ask(`/admin/users/9/${name}`, { ...body, ...wrong })
            assert.deepStrictEqual([answer.status, answer.json.code], [400, 400])
            assert.lengthOf(asked, 0)
          }),
        )
      }
    }

    it.effect("a ban may have an end, in the future", () =>
      Effect.gen(function* () {
        const until = Math.floor(Date.now() / 1000) * 1000 + 60_000
        yield* ask("/admin/users/9/ban", { reason: "x", until: new Date(until).toISOString() })
        assert.strictEqual(asked[0][1].untilMs, BigInt(until))
        const past = yield* ask("/admin/users/9/ban", { reason: "x", until: "2020-01-01T00:00:00Z" })
        assert.deepStrictEqual([past.status, past.json.data.issues[0].path], [400, "until"])
      }),
    )

    it.effect("roles are those that there are, each once", () =>
      Effect.gen(function* () {
        for (const roles of [["root"], ["admin", "admin"], "admin", undefined, [1]]) {
          const answer = yield* ask("/admin/users/9/roles", { reason: "x", roles })
          assert.strictEqual(answer.status, 400)
        }
        assert.strictEqual((yield* ask("/admin/users/9/roles", { reason: "x", roles: [] })).status, 200)
      }),
    )

    for (const id of ["0", "-1", "1e3", "9007199254740993", "NaN", "x"]) {
      it.effect(`the id ${id} is 400`, () =>
        Effect.gen(function* () {
          assert.strictEqual((yield* ask(`/admin/users/${id}`)).status, 400)
          assert.strictEqual((yield* ask(`/admin/users/${id}/ban`, { reason: "x" })).status, 400)
        }),
      )
    }
  })

  describe("audit", () => {
    it.effect("one list of all services, newest first, with names", () =>
      Effect.gen(function* () {
        const answer = yield* ask(
          "/admin/audit?actor=1&action=user.ban&target=user:9&from=2026-01-01T00:00:00Z&limit=3",
        )
        assert.strictEqual(answer.status, 200, answer.text)
        const { items, next_cursor } = answer.json.data
        assert.deepStrictEqual(
          items.map((item: any) => [item.id, item.at, item.actor_id, item.actor_name]),
          [
            ["payment-5", "1970-01-01T00:00:04.000Z", 1, "root"],
            ["inventory-5", "1970-01-01T00:00:03.000Z", null, null],
            ["ordering-5", "1970-01-01T00:00:02.000Z", 3, null],
          ],
        )
        assert.isString(next_cursor)
        for (const [service, request] of asked.filter(([name]) => name !== "names")) {
          assert.deepStrictEqual(
            request,
            {
              actorId: 1n,
              action: "user.ban",
              target: "user:9",
              fromMs: BigInt(Date.UTC(2026, 0, 1)),
              toMs: 0n,
              pageSize: 3,
              pageToken: "",
            },
            service,
          )
        }
        const rest = yield* ask(`/admin/audit?limit=3&cursor=${next_cursor}`)
        assert.isNull(rest.json.data.next_cursor)
        assert.deepStrictEqual(rest.json.data.items, [
          {
            id: "identity-5",
            at: "1970-01-01T00:00:01.000Z",
            service: "identity",
            actor_id: 1,
            actor_name: "root",
            action: "user.ban",
            target_type: "user",
            target_id: "9",
            before: { state: "active" },
            after: { state: "banned" },
            reason: '=cmd|"/c calc"!A1',
            trace_id: "0af7651916cd43dd8448eb211c80319c",
            hash: "ab".repeat(32),
          },
        ])
      }),
    )

    it.effect("as CSV it can't run anything", () =>
      Effect.gen(function* () {
        const answer = yield* ask("/admin/audit?format=csv")
        const lines = answer.text.split("\r\n")
        assert.lengthOf(lines, 6)
        assert.include(lines[1], `"'=cmd|""/c calc""!A1"`)
      }),
    )

    it.effect("a service that is away makes it 503, not shorter; a bad cursor is 400", () =>
      Effect.gen(function* () {
        const away = yield* ask("/admin/audit?action=away")
        assert.deepStrictEqual([away.status, away.json.code], [503, 530])
        for (const query of ["cursor=abc", "actor=x", "action=DROP%20TABLE", "limit=1e9"]) {
          const bad = yield* ask(`/admin/audit?${query}`)
          assert.deepStrictEqual([bad.status, bad.json.data.issues[0].path], [400, query.split("=")[0]])
        }
      }),
    )
  })

  it.effect("rotating keys tells from when the new one signs, and asks for a reason", () =>
    Effect.gen(function* () {
      const answer = yield* ask("/admin/keys/rotate", { reason: "quarterly" })
      assert.deepStrictEqual(answer.json.data, {
        kid: "k2",
        created_at: "1970-01-01T00:00:00.000Z",
        signs_from: "1970-01-01T00:01:00.000Z",
      })
      assert.strictEqual(asked[0][1].reason, "quarterly")
      assert.strictEqual((yield* ask("/admin/keys/rotate", {})).status, 400)
    }),
  )
})
