import * as AuditConfig from "@floodgate/runtime/audit/AuditConfig"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import * as KeyRing from "./KeyRing.ts"
import { layer } from "./layer.ts"
import * as RefreshTokens from "./RefreshTokens.ts"

Main.run({
  service: "identity",
  layer,
  opsPort: AppConfig.port("identityOps"),
  requires: [
    AppConfig.port("identity"),
    AppConfig.redactedUrl("MYSQL_URL_IDENTITY"),
    AppConfig.secretJsonFile("SERVICE_CREDENTIAL_FILE"),
    AuditConfig.config,
    KeyRing.config,
    RefreshTokens.key,
  ],
})
