/** The edge, composed. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { RestApi } from "@floodgate/contracts/http/Api"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as Peers from "@floodgate/runtime/grpc/Peers"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as Layer from "effect/Layer"
import * as Guards from "./auth/Guards.ts"
import * as Revocations from "./auth/Revocations.ts"
import * as TokenVerifier from "./auth/TokenVerifier.ts"
import { EdgeConfig } from "./EdgeConfig.ts"
import * as EdgeServer from "./EdgeServer.ts"
import * as AdminOrderHandlers from "./handlers/AdminOrderHandlers.ts"
import * as AdminPaymentHandlers from "./handlers/AdminPaymentHandlers.ts"
import * as AdminProductHandlers from "./handlers/AdminProductHandlers.ts"
import * as AdminUserHandlers from "./handlers/AdminUserHandlers.ts"
import * as AuditHandlers from "./handlers/AuditHandlers.ts"
import * as AuthHandlers from "./handlers/AuthHandlers.ts"
import * as DeadLetterHandlers from "./handlers/DeadLetterHandlers.ts"
import * as DocumentHandlers from "./handlers/DocumentHandlers.ts"
import * as HealthHandlers from "./handlers/HealthHandlers.ts"
import * as KeyHandlers from "./handlers/KeyHandlers.ts"
import * as OrderHandlers from "./handlers/OrderHandlers.ts"
import * as PaymentHandlers from "./handlers/PaymentHandlers.ts"
import * as ProductHandlers from "./handlers/ProductHandlers.ts"
import * as ReconciliationHandlers from "./handlers/ReconciliationHandlers.ts"
import * as SaleHandlers from "./handlers/SaleHandlers.ts"
import * as WalletHandlers from "./handlers/WalletHandlers.ts"
import * as WebhookHandlers from "./handlers/WebhookHandlers.ts"
import * as Boundary from "./http/Boundary.ts"
import * as KeyStore from "./idempotency/KeyStore.ts"
import * as ProductCache from "./products/ProductCache.ts"
import * as Coalescer from "./seckill/Coalescer.ts"
import * as ServerClock from "./seckill/ServerClock.ts"

const handlers = Layer.mergeAll(
  AuthHandlers.layer,
  ProductHandlers.layer,
  OrderHandlers.layer,
  PaymentHandlers.layer,
  WalletHandlers.layer,
  AdminUserHandlers.layer,
  AdminProductHandlers.layer,
  SaleHandlers.layer,
  AdminOrderHandlers.layer,
  DeadLetterHandlers.layer,
  AdminPaymentHandlers.layer,
  WebhookHandlers.layer,
  AuditHandlers.layer,
  KeyHandlers.layer,
  ReconciliationHandlers.layer,
  HealthHandlers.layer,
  DocumentHandlers.layer,
).pipe(Layer.provide(Guards.layer))

const api = HttpApiBuilder.api(RestApi).pipe(Layer.provide(handlers))

/** The edge over whatever clients, settings and key store it is given. */
export const server = EdgeServer.layer.pipe(
  Layer.provide([api, Boundary.layer]),
  Layer.provide([TokenVerifier.layer, Coalescer.layer, ProductCache.layer]),
  Layer.provide(Revocations.layer),
  Layer.provide([ServerClock.layer, NodeHttpServer.layerContext]),
)

const peers = Layer.mergeAll(Peers.identity, Peers.inventory, Peers.ordering, Peers.payment).pipe(
  Layer.provide(Credential.layer("edge")),
)

export const mysqlUrl = AppConfig.redactedUrl("MYSQL_URL_EDGE")

// Few routes use it, and the sale isn't among them: without this database the edge is as ready as with it.
const keys = KeyStore.layer.pipe(
  Layer.provide(Mysql.layer({ url: mysqlUrl, maxConnections: 4 })),
  Layer.provide(Layer.fresh(Readiness.layer)),
)

/** The edge as a process: configuration, credential, its database, and the four services by gRPC. */
export const layer = server.pipe(Layer.provide([EdgeConfig.layer, peers, keys]))
