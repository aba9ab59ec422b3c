/** The audit trail's settings. */
import * as path from "node:path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as AppConfig from "../config/AppConfig.ts"
import { isPublicKey, signingKey } from "./AuditHead.ts"

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

const ownKey = Config.map(AppConfig.secret("AUDIT_KEY"), signingKey)

/** `AUDIT_KEY`, the secret that heads are signed with, and `AUDIT_HEAD_FILE`. */
export const config = Config.all({ key: ownKey, headFile })

const publicKeys: Config.Config<ReadonlyArray<string>> = Config.string("AUDIT_PUBLIC_KEYS").pipe(
  Config.mapOrFail((text) => {
    const keys = text.split(",").map((key) => key.trim())
    return keys.every(isPublicKey)
      ? Either.right(keys)
      : Either.left(ConfigError.InvalidData([], "must be a comma list of public keys, as heads carry them"))
  }),
)

/**
 * The public keys whose heads a verifier trusts: that of `AUDIT_KEY`, and those of the comma list `AUDIT_PUBLIC_KEYS`
 * (a head's `key`), one of the two at least. With the list alone, whoever verifies can't sign.
 */
export const trusted: Config.Config<ReadonlySet<string>> = Config.all([
  Config.option(ownKey),
  Config.option(publicKeys),
]).pipe(
  Config.mapOrFail(([own, others]) =>
    Option.isNone(own) && Option.isNone(others)
      ? Either.left(ConfigError.MissingData(["AUDIT_KEY"], "is missing, and so is AUDIT_PUBLIC_KEYS"))
      : Either.right(
          new Set([...Option.toArray(own).map((key) => key.publicKey), ...Option.toArray(others).flat()]),
        ),
  ),
)
