/** The one place that composes the inventory service. */
import * as Sealer from "@floodgate/runtime/audit/Sealer"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as EventBus from "@floodgate/runtime/event-bus/EventBus"
import * as Credential from "@floodgate/runtime/grpc/Credential"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Peers from "@floodgate/runtime/grpc/Peers"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as Redis from "@floodgate/runtime/redis/Redis"
import * as Layer from "effect/Layer"
import { Catalog } from "./Catalog.ts"
import { Editing } from "./Editing.ts"
import { Gallery } from "./media/Gallery.ts"
import { ProductChecks } from "./ProductChecks.ts"
import { Publishing } from "./Publishing.ts"
import { Rebuild } from "./Rebuild.ts"
import { rpc } from "./rpc.ts"
import { Sale } from "./Sale.ts"
import { SalePause } from "./SalePause.ts"
import { Stock } from "./Stock.ts"
import * as StockHooks from "./StockHooks.ts"
import { ProductStore } from "./store/ProductStore.ts"
import * as ReservationStore from "./store/ReservationStore.ts"
import { SaleSwitchStore } from "./store/SaleSwitchStore.ts"
import * as ShardFence from "./store/ShardFence.ts"
import * as ShardSignals from "./store/ShardSignals.ts"
import { StockStore } from "./store/StockStore.ts"
import * as KeySweep from "./workers/KeySweep.ts"
import * as Opener from "./workers/Opener.ts"
import * as Recovery from "./workers/Recovery.ts"
import * as Relay from "./workers/Relay.ts"
import * as RelayHooks from "./workers/RelayHooks.ts"
import * as Releases from "./workers/Releases.ts"
import * as SaleReadiness from "./workers/SaleReadiness.ts"
import * as SaleSwitchSync from "./workers/SaleSwitchSync.ts"
import * as StockSweep from "./workers/StockSweep.ts"

/** Workers and the gRPC server: what runs. */
const processes = Layer.mergeAll(
  GrpcServer.layer({ port: AppConfig.port("inventory"), services: [rpc] }),
  KeySweep.layer,
  Opener.layer,
  Recovery.layer,
  Relay.layer,
  Releases.layer,
  SaleReadiness.layer,
  SaleSwitchSync.layer,
  StockSweep.layer,
  Sealer.layer({ service: "inventory" }),
)

const stores = Layer.mergeAll(
  ProductStore.layer,
  ReservationStore.layer,
  SaleSwitchStore.layer,
  ShardFence.layer,
  StockHooks.layer,
  StockStore.layer,
).pipe(
  Layer.provideMerge(
    Layer.mergeAll(ShardSignals.layer, RelayHooks.layer, Outbox.relayLayer({ name: "inventory" })),
  ),
)

const application = Layer.mergeAll(
  Editing.layer,
  Gallery.layer,
  ProductChecks.layer,
  Rebuild.layer,
  Sale.layer,
  SalePause.layer,
  Stock.layer,
).pipe(Layer.provideMerge(Layer.mergeAll(Catalog.layer, Publishing.layer)), Layer.provideMerge(stores))

const infrastructure = Layer.mergeAll(
  Mysql.layer({ url: AppConfig.redactedUrl("MYSQL_URL_INVENTORY") }),
  Redis.layer({ url: AppConfig.redactedUrl("REDIS_URL") }),
  EventBus.layer,
  Peers.ordering,
).pipe(Layer.provideMerge(Credential.layer("inventory")))

export const layer = processes.pipe(Layer.provide(application), Layer.provide(infrastructure))
