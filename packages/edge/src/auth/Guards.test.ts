import { createHmac, createPublicKey } from "node:crypto"
import { create } from "@bufbuild/protobuf"
import * as HttpApi from "@effect/platform/HttpApi"
import { assert, describe, layer, it as test } from "@effect/vitest"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import {
  ChangePasswordResponseSchema,
  EraseUserResponseSchema,
  ExportUserResponseSchema,
  ListRevocationsResponseSchema,
  LogoutAllResponseSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { Api } from "@floodgate/contracts/http/Api"
import { permissionOf, signedIn } from "@floodgate/contracts/http/Auth"
import { type Permission, permissionsOf, type Role, roles } from "@floodgate/contracts/Roles"
import * as Effect from "effect/Effect"
import type * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import * as Tokens from "../testing/Tokens.ts"

const live = { excludeTestServices: true } as const

interface Row {
  readonly method: string
  readonly path: string
  /** `signedIn`, a permission, or `public`. */
  readonly guard: "signedIn" | "public" | Permission
  readonly guards: number
}

/** Read from the contract, so that no route can be forgotten. */
const rows: Array<Row> = []
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint, middleware }) => {
    const tags = [...middleware]
    const guard = tags.some((tag) => tag.key === signedIn.key)
      ? ("signedIn" as const)
      : (tags.map(permissionOf).find((name) => name !== undefined) ?? ("public" as const))
    rows.push({ method: endpoint.method, path: endpoint.path, guard, guards: tags.length })
  },
})

/** Everybody who may knock: each role alone, an account without any, and one that is banned. */
type Person = Role | "nobody" | "banned"
const people: ReadonlyArray<Person> = [...roles, "nobody", "banned"]

const everyone: ReadonlyArray<Person> = people
const accounts: ReadonlyArray<Person> = [...roles, "nobody"]

interface Expectation {
  /** Who is let in; the banned get 701, the others 403. */
  readonly who: ReadonlyArray<Person>
  /** Whose things it is about: the bearer's own, one thing that has an owner, or nobody's in particular. */
  readonly whose?: "self" | "owner"
}

