/** The four services as a test wants them: what isn't given must not be called. */
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface Peers {
  readonly identity?: Partial<IdentityClient["Type"]>
  readonly inventory?: Partial<InventoryClient["Type"]>
  readonly ordering?: Partial<OrderingClient["Type"]>
  readonly payment?: Partial<PaymentClient["Type"]>
}

const only = <A extends object>(service: string, methods: Partial<A>): A =>
  new Proxy(methods as A, {
    get: (target, name) =>
      Reflect.get(target, name) ?? (() => Effect.die(new Error(`${service}.${String(name)} was called`))),
  })

export const identity = (methods: Partial<IdentityClient["Type"]>) =>
  Layer.succeed(IdentityClient, only<IdentityClient["Type"]>("identity", methods))

export const inventory = (methods: Partial<InventoryClient["Type"]>) =>
  Layer.succeed(InventoryClient, only<InventoryClient["Type"]>("inventory", methods))

export const layer = (peers: Peers) =>
  Layer.mergeAll(
    identity(peers.identity ?? {}),
    inventory(peers.inventory ?? {}),
    Layer.succeed(OrderingClient, only<OrderingClient["Type"]>("ordering", peers.ordering ?? {})),
    Layer.succeed(PaymentClient, only<PaymentClient["Type"]>("payment", peers.payment ?? {})),
  )
