import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Errors from "@floodgate/contracts/errors/Errors"
import { InventoryService } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { stockOf } from "./grpcCaller.ts"

const key = "a-service-key-that-only-tests-know"
const credential = ServiceCredential.make({ service: "inventory", keys: [Redacted.make(key)] })
const guide = new URL("../../../../docs/guides/grpc-callers.md", import.meta.url)
const source = new URL("./grpcCaller.ts", import.meta.url)

const others = Object.fromEntries(
  Object.keys(InventoryService.method).map((name) => [
    name,
    () => Effect.dieMessage("not a method of this test"),
  ]),
) as unknown as GrpcServer.Handlers<typeof InventoryRpc, never>
const inventory = GrpcServer.make({
  port: Config.succeed(0),
  host: Config.succeed("127.0.0.1"),
  services: [
    GrpcServer.service(InventoryRpc, {
      ...others,
      getProduct: ({ productId }) =>
        productId === 1n
          ? Effect.succeed({ id: 1n, name: "Camera", stock: 3n })
          : Effect.fail(new Errors.NotFound()),
    }),
  ],
}).pipe(
  Effect.map(({ port }) => `127.0.0.1:${port}`),
  Effect.provideService(ServiceCredential.ServiceCredential, credential),
)

describe("the guide for gRPC callers", () => {
  it.scopedLive("its caller works as printed", () =>
    Effect.gen(function* () {
      const url = yield* inventory
      assert.strictEqual(yield* stockOf(url, key, 1n), "Camera: 3 left")
      assert.strictEqual(yield* stockOf(url, key, 2n), "no such product")
      const refused = yield* Effect.flip(stockOf(url, "another-key-of-thirty-two-characters", 1n))
      assert.instanceOf(refused, Errors.Unauthenticated)
      assert.include(
        yield* Effect.promise(() => readFile(guide, "utf8")),
        yield* Effect.promise(() => readFile(source, "utf8")),
      )
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.live("its shell line makes a token that the services take", () =>
    Effect.gen(function* () {
      const text = yield* Effect.promise(() => readFile(guide, "utf8"))
      const script = /node -e '([^']+)' "\$SERVICE_CREDENTIAL_FILE"/.exec(text)?.[1]
      assert.isDefined(script)
      const token = yield* Effect.promise(async () => {
        const dir = await mkdtemp(path.join(os.tmpdir(), "caller-"))
        const file = path.join(dir, "service.json")
        await writeFile(file, JSON.stringify({ environment: "dev", keys: [key] }))
        const { stdout } = await promisify(execFile)(process.execPath, ["-e", script!, file])
        await rm(dir, { recursive: true })
        return stdout
      })
      assert.strictEqual(credential.verifyAuthorization(`Bearer ${token}`), "grpcurl")
    }),
  )
})
