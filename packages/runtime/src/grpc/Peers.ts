/** Clients of the other services, with this process's addresses, deadlines, retry budgets and breakers. */
import type * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import { ServiceCredential } from "@floodgate/contracts/rpc/ServiceCredential"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AppConfig from "../config/AppConfig.ts"
import * as Breakers from "../resilience/Breakers.ts"
import { Deadlines } from "../resilience/Deadlines.ts"
import { Retries } from "../resilience/Retries.ts"
import * as GrpcMetrics from "./GrpcMetrics.ts"

type Peer<Self> = Layer.Layer<Self, AppConfig.ConfigInvalid, ServiceCredential | Deadlines | Retries>

/** Have a deadline of their own, and are asked for again by the coalescer, item by item, while there is time. */
const RESERVES: ReadonlySet<string> = new Set(["reserveBatch", "reserveBatches"])

const peer = <Self>(
  name: AppConfig.PeerName,
  client: { readonly layer: (options: GrpcClient.ClientOptions) => Layer.Layer<Self> },
): Peer<Self> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const url = yield* AppConfig.load(AppConfig.peer(name))
      const credential = yield* ServiceCredential
      const deadlines = yield* Deadlines
      const retries = yield* Retries
      const gate = yield* Breakers.gate("grpc", name)
      // So that the budget is there, and shown, before the first call.
      retries.tokens("grpc.unary", name)
      return client.layer({
        url,
        credential,
        gate,
        onAttempt: GrpcMetrics.clientOf(name),
        deadlineMs: (method) => deadlines.ms(RESERVES.has(method) ? "grpc.reserve" : "grpc.unary"),
        retry: (method) =>
          RESERVES.has(method)
            ? undefined
            : (self, isRetryable) => retries.apply("grpc.unary", name, isRetryable)(self),
      })
    }),
  )

export const identity: Peer<IdentityClient> = peer("identity", IdentityClient)
export const inventory: Peer<InventoryClient> = peer("inventory", InventoryClient)
export const ordering: Peer<OrderingClient> = peer("ordering", OrderingClient)
export const payment: Peer<PaymentClient> = peer("payment", PaymentClient)
