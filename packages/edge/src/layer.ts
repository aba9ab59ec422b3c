/** The edge, composed. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { RestApi } from "@floodgate/contracts/http/Api"
import * as Sealer from "@floodgate/runtime/audit/Sealer"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as EventBus from "@floodgate/runtime/event-bus/EventBus"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as Peers from "@floodgate/runtime/grpc/Peers"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as Layer from "effect/Layer"
import * as AuditTrail from "./audit/AuditTrail.ts"
import * as Guards from "./auth/Guards.ts"
import * as Revocations from "./auth/Revocations.ts"
import * as TokenVerifier from "./auth/TokenVerifier.ts"
import * as ChallengeProvider from "./challenge/ChallengeProvider.ts"
import * as Bulkheads from "./degrade/Bulkheads.ts"
import { EdgeConfig } from "./EdgeConfig.ts"
import * as EdgeServer from "./EdgeServer.ts"
import * as ExperimentStore from "./experiments/ExperimentStore.ts"
import * as Experiments from "./experiments/Experiments.ts"
import * as GrayLimits from "./experiments/GrayLimits.ts"
import * as PaidFeed from "./experiments/PaidFeed.ts"
import * as PeopleStore from "./experiments/PeopleStore.ts"
import * as AdminExperimentHandlers from "./handlers/AdminExperimentHandlers.ts"
import * as AdminLimitHandlers from "./handlers/AdminLimitHandlers.ts"
import * as AdminOrderHandlers from "./handlers/AdminOrderHandlers.ts"
import * as AdminPaymentHandlers from "./handlers/AdminPaymentHandlers.ts"
import * as AdminProductHandlers from "./handlers/AdminProductHandlers.ts"
import * as AdminRiskHandlers from "./handlers/AdminRiskHandlers.ts"
import * as AdminUserHandlers from "./handlers/AdminUserHandlers.ts"
import * as AuditHandlers from "./handlers/AuditHandlers.ts"
import * as AuthHandlers from "./handlers/AuthHandlers.ts"
import * as ChallengeHandlers from "./handlers/ChallengeHandlers.ts"
import * as DeadLetterHandlers from "./handlers/DeadLetterHandlers.ts"
import * as DocumentHandlers from "./handlers/DocumentHandlers.ts"
import * as ExperimentHandlers from "./handlers/ExperimentHandlers.ts"
import * as HealthHandlers from "./handlers/HealthHandlers.ts"
import * as KeyHandlers from "./handlers/KeyHandlers.ts"
import * as MediaHandlers from "./handlers/MediaHandlers.ts"
import * as OrderHandlers from "./handlers/OrderHandlers.ts"
import * as OverviewHandlers from "./handlers/OverviewHandlers.ts"
import * as PaymentHandlers from "./handlers/PaymentHandlers.ts"
import * as ProductHandlers from "./handlers/ProductHandlers.ts"
import * as PushHandlers from "./handlers/PushHandlers.ts"
import * as QueueHandlers from "./handlers/QueueHandlers.ts"
import * as ReconciliationHandlers from "./handlers/ReconciliationHandlers.ts"
import * as RiskHandlers from "./handlers/RiskHandlers.ts"
import * as SaleHandlers from "./handlers/SaleHandlers.ts"
import * as WalletHandlers from "./handlers/WalletHandlers.ts"
import * as WebhookHandlers from "./handlers/WebhookHandlers.ts"
import * as Boundary from "./http/Boundary.ts"
import * as KeyStore from "./idempotency/KeyStore.ts"
import * as BucketStore from "./limits/BucketStore.ts"
import * as Limiter from "./limits/Limiter.ts"
import * as LimitSettings from "./limits/LimitSettings.ts"
import * as LimitStore from "./limits/LimitStore.ts"
import * as LimitsRedis from "./limits/LimitsRedis.ts"
import * as FigureStore from "./overview/FigureStore.ts"
import * as Timeline from "./overview/Timeline.ts"
import * as ProductCache from "./products/ProductCache.ts"
import * as Journal from "./push/Journal.ts"
import * as OrderFeed from "./push/OrderFeed.ts"
import * as Push from "./push/Push.ts"
import * as QueueStore from "./queue/QueueStore.ts"
import * as WaitingRoom from "./queue/WaitingRoom.ts"
import * as AccountAges from "./risk/AccountAges.ts"
import * as Counters from "./risk/Counters.ts"
import * as Devices from "./risk/Devices.ts"
import * as RiskEngine from "./risk/RiskEngine.ts"
import * as RiskRecords from "./risk/RiskRecords.ts"
import * as RiskSettings from "./risk/RiskSettings.ts"
import * as RiskStore from "./risk/RiskStore.ts"
import * as RuleKinds from "./risk/RuleKinds.ts"
import * as WindowStore from "./risk/WindowStore.ts"
import * as Coalescer from "./seckill/Coalescer.ts"
import * as RestockFeed from "./seckill/RestockFeed.ts"
import * as ServerClock from "./seckill/ServerClock.ts"
import * as SoldOutMarks from "./seckill/SoldOutMarks.ts"
import * as Tickets from "./ticket/Tickets.ts"

const handlers = Layer.mergeAll(
  AuthHandlers.layer,
  ProductHandlers.layer,
  PushHandlers.layer,
  QueueHandlers.layer,
  OrderHandlers.layer,
  PaymentHandlers.layer,
  WalletHandlers.layer,
  OverviewHandlers.layer,
  AdminUserHandlers.layer,
  AdminProductHandlers.layer,
  MediaHandlers.layer,
  SaleHandlers.layer,
  AdminOrderHandlers.layer,
  DeadLetterHandlers.layer,
  AdminPaymentHandlers.layer,
  WebhookHandlers.layer,
  AdminLimitHandlers.layer,
  ExperimentHandlers.layer,
  AdminExperimentHandlers.layer,
  AdminRiskHandlers.layer,
  RiskHandlers.layer,
  ChallengeHandlers.layer,
  AuditHandlers.layer,
  KeyHandlers.layer,
  ReconciliationHandlers.layer,
  HealthHandlers.layer,
  DocumentHandlers.layer,
).pipe(Layer.provide(Guards.layer))

const api = HttpApiBuilder.api(RestApi).pipe(Layer.provide(handlers))

/** Rules, and what they go by. */
const risk = RiskEngine.layer.pipe(
  Layer.provide([RuleKinds.layer, RiskRecords.layer]),
  Layer.provide(Counters.layer),
  Layer.provideMerge(Layer.merge(RiskSettings.layer, AccountAges.layer)),
)