/** By decision, written down apart from the contract: whoever changes a guard changes this too. */
const expectations: Record<string, Expectation> = {
  "POST /register": { who: everyone },
  "POST /login": { who: everyone },
  "POST /token/refresh": { who: everyone },
  "POST /logout": { who: everyone },
  // Who asks for more than stock must say who they are: a matter of the topics, held in push/.
  "GET /events": { who: everyone },
  "PUT /events/:stream_id": { who: everyone },
  "GET /products": { who: everyone },
  "GET /product/:id": { who: everyone },
  "GET /products/:id": { who: everyone },
  "POST /payment/callback/:channel": { who: everyone },
  "POST /payment/callback": { who: everyone },
  "GET /livez": { who: everyone },
  "GET /readyz": { who: everyone },
  "GET /.well-known/jwks.json": { who: everyone },
  "GET /openapi.json": { who: everyone },
  "GET /docs/errors/:code": { who: everyone },
  "POST /events/ticket": { who: accounts },
  "GET /profile": { who: accounts, whose: "self" },
  "DELETE /profile": { who: accounts, whose: "self" },
  "GET /profile/export": { who: accounts, whose: "self" },
  "POST /password": { who: accounts, whose: "self" },
  "POST /logout/all": { who: accounts, whose: "self" },
  "GET /wallet": { who: accounts, whose: "self" },
  "GET /wallet/entries": { who: accounts, whose: "self" },
  "GET /orders": { who: accounts, whose: "self" },
  "GET /orders/:order_num": { who: accounts, whose: "owner" },
  "POST /orders/:order_num/pay": { who: accounts, whose: "owner" },
  "POST /orders/:order_num/cancel": { who: accounts, whose: "owner" },
  "GET /payments/:payment_id": { who: accounts, whose: "owner" },
  "POST /seckill": { who: accounts },
  "POST /products": { who: ["operator", "admin"] },
  "POST /products/:id/queue": { who: accounts },
  "GET /products/:id/queue": { who: accounts },
  "GET /admin/overview": { who: ["operator", "risk", "finance", "auditor", "admin"] },
  "GET /admin/users": { who: ["risk", "auditor", "admin"] },
  "GET /admin/users/:id": { who: ["risk", "auditor", "admin"] },
  "POST /admin/users/:id/ban": { who: ["risk", "admin"] },
  "POST /admin/users/:id/unban": { who: ["risk", "admin"] },
  "POST /admin/users/:id/roles": { who: ["admin"] },
  "GET /admin/products": { who: ["operator", "auditor", "admin"] },
  "GET /admin/products/:id": { who: ["operator", "auditor", "admin"] },
  "GET /admin/products/:id/readiness": { who: ["operator", "auditor", "admin"] },
  "PATCH /admin/products/:id": { who: ["operator", "admin"] },
  "POST /admin/products/:id/warmup": { who: ["operator", "admin"] },
  "POST /admin/products/:id/withdraw": { who: ["operator", "admin"] },
  "POST /admin/products/:id/rebuild": { who: ["operator", "admin"] },
  "POST /admin/products/:id/clone": { who: ["operator", "admin"] },
  "POST /admin/products/:id/stock": { who: ["operator", "admin"] },
  "POST /admin/media": { who: ["operator", "admin"] },
  "GET /admin/stock-log": { who: ["operator", "auditor", "admin"] },
  "GET /admin/sale": { who: ["auditor", "admin"] },
  "POST /admin/sale/pause": { who: ["admin"] },
  "POST /admin/sale/resume": { who: ["admin"] },
  "GET /admin/orders": { who: ["operator", "risk", "finance", "auditor", "admin"] },
  "GET /admin/orders/:order_num": { who: ["operator", "risk", "finance", "auditor", "admin"] },
  "POST /admin/orders/:order_num/cancel": { who: ["operator", "admin"] },
  "GET /admin/dead-letters": { who: ["operator", "auditor", "admin"] },
  "GET /admin/dead-letters/:id": { who: ["operator", "auditor", "admin"] },
  "POST /admin/dead-letters/:id/replay": { who: ["admin"] },
  "POST /admin/dead-letters/:id/discard": { who: ["admin"] },
  "POST /wallet/topups": { who: accounts, whose: "self" },
  "GET /admin/payments": { who: ["finance", "auditor", "admin"] },
  "GET /admin/payments/:payment_id": { who: ["finance", "auditor", "admin"] },
  "GET /admin/refunds": { who: ["finance", "auditor", "admin"] },
  "POST /admin/orders/:order_num/refund": { who: ["finance", "admin"] },
  "GET /admin/webhooks": { who: ["auditor", "admin"] },
  "POST /admin/webhooks": { who: ["admin"] },
  "GET /admin/webhooks/:id": { who: ["auditor", "admin"] },
  "DELETE /admin/webhooks/:id": { who: ["admin"] },
  "GET /admin/webhooks/:id/deliveries": { who: ["auditor", "admin"] },
  "POST /admin/webhooks/:id/redeliver": { who: ["admin"] },
  "GET /admin/limits": { who: ["risk", "auditor", "admin"] },
  "GET /admin/limits/:name": { who: ["risk", "auditor", "admin"] },
  "PUT /admin/limits/:name": { who: ["risk", "admin"] },
  "POST /challenge": { who: accounts },
  "POST /challenge/:id": { who: accounts },
  "GET /risk/status": { who: accounts },
  "GET /admin/risk/rules": { who: ["risk", "auditor", "admin"] },
  "POST /admin/risk/rules": { who: ["risk", "admin"] },
  "GET /admin/risk/rules/:id": { who: ["risk", "auditor", "admin"] },
  "PUT /admin/risk/rules/:id": { who: ["risk", "admin"] },
  "DELETE /admin/risk/rules/:id": { who: ["risk", "admin"] },
  "GET /admin/risk/ip-list": { who: ["risk", "auditor", "admin"] },
  "PUT /admin/risk/ip-list": { who: ["risk", "admin"] },
  "DELETE /admin/risk/ip-list": { who: ["risk", "admin"] },
  "GET /admin/risk/records": { who: ["risk", "auditor", "admin"] },
  "GET /experiments": { who: accounts },
  "POST /experiments/:key/exposure": { who: accounts },
  "GET /admin/experiments": { who: ["risk", "auditor", "admin"] },
  "POST /admin/experiments": { who: ["risk", "admin"] },
  "GET /admin/experiments/:key": { who: ["risk", "auditor", "admin"] },
  "PUT /admin/experiments/:key": { who: ["risk", "admin"] },
  "POST /admin/experiments/:key/stop": { who: ["risk", "admin"] },
  "GET /admin/experiments/:key/results": { who: ["risk", "auditor", "admin"] },
  "GET /admin/audit": { who: ["auditor", "admin"] },
  "POST /admin/keys/rotate": { who: ["admin"] },
  "GET /admin/reconciliation": { who: ["operator", "risk", "finance", "auditor", "admin"] },
}

