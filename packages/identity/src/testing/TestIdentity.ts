/** The identity application on a fresh database, with keys of its own. For tests only. */
import { createPrivateKey, generateKeyPairSync } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { application } from "../layer.ts"

/** A key as `JWT_KEYS_FILE` has it. */
export const newKey = (kid: string, createdAt: string) => {
  // By way of PEM: in Node 20 exporting the generated key object itself as JWK can deadlock with garbage collection.
  const pem = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  })
  return {
    kid,
    created_at: createdAt,
    private_jwk: createPrivateKey(pem.privateKey).export({ format: "jwk" }),
  }
}

/** Installs `JWT_KEYS_FILE` with this content, `REFRESH_TOKEN_KEY` and `KEY_ENCRYPTION_KEY`. */
export const configLayer = (
  keyFile: unknown,
  keyEncryptionKey = "dev-only-key-encryption-key-of-the-tests",
): Layer.Layer<never> =>
  Layer.unwrapScoped(
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          const dir = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-identity-"))
          const file = path.join(dir, "jwt-keys.json")
          fs.writeFileSync(file, JSON.stringify(keyFile))
          return { dir, file }
        }),
        ({ dir }) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true })),
      ),
      ({ file }) =>
        Layer.setConfigProvider(
          ConfigProvider.fromMap(
            new Map([
              ["JWT_KEYS_FILE", file],
              ["REFRESH_TOKEN_KEY", "dev-only-refresh-key-of-the-tests"],
              ["KEY_ENCRYPTION_KEY", keyEncryptionKey],
            ]),
          ),
        ),
    ),
  )

export const layer = application.pipe(
  Layer.provide(configLayer({ environment: "dev", keys: [newKey("first", "2026-01-01T00:00:00Z")] })),
  Layer.provideMerge(TestMysql.layer({ migrations: ["identity"], main: "identity" })),
  Layer.orDie,
)
