#!/usr/bin/env node
// Makes the secrets of one installation, a file each, as ops/compose.yaml and ops/kubernetes mount them. What exists is
// kept, so a second run adds only what is new. Usage: node ops/docker/secrets.mjs [DIR], ops/secrets unless said.
import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const folder = path.resolve(process.argv[2] ?? fileURLToPath(new URL("../secrets", import.meta.url)))
const databases = ["identity", "inventory", "ordering", "payment", "edge"]

const random = () => randomBytes(32).toString("base64url")

/** By way of PEM: exporting a fresh key object as JWK can deadlock in Node 20. */
const privateJwk = () => {
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  })
  return createPrivateKey(privateKey).export({ format: "jwk" })
}

fs.mkdirSync(folder, { recursive: true, mode: 0o700 })

/** The content of a file, made where there is none. The folder keeps others out; containers run as users of their own. */
const keep = (name, make) => {
  const file = path.join(folder, name)
  if (!fs.existsSync(file)) fs.writeFileSync(file, `${make()}\n`, { mode: 0o644 })
  return fs.readFileSync(file, "utf8").trim()
}

const environment = process.env.APP_ENV ?? "prod"

const root = keep("mysql-root-password", random)
keep("mysql-admin-url", () => `mysql://root:${root}@mysql:3306`)
for (const name of databases) {
  keep(`mysql-url-${name}`, () => `mysql://${name}:${random()}@mysql:3306/${name}`)
}
for (const name of ["redis", "redis-limits"]) {
  const password = keep(`${name}.conf`, () => `requirepass ${random()}`).replace(/^requirepass /, "")
  keep(`${name}-url`, () => `redis://:${password}@${name}:6379`)
}
for (const name of [
  "order-num-key",
  "refresh-token-key",
  "key-encryption-key",
  "ticket-keys",
  "audit-key",
  "grafana-admin-password",
]) {
  keep(name, random)
}
keep("service-credential.json", () => JSON.stringify({ environment, keys: [random()] }))
keep("jwt-keys.json", () =>
  JSON.stringify({
    environment,
    keys: [{ kid: randomUUID(), created_at: new Date().toISOString(), private_jwk: privateJwk() }],
  }),
)
process.stdout.write(`Secrets are in ${folder}. Keep them out of version control.\n`)
