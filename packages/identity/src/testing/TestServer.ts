/** Identity behind its real gRPC server, and clients of it under any service's name. For tests only. */
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { IdentityRpc } from "@floodgate/contracts/rpc/Services"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { rpc } from "../rpc.ts"
import * as TestIdentity from "./TestIdentity.ts"

const credentialOf = (service: string) =>
  ServiceCredential.make({ service, keys: [Redacted.make("a-service-key-of-the-tests-32-chars")] })

export type Client = GrpcClient.Client<typeof IdentityRpc>

/** Hashing is slow where a test machine is busy. */
const patientMs = 20_000

export class TestServer extends Context.Tag("@floodgate/identity/testing/TestServer")<
  TestServer,
  {
    /** The client of a service: `edge` calls for users, `payment` moves money, … */
    readonly as: (service: string) => Client
  }
>() {}

const peers = ["edge", "identity", "inventory", "ordering", "payment", "stack", "stranger"]

export const layer = Layer.scoped(
  TestServer,
  Effect.gen(function* () {
    const { port } = yield* GrpcServer.make({
      port: Config.succeed(0),
      host: Config.succeed("127.0.0.1"),
      services: [rpc],
    })
    const clients = new Map(
      yield* Effect.forEach(peers, (service) =>
        Effect.map(
          GrpcClient.make(IdentityRpc, {
            url: `127.0.0.1:${port}`,
            credential: credentialOf(service),
            deadlineMs: () => patientMs,
          }),
          (client) => [service, client] as const,
        ),
      ),
    )
    return { as: (service: string) => clients.get(service)! }
  }),
).pipe(
  Layer.provideMerge(TestIdentity.layer),
  Layer.provide(Readiness.layer),
  Layer.provide(Layer.succeed(ServiceCredential.ServiceCredential, credentialOf("identity"))),
)

/** A caller with these roles. */
export const person = (id: bigint | number, ...roles: ReadonlyArray<string>) => ({
  caller: { user_id: Number(id), username: `user${id}`, roles },
})
