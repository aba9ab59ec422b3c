/**
 * The secrets of one development stack, made at its first start and kept in its data folder, readable by its owner
 * only. Values that are plain strings are marked `dev-only-`, key files carry `"environment": "dev"`; stage and prod
 * refuse both.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Database } from "./Services.ts"
import { databases } from "./Services.ts"

/** Each key's name is that of the setting it becomes; passwords are those of the MySQL users. */
export interface Secrets {
  readonly ORDER_NUM_KEY: string
  readonly REFRESH_TOKEN_KEY: string
  readonly AUDIT_KEY: string
  readonly KEY_ENCRYPTION_KEY: string
  readonly TICKET_KEYS: string
  readonly PAYMENT_CALLBACK_SECRETS_SANDBOX: string
  readonly JWT_KEYS_FILE: string
  readonly SERVICE_CREDENTIAL_FILE: string
  readonly mysqlPasswords: Record<Database, string>
}

const devOnly = (): string => `dev-only-${randomBytes(24).toString("hex")}`

/**
 * A new RSA-2048 key. By way of PEM, because in Node 20 exporting the generated key object itself as JWK can deadlock:
 * the export holds the key's mutex while it allocates, and a garbage collection then runs the destructor of the
 * finished generation, which wants the same mutex.
 */
const newPrivateJwk = () => {
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  })
  return createPrivateKey(privateKey).export({ format: "jwk" })
}

/** Reads a file of the secrets folder, or makes it with what `make` returns. Never half-written. */
const keep = <A>(file: string, make: () => A): A => {
  if (!fs.existsSync(file)) {
    const writing = `${file}.${process.pid}`
    fs.writeFileSync(writing, `${JSON.stringify(make(), null, 2)}\n`, { mode: 0o600 })
    fs.renameSync(writing, file)
  }
  return JSON.parse(fs.readFileSync(file, "utf8")) as A
}

/** Loads the secrets of this data folder; makes those that don't exist yet. */
export const load = (dataDir: string): Secrets => {
  const folder = path.join(dataDir, "secrets")
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  const strings = keep(path.join(folder, "strings.json"), () => ({
    ORDER_NUM_KEY: devOnly(),
    REFRESH_TOKEN_KEY: devOnly(),
    PAYMENT_CALLBACK_SECRETS_SANDBOX: devOnly(),
    mysqlPasswords: Object.fromEntries(databases.map((name) => [name, devOnly()])) as Record<
      Database,
      string
    >,
  }))
  const jwtFile = path.join(folder, "jwt-keys.json")
  keep(jwtFile, () => ({
    environment: "dev",
    keys: [
      {
        kid: randomUUID(),
        created_at: new Date().toISOString(),
        private_jwk: newPrivateJwk(),
      },
    ],
  }))
  const credentialFile = path.join(folder, "service-credential.json")
  keep(credentialFile, () => ({ environment: "dev", keys: [devOnly()] }))
  // Beside the database's folder, as everything here: it shows tampering to whoever reads, not to whoever owns both.
  const audit = keep(path.join(folder, "audit-key.json"), () => ({ AUDIT_KEY: devOnly() }))
  const keyEncryption = keep(path.join(folder, "key-encryption-key.json"), () => ({
    KEY_ENCRYPTION_KEY: devOnly(),
  }))
  const tickets = keep(path.join(folder, "ticket-keys.json"), () => ({ TICKET_KEYS: devOnly() }))
  return {
    ...strings,
    ...audit,
    ...keyEncryption,
    ...tickets,
    JWT_KEYS_FILE: jwtFile,
    SERVICE_CREDENTIAL_FILE: credentialFile,
  }
}

/** The first key of the service credential: it signs. */
export const serviceKey = (secrets: Secrets): string => {
  const { keys } = JSON.parse(fs.readFileSync(secrets.SERVICE_CREDENTIAL_FILE, "utf8")) as {
    keys: ReadonlyArray<string>
  }
  const [first] = keys
  if (first === undefined) throw new Error(`${secrets.SERVICE_CREDENTIAL_FILE} has no keys`)
  return first
}
