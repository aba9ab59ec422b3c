import { createHmac } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Tokens from "../testing/Tokens.ts"
import { keysOf, read } from "./AccessToken.ts"

const key = Tokens.signingKey("k1")
const other = Tokens.signingKey("k1")
const keys = keysOf(Tokens.jwks(key))!
const nowMs = Date.now()
const nowS = Math.floor(nowMs / 1000)

const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

const signed = (claims: object, header: object = {}) =>
  Tokens.sign(key, { ...Tokens.header(key), ...header }, { ...Tokens.claims({ userId: 7 }), ...claims })

describe("AccessToken", () => {
  it("a good token names its bearer and its end", () => {
    const token = signed({
      roles: ["customer", "operator"],
      username: "alice",
      exp: nowS + 60,
      iat_ms: nowMs,
    })
    assert.deepStrictEqual(read(token, keys, nowMs), {
      user: { userId: 7, username: "alice", roles: ["customer", "operator"] },
      issuedMs: nowMs,
      expiresMs: (nowS + 60) * 1000,
    })
  })

  it("when a token was issued is known to the millisecond, or taken for the second's beginning", () => {
    const issuedMs = (claims: object) => {
      const verified = read(signed(claims), keys, nowMs)
      return typeof verified === "object" ? verified.issuedMs : verified
    }
    assert.strictEqual(issuedMs({ iat: nowS, iat_ms: nowMs }), nowMs)
    assert.strictEqual(issuedMs({ iat: nowS, iat_ms: undefined }), nowS * 1000)
    assert.isUndefined(issuedMs({ iat: undefined, iat_ms: undefined }))
  })

  const hs256 = () => {
    const text = `${segment({ ...Tokens.header(key), alg: "HS256" })}.${segment(Tokens.claims({ userId: 7 }))}`
    const pem = keys.get("k1")!.export({ format: "pem", type: "spki" })
    return `${text}.${createHmac("sha256", pem).update(text).digest("base64url")}`
  }
  const good = Tokens.token(key, { userId: 7 })
  const [head, body, signature] = good.split(".") as [string, string, string]

  const bad: Record<string, string> = {
    empty: "",
    garbage: "garbage",
    "three dots": `${good}.x`,
    "no signature": `${head}.${body}.`,
    "alg none": `${segment({ alg: "none", typ: "at+jwt", kid: "k1" })}.${body}.`,
    "alg none, signed": Tokens.sign(
      key,
      { ...Tokens.header(key), alg: "none" },
      Tokens.claims({ userId: 7 }),
    ),
    "HS256 with the public key": hs256(),
    "RS512 said": signed({}, { alg: "RS512" }),
    "another type": signed({}, { typ: "JWT" }),
    "a critical extension": signed({}, { crit: ["exp"] }),
    "another's key": Tokens.token(other, { userId: 7 }),
    "another body": `${head}.${segment(Tokens.claims({ userId: 8 }))}.${signature}`,
    expired: signed({ exp: nowS - 1 }),
    "without end": signed({ exp: undefined }),
    "not good yet": signed({ nbf: nowS + 60 }),
    "wrong audience": signed({ aud: "somebody-else" }),
    "several audiences": signed({ aud: ["floodgate-edge", "x"] }),
    "wrong issuer": signed({ iss: "somebody-else" }),
    "a refresh token": "rt_3f1c9a7e",
    "a bearer that is no id": signed({ sub: "1e3" }),
    "a bearer that is a number": signed({ sub: 7 }),
    "roles that are text": signed({ roles: "admin" }),
    "too long": `${head}.${body}${"A".repeat(5_000)}.${signature}`,
  }
  for (const [name, token] of Object.entries(bad)) {
    it(`refused: ${name}`, () => {
      assert.isUndefined(read(token, keys, nowMs))
    })
  }

  it("a key that isn't known may be a newer one", () => {
    const newer = Tokens.signingKey("k2")
    assert.strictEqual(read(Tokens.token(newer, { userId: 7 }), keys, nowMs), "unknown_key")
  })

  it("only RSA signing keys of 2048 bits and more are taken from a key set", () => {
    const { n, ...without } = key.publicJwk
    const set = {
      keys: [
        { ...key.publicJwk, kid: "enc", use: "enc" },
        { ...key.publicJwk, kid: "ps", alg: "PS256" },
        { kty: "oct", kid: "oct", k: "AAAA" },
        key.publicJwk,
      ],
    }
    assert.deepStrictEqual([...keysOf(JSON.stringify(set))!.keys()], ["k1"])
    assert.isUndefined(keysOf(JSON.stringify({ keys: [without] })))
    assert.isUndefined(keysOf("no json"))
    assert.isUndefined(keysOf("{}"))
  })
})
