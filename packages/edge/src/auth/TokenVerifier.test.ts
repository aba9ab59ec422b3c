import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Busy } from "@floodgate/contracts/errors/Errors"
import {
  GetJwksResponseSchema,
  ListRevocationsResponseSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as FakePeers from "../testing/FakePeers.ts"
import * as Tokens from "../testing/Tokens.ts"
import * as Revocations from "./Revocations.ts"
import { TokenCache } from "./TokenCache.ts"
import * as TokenVerifier from "./TokenVerifier.ts"

const first = Tokens.signingKey("k1")
const second = Tokens.signingKey("k2")

/** Identity with a key set that can be changed, or taken away. */
const makeIdentity = () => {
  const state = { jwks: Tokens.jwks(first) as string | undefined, calls: 0 }
  const peers = FakePeers.identity({
    getJwks: () =>
      Effect.suspend(() => {
        state.calls++
        return state.jwks === undefined
          ? Effect.fail(new Busy({}))
          : Effect.succeed(create(GetJwksResponseSchema, { jwksJson: state.jwks }))
      }),
    listRevocations: () => Effect.succeed(create(ListRevocationsResponseSchema, {})),
  })
  const layer = TokenVerifier.layer.pipe(
    Layer.provide(Revocations.layer),
    Layer.provide(peers),
    Layer.provideMerge(Readiness.layer),
  )
  return { state, layer }
}

const header = (key: Tokens.SigningKey) => `Bearer ${Tokens.token(key, { userId: 7 })}`

// Tokens carry real times, so the clock of the tests starts there.
const atRealTime = Effect.suspend(() => TestClock.setTime(Date.now()))

describe("TokenVerifier", () => {
  it.effect("verifies without waiting once the keys are there", () => {
    const { layer } = makeIdentity()
    return Effect.gen(function* () {
      const verifier = yield* TokenVerifier.TokenVerifier
      yield* Effect.yieldNow()
      const authorization = header(first)
      assert.deepInclude(verifier.verifySync(authorization), { userId: 7 })
      assert.deepInclude(verifier.verifySync(authorization), { userId: 7 })
      for (const bad of [
        undefined,
        "",
        "Bearer",
        authorization.slice(7),
        `Basic ${authorization.slice(7)}`,
      ]) {
        assert.isUndefined(verifier.verifySync(bad))
      }
    }).pipe(Effect.provide(layer), (test) => Effect.zipRight(atRealTime, test))
  })

  it.effect("a token that was good is refused from its end on", () => {
    const { layer } = makeIdentity()
    return Effect.gen(function* () {
      const verifier = yield* TokenVerifier.TokenVerifier
      yield* Effect.yieldNow()
      const authorization = header(first)
      assert.isObject(verifier.verifySync(authorization))
      yield* TestClock.adjust("16 minutes")
      assert.isUndefined(verifier.verifySync(authorization))
    }).pipe(Effect.provide(layer), (test) => Effect.zipRight(atRealTime, test))
  })

  it.effect("an unknown key is fetched, at most once a second, whoever asks", () => {
    const { layer, state } = makeIdentity()
    return Effect.gen(function* () {
      const verifier = yield* TokenVerifier.TokenVerifier
      yield* Effect.yieldNow()
      assert.strictEqual(state.calls, 1)
      yield* TestClock.adjust("2 seconds")
      const unknown = header(second)
      const crowd = Effect.all(
        Array.from({ length: 50 }, () => Effect.flip(verifier.verify(unknown))),
        { concurrency: "unbounded" },
      )
      const errors = yield* crowd
      assert.isTrue(errors.every((error) => error._tag === "Unauthenticated"))
      assert.strictEqual(state.calls, 2)
      state.jwks = Tokens.jwks(first, second)
      yield* Effect.flip(verifier.verify(unknown))
      assert.strictEqual(state.calls, 2)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* verifier.verify(unknown), { userId: 7 })
      assert.strictEqual(state.calls, 3)
    }).pipe(Effect.provide(layer), (test) => Effect.zipRight(atRealTime, test))
  })

  it.effect("identity away: the keys at hand go on serving; without any the answer is busy, not 401", () => {
    const { layer, state } = makeIdentity()
    state.jwks = undefined
    return Effect.gen(function* () {
      const verifier = yield* TokenVerifier.TokenVerifier
      const readiness = yield* Readiness.Readiness
      yield* Effect.yieldNow()
      assert.isFalse((yield* readiness.status).ready)
      assert.strictEqual((yield* Effect.flip(verifier.verify(header(first))))._tag, "Busy")
      assert.strictEqual((yield* Effect.flip(verifier.verify("Bearer garbage")))._tag, "Unauthenticated")
      assert.strictEqual((yield* Effect.flip(verifier.jwks))._tag, "Busy")
      state.jwks = Tokens.jwks(first)
      yield* TestClock.adjust("1 second")
      assert.isTrue((yield* readiness.status).ready)
      assert.deepInclude(yield* verifier.verify(header(first)), { userId: 7 })
      state.jwks = undefined
      yield* TestClock.adjust("10 minutes")
      assert.deepInclude(yield* verifier.verify(header(first)), { userId: 7 })
      assert.strictEqual(yield* verifier.jwks, Tokens.jwks(first))
    }).pipe(Effect.provide(layer), (test) => Effect.zipRight(atRealTime, test))
  })

  it.effect("a key that is withdrawn takes its tokens with it", () => {
    const { layer, state } = makeIdentity()
    return Effect.gen(function* () {
      const verifier = yield* TokenVerifier.TokenVerifier
      yield* Effect.yieldNow()
      const authorization = header(first)
      assert.isObject(verifier.verifySync(authorization))
      state.jwks = Tokens.jwks(second)
      yield* TestClock.adjust("31 seconds")
      assert.strictEqual(verifier.verifySync(authorization), "unsure")
    }).pipe(Effect.provide(layer), (test) => Effect.zipRight(atRealTime, test))
  })
})

describe("TokenCache", () => {
  const verified = { user: { userId: 1, username: "a", roles: [] }, issuedMs: 0, expiresMs: 1 }

  it("never holds more than its capacity, and keeps what is used", () => {
    const cache = new TokenCache(100)
    cache.set("kept", verified)
    for (let i = 0; i < 10_000; i++) {
      cache.set(`t${i}`, verified)
      assert.isAtMost(cache.size, 100)
      assert.isDefined(cache.get("kept"))
    }
    assert.isUndefined(cache.get("t0"))
  })
})
