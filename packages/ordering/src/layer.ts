/** The one place that composes the ordering service. */
import * as Sealer from "@floodgate/runtime/audit/Sealer"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import * as EventBus from "@floodgate/runtime/event-bus/EventBus"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Peers from "@floodgate/runtime/grpc/Peers"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as OrderingConfig from "./OrderingConfig.ts"
import * as BooksStore from "./reconcile/BooksStore.ts"
import * as DriftStore from "./reconcile/DriftStore.ts"
import * as ReconcileMetrics from "./reconcile/ReconcileMetrics.ts"
import * as Reconciler from "./reconcile/Reconciler.ts"
import * as SaleBooks from "./reconcile/SaleBooks.ts"
import * as SaleRedis from "./reconcile/SaleRedis.ts"
import * as Settings from "./reconcile/Settings.ts"
import * as Rpc from "./rpc.ts"
import * as CancelStore from "./store/CancelStore.ts"
import * as DeadLetterStore from "./store/DeadLetterStore.ts"
import * as OrderStore from "./store/OrderStore.ts"
import * as PaymentStore from "./store/PaymentStore.ts"
import * as TimeoutTimers from "./timers/TimeoutTimers.ts"
import * as TimerRedis from "./timers/TimerRedis.ts"
import * as Timers from "./timers/Timers.ts"
import * as Canceller from "./workers/Canceller.ts"
import * as CancelSweep from "./workers/CancelSweep.ts"
import * as DeadLetterMetrics from "./workers/DeadLetterMetrics.ts"
import * as DeadLetters from "./workers/DeadLetters.ts"
import * as FailedMessages from "./workers/FailedMessages.ts"
import * as OrderWorker from "./workers/OrderWorker.ts"
import * as PaymentEvents from "./workers/PaymentEvents.ts"
import * as RetryTopics from "./workers/RetryTopics.ts"
import * as TimeoutSweep from "./workers/TimeoutSweep.ts"

/** The worker's partitions, payment events, sweeps and calls share these. */
const MAX_CONNECTIONS = 24

/**
 * A process that was stopped in the middle of a transaction must not hold a product's lock: MySQL ends its idle
 * session, and whoever waits for the row gives up and tries again.
 */
export const session = { wait_timeout: 10, innodb_lock_wait_timeout: 3 }

const reconciliation = Reconciler.layer.pipe(
  Layer.provide(Reconciler.service),
  Layer.provide([
    Settings.layer,
    BooksStore.layer,
    SaleBooks.layer.pipe(Layer.provide(SaleRedis.layer), Layer.provide(TimerRedis.layer)),
  ]),
)

/** Workers and the gRPC server: what runs. */
const processes = Layer.mergeAll(
  Layer.unwrapEffect(
    Effect.map(Rpc.service, (service) =>
      GrpcServer.layer({ port: AppConfig.port("ordering"), services: [service] }),
    ),
  ),
  Consumer.layer(OrderWorker.GROUP, OrderWorker.run),
  RetryTopics.layer,
  Consumer.layer(PaymentEvents.GROUP, PaymentEvents.run),
  TimeoutTimers.layer,
  TimeoutSweep.layer,
  CancelSweep.layer,
  PaymentEvents.parkedLayer,
  DeadLetters.sweepLayer,
  DeadLetterMetrics.layer,
  ReconcileMetrics.layer,
  reconciliation,
  Sealer.layer({ service: "ordering" }),
)

const application = Layer.mergeAll(Canceller.layer, DeadLetters.layer, FailedMessages.layer).pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      OrderStore.layer,
      CancelStore.layer,
      PaymentStore.layer,
      DeadLetterStore.layer,
      DriftStore.layer,
      Timers.layer.pipe(Layer.provide(TimerRedis.layer)),
      Outbox.relayLayer({ name: "ordering" }),
    ),
  ),
)

const infrastructure = Layer.mergeAll(
  Mysql.layer({
    url: AppConfig.redactedUrl("MYSQL_URL_ORDERING"),
    maxConnections: MAX_CONNECTIONS,
    session,
  }),
  EventBus.layer,
  OrderingConfig.layer,
  Layer.mergeAll(Peers.identity, Peers.inventory, Peers.payment),
).pipe(Layer.provideMerge(Credential.layer("ordering")))

export const layer = processes.pipe(Layer.provide(application), Layer.provide(infrastructure))
