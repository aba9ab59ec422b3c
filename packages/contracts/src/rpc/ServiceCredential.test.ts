import { createHmac } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as ServiceCredential from "./ServiceCredential.ts"

const oldKey = Redacted.make("the-old-key-of-all-services-1234567")
const newKey = Redacted.make("the-new-key-of-all-services-1234567")
const alice: ServiceCredential.Caller = { user_id: 7, username: "爱丽丝", roles: ["customer"] }

/** A credential whose clock the test moves. */
const at = (keys: ReadonlyArray<Redacted.Redacted<string>>, service = "edge") => {
  const clock = { nowMs: 1_800_000_000_000 }
  return { clock, credential: ServiceCredential.make({ service, keys, nowMs: () => clock.nowMs }) }
}

describe("ServiceCredential", () => {
  it("a token says who calls, for a minute", () => {
    const { clock, credential } = at([newKey])
    const header = credential.authorization()
    const token = credential.callerToken(alice)
    assert.strictEqual(credential.verifyAuthorization(header), "edge")
    assert.deepStrictEqual(credential.verifyCaller(token), alice)
    clock.nowMs += 59_999
    assert.strictEqual(credential.verifyAuthorization(header), "edge")
    assert.deepStrictEqual(credential.verifyCaller(token), alice)
    clock.nowMs += 1_001
    assert.isUndefined(credential.verifyAuthorization(header))
    assert.isUndefined(credential.verifyCaller(token))
  })

  it("a verifier that has known a token refuses it all the same once it has expired", () => {
    const { credential } = at([newKey])
    const verifier = at([newKey])
    const header = credential.authorization()
    assert.strictEqual(verifier.credential.verifyAuthorization(header), "edge")
    verifier.clock.nowMs += 61_000
    assert.isUndefined(verifier.credential.verifyAuthorization(header))
  })

  it("the service's token is kept, and renewed while the old one still has half its life", () => {
    const { clock, credential } = at([newKey])
    const header = credential.authorization()
    clock.nowMs += 29_999
    assert.strictEqual(credential.authorization(), header)
    clock.nowMs += 1
    assert.notStrictEqual(credential.authorization(), header)
    assert.strictEqual(credential.verifyAuthorization(header), "edge")
  })

  it("keys are rotated without a gap: every key verifies, the first signs", () => {
    const before = at([oldKey]).credential
    const learned = at([oldKey, newKey]).credential
    const switched = at([newKey, oldKey]).credential
    const after = at([newKey]).credential
    for (const [signer, verifier] of [
      [before, learned],
      [learned, before],
      [learned, switched],
      [switched, learned],
      [switched, after],
      [after, switched],
    ] as const) {
      assert.strictEqual(verifier.verifyAuthorization(signer.authorization()), "edge")
      assert.deepStrictEqual(verifier.verifyCaller(signer.callerToken(alice)), alice)
    }
    assert.isUndefined(after.verifyAuthorization(before.authorization()))
  })

  it("nothing else is taken: missing, malformed, tampered with, cut, or of the other kind", () => {
    const { credential } = at([newKey])
    const header = credential.authorization()
    const [payload, mac] = header.slice(7).split(".") as [string, string]
    const claims = (json: unknown) => Buffer.from(JSON.stringify(json)).toString("base64url")
    const signedRaw = (text: string) =>
      `${text}.${createHmac("sha256", Redacted.value(newKey)).update(`floodgate-service-v1.${text}`).digest("base64url")}`
    for (const bad of [
      undefined,
      "",
      "Bearer ",
      "Bearer .",
      `Bearer ${payload}`,
      `Bearer ${payload}.`,
      `Bearer .${mac}`,
      `bearer ${payload}.${mac}`,
      `Bearer ${payload}.${mac.slice(0, -2)}`,
      `Bearer ${payload}.${mac.slice(0, -2)}AA`,
      `Bearer ${claims({ svc: "identity", exp: 4e9 })}.${mac}`,
      `Bearer ${credential.callerToken(alice)}`,
      // Genuine signatures over claims that don't say what they must.
      `Bearer ${signedRaw(claims({ svc: "edge" }))}`,
      `Bearer ${signedRaw(claims({ exp: 4e9 }))}`,
    ]) {
      assert.isUndefined(credential.verifyAuthorization(bad), bad)
    }
    assert.isUndefined(credential.verifyCaller(header.slice(7)))
    assert.isUndefined(credential.verifyCaller(""))
  })

  it("a key that could be guessed, or none, is a programmer's error", () => {
    assert.throws(() => ServiceCredential.make({ service: "edge", keys: [] }), RangeError)
    assert.throws(
      () => ServiceCredential.make({ service: "edge", keys: [Redacted.make("short")] }),
      RangeError,
    )
  })
})
