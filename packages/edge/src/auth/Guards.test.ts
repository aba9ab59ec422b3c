import * as HttpApi from "@effect/platform/HttpApi"
import { assert, describe, layer, it as test } from "@effect/vitest"
import { Api } from "@floodgate/contracts/http/Api"
import { permissionOf, signedIn } from "@floodgate/contracts/http/Auth"
import { type Permission, permissionsOf, type Role, roles } from "@floodgate/contracts/Roles"
import * as Effect from "effect/Effect"
import * as TestEdge from "../testing/TestEdge.ts"
import * as Tokens from "../testing/Tokens.ts"

const live = { excludeTestServices: true } as const

interface Row {
  readonly method: string
  readonly path: string
  /** `signedIn`, a permission, or undefined where the route is public. */
  readonly guard: "signedIn" | Permission | undefined
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
      : tags.map(permissionOf).find((name) => name !== undefined)
    rows.push({ method: endpoint.method, path: endpoint.path, guard, guards: tags.length })
  },
})

const PUBLIC = [
  "POST /register",
  "POST /login",
  "POST /token/refresh",
  "POST /logout",
  "GET /products",
  "GET /product/:id",
  "GET /products/:id",
  "POST /payment/callback/:channel",
  "POST /payment/callback",
  "GET /livez",
  "GET /readyz",
  "GET /.well-known/jwks.json",
  "GET /openapi.json",
  "GET /docs/errors/:code",
]

describe("the contract's guards", () => {
  test("a route is public by decision, or has exactly one guard", () => {
    const open = rows.filter((row) => row.guard === undefined).map((row) => `${row.method} ${row.path}`)
    assert.sameMembers(open, PUBLIC)
    for (const row of rows) assert.strictEqual(row.guards, row.guard === undefined ? 0 : 1, row.path)
  })
})

const guarded = rows.filter((row) => row.guard !== undefined)

const badTokens = () => {
  const key = TestEdge.signingKey
  const claims = Tokens.claims({ userId: 7 })
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url")
  return {
    none: undefined,
    garbage: "Bearer garbage",
    "another scheme": `Basic ${Tokens.token(key, { userId: 7 })}`,
    "no scheme": Tokens.token(key, { userId: 7 }),
    "alg none": `Bearer ${none}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.`,
    expired: `Bearer ${Tokens.sign(key, Tokens.header(key), { ...claims, exp: 1 })}`,
    "another key": `Bearer ${Tokens.token(Tokens.signingKey(key.kid), { userId: 7 })}`,
    "a key of nobody": `Bearer ${Tokens.token(Tokens.signingKey("nobody"), { userId: 7 })}`,
  } satisfies Record<string, string | undefined>
}

layer(TestEdge.layer({}), live)("the edge's guards", (it) => {
  const ask = (row: Row, authorization: string | undefined) =>
    Effect.flatMap(TestEdge.TestEdge, (edge) =>
      edge.ask(row.path.replace(/:[a-z_]+/g, "1"), {
        method: row.method,
        headers: authorization === undefined ? {} : { authorization },
        body: row.method === "GET" ? undefined : {},
      }),
    )

  for (const row of guarded) {
    it.effect(`${row.method} ${row.path} refuses every bad token with 401/401`, () =>
      Effect.gen(function* () {
        for (const [name, token] of Object.entries(badTokens())) {
          const answer = yield* ask(row, token)
          assert.deepStrictEqual([answer.status, answer.json.code], [401, 401], name)
        }
      }),
    )

    for (const role of roles as ReadonlyArray<Role>) {
      const { guard } = row
      const allowed = guard === "signedIn" || permissionsOf[role].has(guard!)
      it.effect(`${row.method} ${row.path} ${allowed ? "lets" : "doesn't let"} ${role} in`, () =>
        Effect.gen(function* () {
          const { authorization } = TestEdge.bearer({ userId: 7, roles: [role] })
          const answer = yield* ask(row, authorization)
          // Inside, this request fails for other reasons: nothing stands behind the edge here.
          assert.strictEqual(answer.json.code === 403, !allowed, answer.text)
          assert.notStrictEqual(answer.json.code, 401)
        }),
      )
    }
  }
})
