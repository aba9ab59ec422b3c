/** The stub of the identity service: accounts, tokens, wallets. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as GrpcClient from "./GrpcClient.ts"
import { IdentityRpc } from "./Services.ts"

/** Calls identity. Each method fails with the errors that `IdentityRpc` declares for it, or with a `TransportError`. */
export class IdentityClient extends Context.Tag("@floodgate/contracts/rpc/IdentityClient")<
  IdentityClient,
  GrpcClient.Client<typeof IdentityRpc>
>() {
  static layer(options: GrpcClient.ClientOptions): Layer.Layer<IdentityClient> {
    return Layer.scoped(IdentityClient, GrpcClient.make(IdentityRpc, options))
  }
}
