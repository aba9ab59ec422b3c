/** The stub of the ordering service: orders and their outcomes. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as GrpcClient from "./GrpcClient.ts"
import { OrderingRpc } from "./Services.ts"

/** Calls ordering. Each method fails with the errors that `OrderingRpc` declares for it, or with a `TransportError`. */
export class OrderingClient extends Context.Tag("@floodgate/contracts/rpc/OrderingClient")<
  OrderingClient,
  GrpcClient.Client<typeof OrderingRpc>
>() {
  static layer(options: GrpcClient.ClientOptions): Layer.Layer<OrderingClient> {
    return Layer.scoped(OrderingClient, GrpcClient.make(OrderingRpc, options))
  }
}
