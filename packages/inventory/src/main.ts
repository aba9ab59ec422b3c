import * as AuditConfig from "@floodgate/runtime/audit/AuditConfig"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import { mediaDir } from "@floodgate/runtime/config/MediaDir"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import { layer } from "./layer.ts"

Main.run({
  service: "inventory",
  layer,
  opsPort: AppConfig.port("inventoryOps"),
  requires: [
    AppConfig.port("inventory"),
    AppConfig.redactedUrl("MYSQL_URL_INVENTORY"),
    AppConfig.redactedUrl("REDIS_URL"),
    AppConfig.secret("ORDER_NUM_KEY"),
    AppConfig.secretJsonFile("SERVICE_CREDENTIAL_FILE"),
    AuditConfig.config,
    mediaDir,
    AppConfig.peer("ordering"),
  ],
})
