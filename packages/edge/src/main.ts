import * as AuditConfig from "@floodgate/runtime/audit/AuditConfig"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import * as Layer from "effect/Layer"
import * as EdgeConfig from "./EdgeConfig.ts"
import { layer, mysqlUrl } from "./layer.ts"
import * as LimitsRedis from "./limits/LimitsRedis.ts"
import * as SharedPort from "./processes/SharedPort.ts"
import * as Tickets from "./ticket/Tickets.ts"

Main.run({
  service: "edge",
  layer: SharedPort.layer(Layer.discard(layer)),
  opsPort: AppConfig.port("edgeOps"),
  requires: [
    EdgeConfig.config,
    mysqlUrl,
    AuditConfig.config,
    Tickets.keys,
    LimitsRedis.url,
    SharedPort.count,
  ],
  stoppedBy: SharedPort.stoppedByHolder,
})
