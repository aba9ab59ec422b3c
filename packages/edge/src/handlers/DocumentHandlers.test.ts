import { assert, layer } from "@effect/vitest"
import { catalogue } from "@floodgate/contracts/errors/Catalogue"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Effect from "effect/Effect"
import * as TestEdge from "../testing/TestEdge.ts"
import * as Tokens from "../testing/Tokens.ts"

const live = { excludeTestServices: true } as const

layer(TestEdge.layer({}), live)("documents and health", (it) => {
  it.effect("the key set is passed on, outside the envelope", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const answer = yield* ask("/.well-known/jwks.json")
      assert.strictEqual(answer.text, Tokens.jwks(TestEdge.signingKey))
      assert.strictEqual(answer.headers["cache-control"], "public, max-age=30")
      assert.notInclude(answer.text, '"d"')
    }),
  )

  it.effect("the OpenAPI document has every route, and errors as they travel", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const { json } = yield* ask("/openapi.json")
      assert.strictEqual(json.openapi, "3.1.0")
      const seckill = json.paths["/seckill"].post
      assert.deepStrictEqual(seckill.security, [{ bearer: [] }])
      assert.includeMembers(Object.keys(seckill.responses), ["202", "400", "401", "404", "409", "422", "503"])
      const busy = json.components.schemas.Busy ?? {}
      assert.deepStrictEqual(busy.properties.code.enum, [530])
      assert.notInclude(JSON.stringify(json), "HttpApiDecodeError")
    }),
  )

  it.effect("every code has a page in both languages", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      for (const row of Object.values(catalogue)) {
        const page = yield* ask(`/docs/errors/${row.code}`)
        assert.strictEqual(page.status, 200)
        assert.strictEqual(page.headers["content-type"], "text/html; charset=utf-8")
        assert.include(page.text, row.zh)
        assert.include(page.text, row.en.replace("'", "'"))
      }
      assert.strictEqual((yield* ask("/docs/errors/999")).status, 404)
      assert.strictEqual((yield* ask("/docs/errors/<script>")).status, 404)
    }),
  )

  it.effect("livez says that it lives, readyz what it needs", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      assert.deepStrictEqual((yield* ask("/livez")).json.data, { status: "ok" })
      assert.deepStrictEqual((yield* ask("/readyz")).json.data, { status: "ready" })
      const readiness = yield* Readiness.Readiness
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* readiness.register("something", Effect.succeed(false))
          const answer = yield* ask("/readyz")
          assert.deepStrictEqual([answer.status, answer.json.code], [503, 530])
          assert.deepStrictEqual(answer.json.data, { status: "not_ready" })
        }),
      )
    }),
  )
})
