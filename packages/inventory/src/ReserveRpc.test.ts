import { assert, layer as withLayer } from "@effect/vitest"
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import { InventoryService } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as ReserveRpc from "./ReserveRpc.ts"
import { Sale } from "./Sale.ts"
import { ProductStore } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"
import * as TestSale from "./testing/TestSale.ts"
import { openShards, product, requestId } from "./testing/TestSale.ts"

/** In MySQL there is no product at all: what Redis doesn't hold doesn't exist. */
const noProducts = Layer.succeed(ProductStore, {
  find: () => Effect.succeed(undefined),
} as unknown as ProductStore["Type"])

const others = Object.fromEntries(
  Object.keys(InventoryService.method).map((name) => [name, () => Effect.dieMessage("not of this test")]),
) as unknown as GrpcServer.Handlers<typeof InventoryRpc, never>

const credential = ServiceCredential.make({
  service: "tester",
  keys: [Redacted.make("a-service-key-that-only-tests-know")],
})

class Stub extends Context.Tag("test/Stub")<Stub, GrpcClient.Client<typeof InventoryRpc>>() {}

const stub = Layer.scoped(
  Stub,
  Effect.flatMap(
    GrpcServer.make({
      port: Config.succeed(0),
      host: Config.succeed("127.0.0.1"),
      services: [GrpcServer.service(InventoryRpc, { ...others, ...ReserveRpc.handlers })],
    }),
    ({ port }) => GrpcClient.make(InventoryRpc, { url: `127.0.0.1:${port}`, credential }),
  ),
).pipe(Layer.provide(Layer.succeed(ServiceCredential.ServiceCredential, credential)))

const environment = stub.pipe(
  Layer.provide(Sale.layer),
  Layer.provideMerge(Layer.merge(TestSale.stores, noProducts)),
  Layer.provideMerge(TestRedis.layer),
  Layer.provide(Readiness.layer),
)

const batch = (productId: number, users: ReadonlyArray<number>) => ({
  productId: BigInt(productId),
  userId: users.map(BigInt),
  quantity: users.map(() => 1),
  requestId: users.map(requestId),
  notAfterMs: users.map(() => BigInt(Date.now() + 60_000)),
})

const stockOf = (id: number) =>
  Effect.flatMap(ReservationStore, (store) => Effect.map(store.look(id), ({ stock }) => stock))

withLayer(environment, { excludeTestServices: true })("ReserveBatches", (it) => {
  it.effect("answers each product's batch as ReserveBatch would, in the order of the call", () =>
    Effect.gen(function* () {
      const stub = yield* Stub
      const plenty = yield* product()
      const one = yield* product({ stock: 1 })
      const none = 999_999_999
      yield* openShards([none])
      const { batches } = yield* stub.reserveBatches({
        batches: [batch(one, [1, 2]), batch(none, [1]), batch(plenty, [1, 2])],
      })
      assert.deepStrictEqual(
        batches.map(({ code }) => [...code]),
        [
          [ReserveCode.RESERVED, ReserveCode.SOLD_OUT],
          [ReserveCode.NO_SUCH_PRODUCT],
          [ReserveCode.RESERVED, ReserveCode.RESERVED],
        ],
      )
      assert.deepStrictEqual(
        batches.map(({ stock }) => stock),
        [0n, 0n, 98n],
      )
      const again = yield* stub.reserveBatch(batch(plenty, [1]))
      assert.deepStrictEqual([...again.code], [ReserveCode.ALREADY_BOUGHT])
      assert.deepStrictEqual([...again.liveOrderNums], [batches[2]!.orderNum[0]!])
    }),
  )

  it.effect("where one batch is malformed, nothing of any is done, and the answer says which", () =>
    Effect.gen(function* () {
      const stub = yield* Stub
      const id = yield* product()
      const error = yield* Effect.flip(
        stub.reserveBatches({ batches: [batch(id, [1]), { ...batch(id, [2]), quantity: [] }] }),
      )
      assert.instanceOf(error, InvalidInput)
      assert.deepStrictEqual((error as InvalidInput).issues[0]?.path, "batches.1.quantity")
      assert.strictEqual(yield* stockOf(id), 100)
    }),
  )

  it.effect("a call carries 128 items in all, and at least one", () =>
    Effect.gen(function* () {
      const stub = yield* Stub
      const id = yield* product({ stock: 200 })
      const people = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)
      for (const batches of [[], [batch(id, people(1, 100)), batch(id, people(101, 29))]]) {
        assert.instanceOf(yield* Effect.flip(stub.reserveBatches({ batches })), InvalidInput)
      }
      assert.strictEqual(yield* stockOf(id), 200)
      yield* stub.reserveBatches({ batches: [batch(id, people(1, 100)), batch(id, people(101, 28))] })
      assert.strictEqual(yield* stockOf(id), 72)
    }),
  )
})
