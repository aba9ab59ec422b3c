/** The stub of the payment service: intents, captures, callbacks. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as GrpcClient from "./GrpcClient.ts"
import { PaymentRpc } from "./Services.ts"

/** Calls payment. Each method fails with the errors that `PaymentRpc` declares for it, or with a `TransportError`. */
export class PaymentClient extends Context.Tag("@floodgate/contracts/rpc/PaymentClient")<
  PaymentClient,
  GrpcClient.Client<typeof PaymentRpc>
>() {
  static layer(options: GrpcClient.ClientOptions): Layer.Layer<PaymentClient> {
    return Layer.scoped(PaymentClient, GrpcClient.make(PaymentRpc, options))
  }
}
