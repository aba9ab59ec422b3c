/** The audit trail's settings. */
import * as path from "node:path"
import * as Config from "effect/Config"
import * as AppConfig from "../config/AppConfig.ts"
import { signingKey } from "./AuditHead.ts"

/**
 * `AUDIT_HEAD_FILE`: where signed heads are kept, relative to the root. In dev, where it isn't given,
 * `.floodgate/audit/heads.jsonl`; stage and prod must name one that the database's administrators can't write.
 */
export const headFile: Config.Config<string> = Config.map(
  Config.all([
    AppConfig.devDefault(Config.nonEmptyString("AUDIT_HEAD_FILE"), ".floodgate/audit/heads.jsonl"),
    AppConfig.root,
  ]),
  ([file, root]) => path.resolve(root, file),
)

/** `AUDIT_KEY`, the secret that heads are signed with, and `AUDIT_HEAD_FILE`. */
export const config = Config.all({ key: Config.map(AppConfig.secret("AUDIT_KEY"), signingKey), headFile })
