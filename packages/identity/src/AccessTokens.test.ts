import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { AccessTokens } from "./AccessTokens.ts"
import * as TestIdentity from "./testing/TestIdentity.ts"

describe("AccessTokens", () => {
  it.effect("a new key signs only once it has been published for a minute", () => {
    const nowMs = Date.parse("2026-06-01T00:00:00Z")
    const at = (agoMs: number) => new Date(nowMs - agoMs).toISOString()
    const signedBy = (...keys: ReadonlyArray<unknown>) =>
      Effect.flatMap(AccessTokens, ({ sign }) => sign({ userId: 1, username: "u", roles: [] })).pipe(
        Effect.map((token) => JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()).kid),
        Effect.provide(
          AccessTokens.layer.pipe(Layer.provide(TestIdentity.configLayer({ environment: "dev", keys }))),
        ),
      )
    return Effect.gen(function* () {
      yield* TestClock.setTime(nowMs)
      const old = TestIdentity.newKey("old", at(86_400_000))
      assert.strictEqual(yield* signedBy(old, TestIdentity.newKey("new", at(59_000))), "old")
      assert.strictEqual(yield* signedBy(old, TestIdentity.newKey("new", at(61_000))), "new")
      assert.strictEqual(yield* signedBy(TestIdentity.newKey("only", at(0))), "only")
      const bad = yield* Effect.flip(signedBy({ ...old, private_jwk: { kty: "oct", k: "geheim" } }))
      assert.strictEqual(bad._tag, "ConfigInvalid")
      assert.notInclude(bad.message, "geheim")
    })
  })
})
