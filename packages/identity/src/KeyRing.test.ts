import { assert, describe, it, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { createLocalJWKSet } from "jose/jwks/local"
import { jwtVerify } from "jose/jwt/verify"
import { AccessTokens } from "./AccessTokens.ts"
import * as KeyRing from "./KeyRing.ts"
import * as SealedKeys from "./SealedKeys.ts"
import { KeyStore } from "./store/KeyStore.ts"
import { NOW_MS } from "./store/UserRows.ts"
import * as TestIdentity from "./testing/TestIdentity.ts"

const key = TestIdentity.newKey("first", "2026-01-01T00:00:00Z")
const fileOf = (...keys: ReadonlyArray<unknown>) => ({ environment: "dev", keys })

const database = TestMysql.layer({ migrations: ["identity"], main: "identity" })

const overlap = { aheadMs: 1_500, keepMs: 2_000 }

/** One more instance on the same database. */
const instance = (file: unknown = fileOf(key), secret?: string) =>
  KeyRing.make(overlap).pipe(
    Effect.provide(KeyStore.layer),
    Effect.provide(TestIdentity.configLayer(file, secret)),
  )

/** The database's time, in ms. */
const now = Effect.flatMap(Mysql, ({ run, sql }) =>
  Effect.map(
    run("now", sql<{ now_ms: number }>`SELECT ${sql.literal(NOW_MS)} AS now_ms`),
    ([row]) => row!.now_ms,
  ),
)

const until = (ms: number) =>
  Effect.repeat(now, { while: (at: number) => at < ms, schedule: Schedule.spaced(20) })

const kidsOf = (jwks: string): ReadonlyArray<string> =>
  (JSON.parse(jwks) as { keys: ReadonlyArray<{ kid: string }> }).keys.map(({ kid }) => kid)

const rotation = (requestId = "") => ({ actorId: 0, reason: "drill", requestId })

const tokenOf = (ring: Effect.Effect.Success<ReturnType<typeof instance>>) =>
  Effect.gen(function* () {
    const { sign } = yield* AccessTokens
    return yield* sign({ userId: 1, username: "u", roles: [] }, yield* now)
  }).pipe(Effect.provide(AccessTokens.layer.pipe(Layer.provide(Layer.succeed(KeyRing.KeyRing, ring)))))

const verifies = (token: string, jwks: string) =>
  Effect.promise(() =>
    jwtVerify(token, createLocalJWKSet(JSON.parse(jwks))).then(
      () => true,
      () => false,
    ),
  )

const headerOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()) as { kid: string }

