import { assert, describe, it } from "@effect/vitest"
import * as Errors from "@floodgate/contracts/errors/Errors"
import { InventoryService } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { ConfigInvalid } from "../config/AppConfig.ts"
import { Readiness } from "../lifecycle/Readiness.ts"
import { Deadlines } from "../resilience/Deadlines.ts"
import { Retries } from "../resilience/Retries.ts"
import * as GrpcServer from "./GrpcServer.ts"
import * as Peers from "./Peers.ts"

const credential = ServiceCredential.layer({
  service: "edge",
  keys: [Redacted.make("a-service-key-that-only-tests-know")],
})

const unusedMethods = Object.fromEntries(
  Object.keys(InventoryService.method).map((name) => [
    name,
    () => Effect.dieMessage("not a method of this test"),
  ]),
) as unknown as GrpcServer.Handlers<typeof InventoryRpc, never>

/** The inventory peer as a process with these keys would have it. */
const peer = (config: Record<string, string>) =>
  Peers.inventory.pipe(
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(config))))),
    Layer.provide(Deadlines.layerOf({ "grpc.unary": 2_000, "grpc.reserve": 150 })),
    Layer.provideMerge(Layer.merge(credential, Retries.layerTest)),
  )

describe("Peers", () => {
  it.scopedLive("a peer is called at its address, under the deadline of the kind of call", () =>
    Effect.gen(function* () {
      const left: Array<number> = []
      const note = (deadlineMs: number) => Effect.sync(() => left.push(deadlineMs - Date.now()))
      const { port } = yield* GrpcServer.make({
        port: Config.succeed(0),
        services: [
          GrpcServer.service(InventoryRpc, {
            ...unusedMethods,
            getProduct: (_, { deadlineMs }) => Effect.as(note(deadlineMs), {}),
            reserveBatch: (_, { deadlineMs }) => Effect.as(note(deadlineMs), {}),
          }),
        ],
      }).pipe(Effect.provide(credential))
      yield* Effect.gen(function* () {
        const inventory = yield* InventoryClient
        // The first call opens the connection, which a busy machine may take its time for.
        yield* inventory.getProduct({ productId: 1n })
        yield* inventory.getProduct({ productId: 1n })
        yield* Effect.retry(inventory.reserveBatch({ productId: 1n }, { span: false }), { times: 20 })
      }).pipe(Effect.provide(peer({ INVENTORY_URL: `127.0.0.1:${port}` })))
      assert.isAbove(left[1]!, 150)
      assert.isAtMost(left[1]!, 2_000)
      assert.isAtMost(left.at(-1)!, 150)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive(
    "two instances of a peer take turns, and one that is gone is passed over until it is back",
    () =>
      Effect.gen(function* () {
        const calls = [0, 0]
        const serve = (instance: number, port: number) =>
          GrpcServer.make({
            port: Config.succeed(port),
            services: [
              GrpcServer.service(InventoryRpc, {
                ...unusedMethods,
                getProduct: () =>
                  Effect.sync(() => {
                    calls[instance] = calls[instance]! + 1
                    return {}
                  }),
              }),
            ],
          }).pipe(Effect.provide(credential), Effect.provide(Readiness.layer))
        const { port: first } = yield* serve(0, 0)
        const scope = yield* Scope.make()
        const { port: second } = yield* Scope.extend(serve(1, 0), scope)
        yield* Effect.gen(function* () {
          const inventory = yield* InventoryClient
          const call = inventory.getProduct({ productId: 1n })
          const both = Effect.repeat(call, { until: () => calls[0]! > 0 && calls[1]! > 0, times: 200 })
          yield* both
          yield* Scope.close(scope, Exit.void)
          // Neither the calls under way when it goes nor those after it fail: they may be repeated, and another is there.
          const before = calls[0]!
          yield* Effect.repeatN(call, 49)
          assert.strictEqual(calls[0]! - before, 50)
          yield* serve(1, second)
          calls.fill(0)
          yield* Effect.delay(call, "20 millis").pipe(
            Effect.repeat({ until: () => calls[0]! > 0 && calls[1]! > 0, times: 500 }),
          )
          assert.isAbove(calls[1]!, 0)
        }).pipe(Effect.provide(peer({ INVENTORY_URL: `127.0.0.1:${first},127.0.0.1:${second}` })))
      }),
  )

  it.scopedLive("a read of an unreachable peer spends its retry budget, a batch of reservations none", () =>
    Effect.gen(function* () {
      const inventory = yield* InventoryClient
      const retries = yield* Retries
      const full = retries.tokens("grpc.unary", "inventory")
      assert.instanceOf(yield* Effect.flip(inventory.reserveBatch({ productId: 1n })), Errors.Busy)
      assert.strictEqual(retries.tokens("grpc.unary", "inventory"), full)
      assert.instanceOf(yield* Effect.flip(inventory.getProduct({ productId: 1n })), Errors.Busy)
      assert.isBelow(retries.tokens("grpc.unary", "inventory"), full)
      // Port 1 of the loopback has no listener.
    }).pipe(Effect.provide(peer({ INVENTORY_URL: "127.0.0.1:1" }))),
  )

  it.effect("outside dev a missing address is told by its key", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(peer({ APP_ENV: "prod" }))))
      assert.instanceOf(error, ConfigInvalid)
      assert.include(error.message, "INVENTORY_URL")
    }),
  )
})