const routeOf = (row: Row): string => `${row.method} ${row.path}`

describe("the contract's guards", () => {
  test("every route has an expectation, and every expectation a route", () => {
    assert.sameMembers(rows.map(routeOf), Object.keys(expectations))
  })

  test("a route is public, or has exactly one guard, and lets in whom the expectation says", () => {
    for (const row of rows) {
      assert.strictEqual(row.guards, row.guard === "public" ? 0 : 1, row.path)
      const { guard } = row
      const who = people.filter((person) => {
        if (guard === "public") return true
        if (person === "banned") return false
        return guard === "signedIn" || (person !== "nobody" && permissionsOf[person].has(guard))
      })
      assert.sameMembers(who, [...(expectations[routeOf(row)]?.who ?? [])], routeOf(row))
    }
  })
})

const guarded = rows.filter((row) => row.guard !== "public")

const badTokens = () => {
  const key = TestEdge.signingKey
  const claims = Tokens.claims({ userId: 7 })
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url")
  const body = Buffer.from(JSON.stringify(claims)).toString("base64url")
  const pem = createPublicKey(key.privateKey).export({ format: "pem", type: "spki" })
  const hs = `${Buffer.from(JSON.stringify({ ...Tokens.header(key), alg: "HS256" })).toString("base64url")}.${body}`
  const nowS = Math.floor(Date.now() / 1000)
  const signed = (more: object) => `Bearer ${Tokens.sign(key, Tokens.header(key), { ...claims, ...more })}`
  return {
    none: undefined,
    garbage: "Bearer garbage",
    "another scheme": `Basic ${Tokens.token(key, { userId: 7 })}`,
    "no scheme": Tokens.token(key, { userId: 7 }),
    "alg none": `Bearer ${none}.${body}.`,
    "HS256 by the public key": `Bearer ${hs}.${createHmac("sha256", pem).update(hs).digest("base64url")}`,
    expired: signed({ exp: 1 }),
    "not good yet": signed({ nbf: nowS + 600 }),
    "for somebody else": signed({ aud: "somebody-else" }),
    "a refresh token": "Bearer rt_0123456789abcdef",
    "another key": `Bearer ${Tokens.token(Tokens.signingKey(key.kid), { userId: 7 })}`,
    "a key of nobody": `Bearer ${Tokens.token(Tokens.signingKey("nobody"), { userId: 7 })}`,
  } satisfies Record<string, string | undefined>
}

const BANNED_ID = 66
const OWNER = 7
const STRANGER = 8

/** The user of each call that reached a service. */
const asked: Array<bigint> = []

const owned = <A>(value: A) =>
  Effect.fn(function* ({ userId }: { readonly userId?: bigint }) {
    asked.push(userId!)
    return userId === BigInt(OWNER) ? value : yield* new NotFound({})
  })

const selfOf =
  <A>(value: A) =>
  ({ userId }: { readonly userId?: bigint }) =>
    Effect.sync(() => {
      asked.push(userId!)
      return value
    })