/** What every request passes: limits and rules. */
const guards = Layer.merge(Limiter.layer, risk)

/** The limits' numbers, with those that experiments set for their users. */
const limits = GrayLimits.layer.pipe(Layer.provide(LimitSettings.layer))

/** The edge behind these guards, over whatever clients, settings and key store it is given. */
const serverBehind = (chosen: typeof guards) =>
  EdgeServer.layer.pipe(
    Layer.provide([api, Boundary.layer]),
    Layer.provide(Push.layer),
    Layer.provide(WaitingRoom.layer),
    Layer.provide(Timeline.layer),
    Layer.provide([TokenVerifier.layer, Coalescer.layer, ProductCache.layer, Bulkheads.layer]),
    Layer.provide(chosen),
    Layer.provide(limits),
    Layer.provide(Revocations.layer),
    Layer.provide([ServerClock.layer, NodeHttpServer.layerContext]),
  )

export const server = serverBehind(guards)

const peers = Layer.mergeAll(Peers.identity, Peers.inventory, Peers.ordering, Peers.payment).pipe(
  Layer.provide(Credential.layer("edge")),
)

export const mysqlUrl = AppConfig.redactedUrl("MYSQL_URL_EDGE")

// The sale isn't among what uses it: without this database the edge is as ready as with it.
const database = Mysql.layer({ url: mysqlUrl, maxConnections: 8 }).pipe(
  Layer.provide(Layer.fresh(Readiness.layer)),
)

/** What the edge keeps itself: answers to idempotency keys, and who changed its settings. */
const stores = Layer.mergeAll(
  KeyStore.layer,
  AuditTrail.layer,
  LimitStore.layer,
  RiskStore.layer,
  Experiments.layer.pipe(Layer.provideMerge(Layer.merge(ExperimentStore.layer, PeopleStore.layer))),
  Sealer.layer({ service: "edge" }),
)

/** What all edges share for the length of a sale. */
const shared = Layer.mergeAll(
  BucketStore.layer,
  WindowStore.layer,
  QueueStore.layer,
  FigureStore.layer,
  Journal.layer,
  RestockFeed.layer,
  OrderFeed.layer.pipe(Layer.provide(Journal.layer)),
).pipe(Layer.provideMerge(SoldOutMarks.layer), Layer.provide([LimitsRedis.layer, EventBus.layer]))

const infrastructure = Layer.mergeAll(
  EdgeConfig.layer,
  Tickets.layer,
  Devices.layer,
  ChallengeProvider.layer,
  peers,
  shared,
  PaidFeed.layer.pipe(Layer.provide(EventBus.layer)),
).pipe(Layer.provideMerge(stores), Layer.provide(database))

/** The edge as a process: configuration, credential, its database, the bus, and the four services by gRPC. */
export const layer = server.pipe(Layer.provide(infrastructure))

/** The same behind guards that let everything pass: what limits and rules cost is measured against it, and nothing else. */
export const unguarded = (open: {
  readonly limiter: Limiter.Limiter["Type"]
  readonly risk: RiskEngine.RiskEngine["Type"]
}) =>
  serverBehind(
    Layer.mergeAll(
      Layer.succeed(Limiter.Limiter, open.limiter),
      Layer.succeed(RiskEngine.RiskEngine, open.risk),
      RiskSettings.layer,
      AccountAges.layer,
    ),
  ).pipe(Layer.provide(infrastructure))
