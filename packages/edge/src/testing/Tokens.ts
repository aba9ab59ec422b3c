/** Access tokens of a test's own signing key. */
import {
  createPrivateKey,
  createPublicKey,
  createSign,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto"
import { AUDIENCE, ISSUER, TYPE } from "../auth/AccessToken.ts"

export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicJwk: Record<string, unknown>
}

export const signingKey = (kid: string): SigningKey => {
  // By way of PEM: in Node 20 exporting the generated key object itself as JWK can deadlock with garbage collection.
  const pem = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  })
  return {
    kid,
    privateKey: createPrivateKey(pem.privateKey),
    publicJwk: { ...createPublicKey(pem.publicKey).export({ format: "jwk" }), kid, use: "sig", alg: "RS256" },
  }
}

export const jwks = (...keys: ReadonlyArray<SigningKey>): string =>
  JSON.stringify({ keys: keys.map((key) => key.publicJwk) })

const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** Signs whatever header and claims it is given. */
export const sign = (key: SigningKey, header: object, claims: object): string => {
  const signed = `${segment(header)}.${segment(claims)}`
  const signature = createSign("RSA-SHA256").update(signed).sign(key.privateKey)
  return `${signed}.${signature.toString("base64url")}`
}

export const header = (key: SigningKey): Record<string, unknown> => ({
  alg: "RS256",
  kid: key.kid,
  typ: TYPE,
})

export const claims = (user: {
  readonly userId: number
  readonly username?: string
  readonly roles?: ReadonlyArray<string>
}): Record<string, unknown> => {
  const nowS = Math.floor(Date.now() / 1000)
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: String(user.userId),
    username: user.username ?? `user${user.userId}`,
    roles: user.roles ?? ["customer"],
    iat: nowS,
    iat_ms: Date.now(),
    nbf: nowS,
    exp: nowS + 900,
    jti: Math.random().toString(36),
  }
}

/** A good token. */
export const token = (key: SigningKey, user: Parameters<typeof claims>[0]): string =>
  sign(key, header(key), claims(user))
