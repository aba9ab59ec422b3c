/** The stub of the inventory service: products, stock, reservations. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as GrpcClient from "./GrpcClient.ts"
import { InventoryRpc } from "./Services.ts"

/** Calls inventory. Each method fails with the errors that `InventoryRpc` declares for it, or with a `TransportError`. */
export class InventoryClient extends Context.Tag("@floodgate/contracts/rpc/InventoryClient")<
  InventoryClient,
  GrpcClient.Client<typeof InventoryRpc>
>() {
  static layer(options: GrpcClient.ClientOptions): Layer.Layer<InventoryClient> {
    return Layer.scoped(InventoryClient, GrpcClient.make(InventoryRpc, options))
  }
}
