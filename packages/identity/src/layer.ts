/** The one place that composes the identity service. */
import * as Sealer from "@floodgate/runtime/audit/Sealer"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as Layer from "effect/Layer"
import { AccessTokens } from "./AccessTokens.ts"
import { Accounts } from "./Accounts.ts"
import { Export } from "./Export.ts"
import { KeyRing } from "./KeyRing.ts"
import { Passwords } from "./Passwords.ts"
import { RefreshTokens } from "./RefreshTokens.ts"
import { RevocationFeed } from "./RevocationFeed.ts"
import { rpc } from "./rpc.ts"
import { KeyStore } from "./store/KeyStore.ts"
import { RevocationStore } from "./store/RevocationStore.ts"
import { SessionStore } from "./store/SessionStore.ts"
import { UserStore } from "./store/UserStore.ts"
import { WalletLedger } from "./store/WalletLedger.ts"
import { WalletStore } from "./store/WalletStore.ts"
import * as TokenSweep from "./workers/TokenSweep.ts"

const stores = Layer.mergeAll(
  UserStore.layer,
  SessionStore.layer,
  WalletStore.layer,
  WalletLedger.layer,
  RevocationStore.layer,
  KeyStore.layer,
  Export.layer,
)

const secrets = Layer.mergeAll(
  AccessTokens.layer.pipe(Layer.provideMerge(KeyRing.layer)),
  RefreshTokens.layer,
  Passwords.layer,
)

/** Everything but what listens; needs Mysql. */
export const application = Layer.mergeAll(Accounts.layer, RevocationFeed.layer).pipe(
  Layer.provideMerge(secrets),
  Layer.provideMerge(stores),
)

const processes = Layer.mergeAll(
  GrpcServer.layer({ port: AppConfig.port("identity"), services: [rpc] }),
  TokenSweep.layer,
  Sealer.layer({ service: "identity" }),
)

const infrastructure = Layer.mergeAll(
  Mysql.layer({ url: AppConfig.redactedUrl("MYSQL_URL_IDENTITY") }),
  Credential.layer("identity"),
)

export const layer = processes.pipe(Layer.provide(application), Layer.provide(infrastructure))
