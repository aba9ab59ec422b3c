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
import * as PaymentMetrics from "./PaymentMetrics.ts"
import { Payments } from "./Payments.ts"
import { rpc } from "./rpc.ts"
import { Gate } from "./store/Gate.ts"
import { IntentStore } from "./store/IntentStore.ts"
import { LedgerStore } from "./store/LedgerStore.ts"
import { PaymentLists } from "./store/PaymentLists.ts"
import { ProviderEventStore } from "./store/ProviderEventStore.ts"
import { RefundStore } from "./store/RefundStore.ts"
import { TopUpStore } from "./store/TopUpStore.ts"
import { WebhookStore } from "./store/WebhookStore.ts"
import { WebhookConfig } from "./webhooks/WebhookConfig.ts"
import { EventApplier } from "./workers/EventApplier.ts"
import * as IntentRetry from "./workers/IntentRetry.ts"
import * as OrderAnswers from "./workers/OrderAnswers.ts"
import * as Refunds from "./workers/Refunds.ts"
import * as TopUps from "./workers/TopUps.ts"
import * as WebhookEvents from "./workers/WebhookEvents.ts"
import { WebhookSender } from "./workers/WebhookSender.ts"

/** Workers and the gRPC server: what runs. */
const processes = Layer.mergeAll(
  GrpcServer.layer({ port: AppConfig.port("payment"), services: [rpc] }),
  IntentRetry.layer,
  OrderAnswers.layer,
  PaymentMetrics.layer,
  Refunds.layer,
  TopUps.layer,
  WebhookEvents.layer,
  Sealer.layer({ service: "payment" }),
)

/** Order money and webhooks in MySQL. */
const stores = Layer.mergeAll(
  IntentStore.layer,
  ProviderEventStore.layer,
  RefundStore.layer,
  TopUpStore.layer,
  PaymentLists.layer,
).pipe(Layer.provideMerge(Gate.layer))

const application = Layer.merge(EventApplier.layer, WebhookSender.layer).pipe(
  Layer.provideMerge(Payments.layer),
  Layer.provideMerge(stores),
  Layer.provideMerge(WebhookStore.layer),
  Layer.provideMerge(WebhookConfig.layer),
  Layer.provideMerge(LedgerStore.layer),
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