describe("KeyRing", () => {
  layer(database, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("a rotation: published before it signs, by every instance; nobody's token is refused", () =>
      Effect.gen(function* () {
        const [one, two] = [yield* instance(), yield* instance()]
        const before = yield* tokenOf(one)
        assert.strictEqual(headerOf(before).kid, "first")
        const fresh = yield* one.rotate(rotation("r1"))
        assert.isAtLeast(fresh.signsFromMs - (yield* now), overlap.aheadMs - 1_000)
        assert.strictEqual(fresh.signsFromMs - fresh.createdAtMs, overlap.aheadMs)
        // At once, everywhere; and while it waits, asking again makes no other.
        const early = yield* two.jwks
        assert.deepStrictEqual(kidsOf(early), ["first", fresh.kid])
        assert.strictEqual((yield* two.rotate(rotation("r2"))).kid, fresh.kid)
        // What anybody signs meanwhile, whoever has fetched the keys by now can verify: no false 401.
        for (let at = yield* now; at < fresh.signsFromMs + 200; at = yield* now) {
          const signedBy = new Set<string>()
          for (const ring of [one, two]) {
            const token = yield* tokenOf(ring)
            assert.isTrue(yield* verifies(token, early))
            signedBy.add(headerOf(token).kid)
          }
          if (at < fresh.signsFromMs - 300) assert.deepStrictEqual([...signedBy], ["first"])
          yield* Effect.sleep(100)
        }
        for (const ring of [one, two]) {
          assert.strictEqual(headerOf(yield* tokenOf(ring)).kid, fresh.kid)
          assert.isTrue(yield* verifies(before, yield* ring.jwks))
        }
        // A repeat of the request that made it makes nothing.
        assert.strictEqual((yield* one.rotate(rotation("r1"))).kid, fresh.kid)
        yield* until(fresh.signsFromMs + overlap.keepMs)
        assert.deepStrictEqual(kidsOf(yield* two.jwks), [fresh.kid])
        assert.isFalse(yield* verifies(before, yield* two.jwks))
        assert.strictEqual(yield* one.sweep, 1)
        assert.strictEqual(yield* two.sweep, 0)
        // An outlived key doesn't come back from the file of a start.
        assert.deepStrictEqual(kidsOf(yield* (yield* instance()).jwks), [fresh.kid])
      }),
    )

    it.effect("parallel rotations of several instances make one key", () =>
      Effect.gen(function* () {
        const rings = yield* Effect.all([instance(), instance(), instance()], { concurrency: "unbounded" })
        const made = yield* Effect.all(
          rings.map((ring) => ring.rotate(rotation())),
          { concurrency: "unbounded" },
        )
        assert.strictEqual(new Set(made.map(({ kid }) => kid)).size, 1)
        const { run, sql } = yield* Mysql
        const trail = yield* run("trail", sql`SELECT 1 FROM audit WHERE target_id = ${made[0]!.kid}`)
        assert.lengthOf(trail, 1)
      }),
    )

    it.effect("private keys are sealed, and nothing of them is published", () =>
      Effect.gen(function* () {
        const ring = yield* instance()
        assert.notMatch(yield* ring.jwks, /"(d|p|q|dp|dq|qi)"/)
        const { run, sql } = yield* Mysql
        const rows = yield* run(
          "rows",
          sql<{ sealed: Buffer }>`SELECT sealed_private_jwk AS sealed FROM signing_key`,
        )
        assert.isAbove(rows.length, 0)
        for (const { sealed } of rows) {
          assert.notInclude(sealed.toString("latin1"), "kty")
          assert.notInclude(sealed.toString("latin1"), key.private_jwk.d!)
        }
      }),
    )

    it.effect(
      "a start with another KEY_ENCRYPTION_KEY fails and says so; with the former one behind it, it works",
      () =>
        Effect.gen(function* () {
          const old = "dev-only-key-encryption-key-of-the-tests"
          const other = "dev-only-another-key-encryption-key"
          // The one that an earlier test has left waiting.
          yield* until((yield* (yield* instance()).rotate(rotation())).signsFromMs)
          const error = yield* Effect.flip(instance(undefined, other))
          assert.strictEqual(error._tag, "ConfigInvalid")
          assert.include(error.message, "KEY_ENCRYPTION_KEY")
          assert.notInclude(error.message, other)
          const ring = yield* instance(undefined, `${other},${old}`)
          const fresh = yield* ring.rotate(rotation())
          yield* until(fresh.signsFromMs)
          // The new key takes the new secret only.
          const { signer } = yield* instance(undefined, other)
          assert.strictEqual((yield* signer(yield* now)).kid, fresh.kid)
        }),
    )
  })

  layer(database, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("a new installation starts with the keys of its file, the newest of a minute ago signing", () =>
      Effect.gen(function* () {
        const at = (agoMs: number) => new Date(Date.now() - agoMs).toISOString()
        const ring = yield* instance(
          fileOf(TestIdentity.newKey("young", at(200)), TestIdentity.newKey("old", at(86_400_000))),
        )
        assert.deepStrictEqual(kidsOf(yield* ring.jwks), ["old", "young"])
        assert.strictEqual(headerOf(yield* tokenOf(ring)).kid, "old")
      }),
    )

    it.effect("a file of something else is refused, without quoting it", () =>
      Effect.gen(function* () {
        const bad = yield* Effect.flip(instance(fileOf({ ...key, private_jwk: { kty: "oct", k: "geheim" } })))
        assert.strictEqual(bad._tag, "ConfigInvalid")
        assert.notInclude(bad.message, "geheim")
      }),
    )
  })

  it("a sealed key opens for its own id and secret only", () => {
    const keys = SealedKeys.make([Redacted.make("secret one"), Redacted.make("secret two")])
    const sealed = keys.seal("kid", { d: "private" })
    assert.deepStrictEqual(keys.open("kid", sealed), { d: "private" })
    assert.isUndefined(keys.open("other", sealed))
    assert.isUndefined(SealedKeys.make([Redacted.make("secret two")]).open("kid", sealed))
    const spoilt = Buffer.from(sealed.bytes)
    spoilt[spoilt.length - 1]! ^= 1
    assert.isUndefined(keys.open("kid", { ...sealed, bytes: spoilt }))
    assert.isUndefined(keys.open("kid", { ...sealed, bytes: Buffer.alloc(3) }))
    assert.notDeepEqual(keys.seal("kid", { d: "private" }).bytes, sealed.bytes)
  })
})
