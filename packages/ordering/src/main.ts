import * as AuditConfig from "@floodgate/runtime/audit/AuditConfig"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import { layer } from "./layer.ts"
import * as OrderingConfig from "./OrderingConfig.ts"
import * as TimerRedis from "./timers/TimerRedis.ts"

Main.run({
  service: "ordering",
  layer,
  opsPort: AppConfig.port("orderingOps"),
  requires: [
    AppConfig.port("ordering"),
    AppConfig.redactedUrl("MYSQL_URL_ORDERING"),
    AppConfig.secretJsonFile("SERVICE_CREDENTIAL_FILE"),
    AuditConfig.config,
    AppConfig.peer("identity"),
    AppConfig.peer("inventory"),
    AppConfig.peer("payment"),
    TimerRedis.url,
    OrderingConfig.config,
  ],
})
