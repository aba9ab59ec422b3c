import { mkdtemp, rm, writeFile } from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ServiceCredential } from "@floodgate/contracts/rpc/ServiceCredential"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ConfigInvalid } from "../config/AppConfig.ts"
import * as Credential from "./Credential.ts"

const key = "a-service-key-that-only-tests-know"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(path.join(os.tmpdir(), "credential-"))),
  (dir) => Effect.promise(() => rm(dir, { recursive: true })),
)

const loaded = (content: string | undefined, env: string) =>
  Effect.gen(function* () {
    const file = path.join(yield* folder, "service.json")
    if (content !== undefined) yield* Effect.promise(() => writeFile(file, content))
    return yield* Effect.provide(
      ServiceCredential,
      Credential.layer("ordering").pipe(
        Layer.provide(
          Layer.setConfigProvider(
            ConfigProvider.fromMap(
              new Map([
                ["APP_ENV", env],
                ["SERVICE_CREDENTIAL_FILE", file],
              ]),
            ),
          ),
        ),
      ),
    )
  })

describe("Credential", () => {
  it.scopedLive("comes from the file, under the service's name", () =>
    Effect.gen(function* () {
      const credential = yield* loaded(JSON.stringify({ environment: "prod", keys: [key] }), "prod")
      assert.strictEqual(credential.verifyAuthorization(credential.authorization()), "ordering")
    }),
  )

  it.scopedLive("is refused in prod when it is marked for dev", () =>
    Effect.gen(function* () {
      const content = JSON.stringify({ environment: "dev", keys: [key] })
      assert.instanceOf(yield* Effect.flip(loaded(content, "prod")), ConfigInvalid)
      yield* loaded(content, "dev")
    }),
  )

  for (const [name, content] of [
    ["without a file", undefined],
    ["with a file that isn't JSON", "keys"],
    ["without keys", "{}"],
    ["with an empty list of keys", '{"keys":[]}'],
    ["with a key that is too short", '{"keys":["short-secret"]}'],
  ] as const) {
    it.scopedLive(`${name} the process doesn't start, is told the key to set, and no secret`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(loaded(content, "dev"))
        assert.include(error.message, "SERVICE_CREDENTIAL_FILE")
        assert.notInclude(error.message, "short-secret")
      }),
    )
  }
})