const peers: FakePeers.Peers = {
  identity: {
    listRevocations: ({ sinceRevision }) =>
      Effect.succeed(
        create(ListRevocationsResponseSchema, {
          revision: 1n,
          entries:
            sinceRevision === 0n
              ? [{ userId: BigInt(BANNED_ID), banned: true, notBeforeMs: 1n, revision: 1n }]
              : [],
        }),
      ),
    getUser: selfOf(Messages.user()),
    getWallet: selfOf(Messages.wallet()),
    listWalletEntries: selfOf(Messages.walletEntries([])),
    changePassword: selfOf(create(ChangePasswordResponseSchema, {})),
    logoutAll: selfOf(create(LogoutAllResponseSchema, {})),
    exportUser: selfOf(create(ExportUserResponseSchema, { documentJson: "{}" })),
    eraseUser: selfOf(create(EraseUserResponseSchema, {})),
  },
  ordering: {
    listOrders: selfOf(Messages.orders([])),
    getOrder: owned(Messages.order()),
    cancelOrder: owned(Messages.order()),
  },
  payment: {
    createIntent: owned(Messages.payment()),
    getPayment: owned(Messages.payment()),
    createTopUp: selfOf(Messages.payment()),
  },
}

const bodies: Record<string, object> = {
  "POST /orders/:order_num/pay": { channel: "balance" },
  "POST /wallet/topups": { amount: 100, channel: "sandbox" },
  "POST /password": { old_password: "correct horse", new_password: "battery staple" },
  "DELETE /profile": { password: "correct horse" },
}

layer(TestEdge.layer(peers), live)("the edge's guards", (it) => {
  const ask = (row: Row, authorization: string | undefined, body: object = {}) =>
    Effect.flatMap(TestEdge.TestEdge, (edge) =>
      edge.ask(row.path.replace(":order_num", Messages.orderNum).replace(/:[a-z_]+/g, "1"), {
        method: row.method,
        headers: {
          ...(authorization === undefined ? undefined : { authorization }),
          ...(/\/(pay|topups|refund)$/.test(row.path) ? { "idempotency-key": "k" } : undefined),
        },
        body: row.method === "GET" ? undefined : body,
      }),
    )
  const tokenOf = (person: Person): string =>
    TestEdge.bearer(
      person === "banned"
        ? { userId: BANNED_ID, roles: ["admin"] }
        : { userId: OWNER, roles: person === "nobody" ? [] : [person] },
    ).authorization

  for (const row of guarded) {
    it.effect(`${routeOf(row)} refuses every bad token with 401/401`, () =>
      Effect.gen(function* () {
        for (const [name, token] of Object.entries(badTokens())) {
          const answer = yield* ask(row, token)
          assert.deepStrictEqual([answer.status, answer.json.code], [401, 401], name)
        }
      }),
    )

    for (const person of people) {
      const allowed = expectations[routeOf(row)]?.who.includes(person) === true
      it.effect(`${routeOf(row)} ${allowed ? "lets" : "doesn't let"} ${person} in`, () =>
        Effect.gen(function* () {
          const { json, status, text } = yield* ask(row, tokenOf(person))
          if (person === "banned") assert.deepStrictEqual([status, json.code], [403, 701])
          // Inside, this request may fail for other reasons: not everything stands behind the edge here.
          else assert.strictEqual(json.code === 403, !allowed, text)
          assert.notStrictEqual(json.code, 401)
        }),
      )
    }

    const { whose } = expectations[routeOf(row)] ?? {}
    if (whose !== undefined) {
      const what = whose === "self" ? "is about the bearer and nobody else" : "is 404/404 for a stranger"
      it.effect(`${routeOf(row)} ${what}`, () =>
        Effect.gen(function* () {
          for (const userId of [OWNER, STRANGER]) {
            asked.length = 0
            const { authorization } = TestEdge.bearer({ userId })
            const { json, status, text } = yield* ask(row, authorization, bodies[routeOf(row)])
            const seen = whose === "self" || userId === OWNER
            assert.deepStrictEqual([status, json.code], seen ? [200, 0] : [404, 404], text)
            assert.isAbove(asked.length, 0)
            assert.isTrue(asked.every((id) => id === BigInt(userId)))
          }
        }),
      )
    }
  }
})
