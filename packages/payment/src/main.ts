import * as AuditConfig from "@floodgate/runtime/audit/AuditConfig"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import { layer } from "./layer.ts"
import * as WebhookConfig from "./webhooks/WebhookConfig.ts"

Main.run({
  service: "payment",
  layer,
  opsPort: AppConfig.port("paymentOps"),
  requires: [
    AppConfig.port("payment"),
    AppConfig.redactedUrl("MYSQL_URL_PAYMENT"),
    AppConfig.secretJsonFile("SERVICE_CREDENTIAL_FILE"),
    AuditConfig.config,
    WebhookConfig.config,
    AppConfig.peer("identity"),
    AppConfig.peer("ordering"),
  ],
})
