/** The one place that composes the payment service. */

import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Sealer from "@floodgate/runtime/audit/Sealer"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as EventBus from "@floodgate/runtime/event-bus/EventBus"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Peers from "@floodgate/runtime/grpc/Peers"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as Layer from "effect/Layer"
import * as Channels from "./channels/Live.ts"
import { Payments } from "./Payments.ts"
import { rpc } from "./rpc.ts"
import { PaymentStore } from "./store/PaymentStore.ts"
import { EventApplier } from "./workers/EventApplier.ts"
import * as IntentRetry from "./workers/IntentRetry.ts"
import * as OrderAnswers from "./workers/OrderAnswers.ts"
import * as Refunds from "./workers/Refunds.ts"

/** Workers and the gRPC server: what runs. */
const processes = Layer.mergeAll(
  GrpcServer.layer({ port: AppConfig.port("payment"), services: [rpc] }),
  IntentRetry.layer,
  OrderAnswers.layer,
  Refunds.layer,
  Sealer.layer({ service: "payment" }),
)

const application = EventApplier.layer.pipe(
  Layer.provideMerge(Payments.layer),
  Layer.provideMerge(PaymentStore.layer),
  Layer.provideMerge(Outbox.relayLayer({ name: "payment" })),
  Layer.provideMerge(Channels.layer),
)

const infrastructure = Layer.mergeAll(
  Mysql.layer({ url: AppConfig.redactedUrl("MYSQL_URL_PAYMENT") }),
  EventBus.layer,
  NodeHttpClient.layer,
  Layer.mergeAll(Peers.identity, Peers.ordering),
).pipe(Layer.provideMerge(Credential.layer("payment")))

export const layer = processes.pipe(Layer.provide(application), Layer.provide(infrastructure))
