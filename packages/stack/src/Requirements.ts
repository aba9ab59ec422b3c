/**
 * What the stack provides by itself in dev and therefore must be told in stage and prod. Checked before anything is
 * started, so that one message lists every missing key of every service.
 */
import * as AuditConfig from "@floodgate/runtime/audit/AuditConfig"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Environment } from "./Engines.ts"
import { runEffect } from "./RunEffect.ts"
import { facts, type Service } from "./Services.ts"
import { StackError } from "./StackError.ts"

/** Whom each service calls; in stage and prod their addresses must be said. */
const peers: Record<Service, ReadonlyArray<AppConfig.PeerName>> = {
  edge: ["identity", "inventory", "ordering", "payment"],
  identity: [],
  inventory: ["ordering"],
  ordering: ["identity", "inventory", "payment"],
  payment: ["identity", "ordering"],
  sandbox: [],
}

/** Those that keep an audit trail. */
const audited: ReadonlyArray<Service> = ["edge", "identity", "inventory", "ordering", "payment"]

const required = (chosen: ReadonlySet<Service>): ReadonlyArray<Config.Config<unknown>> => {
  const keys: Array<Config.Config<unknown>> = [
    AppConfig.portBase,
    AppConfig.secretJsonFile("SERVICE_CREDENTIAL_FILE"),
  ]
  if ([...chosen].some((service) => facts[service].needsBus)) {
    keys.push(
      Config.orElse(Config.nonEmptyString("KAFKA_BROKERS"), () => AppConfig.redactedUrl("REDIS_BUS_URL")),
    )
  }
  if (chosen.has("inventory") || chosen.has("ordering")) {
    keys.push(AppConfig.redactedUrl("REDIS_URL"), AppConfig.secret("ORDER_NUM_KEY"))
  }
  if (chosen.has("identity")) {
    keys.push(
      AppConfig.secretJsonFile("JWT_KEYS_FILE"),
      AppConfig.secret("REFRESH_TOKEN_KEY"),
      AppConfig.secretList("KEY_ENCRYPTION_KEY"),
    )
  }
  if (audited.some((service) => chosen.has(service))) keys.push(AuditConfig.config)
  if (chosen.has("edge")) {
    keys.push(AppConfig.secretList("TICKET_KEYS"), AppConfig.redactedUrl("REDIS_LIMITS_URL"))
  }
  if (chosen.has("payment")) {
    keys.push(Config.nonEmptyString("PUBLIC_URL"), AppConfig.secretList("KEY_ENCRYPTION_KEY"))
  }
  const called = new Set([...chosen].flatMap((service) => peers[service]))
  for (const peer of called) keys.push(AppConfig.peer(peer))
  for (const service of chosen) {
    const { database } = facts[service]
    if (database !== undefined) keys.push(AppConfig.redactedUrl(`MYSQL_URL_${database.toUpperCase()}`))
  }
  return keys
}

/** Fails with a StackError that names every key that is missing or not fit for this environment. */
export const check = async (env: Environment, chosen: ReadonlySet<Service>): Promise<void> => {
  const results = await runEffect(
    Effect.forEach(required(chosen), (config) => Effect.either(AppConfig.load(config))).pipe(
      Effect.withConfigProvider(Provider.make(env)),
    ),
  )
  const failures = results.flatMap((result) => (Either.isLeft(result) ? [result.left] : []))
  if (failures.length > 0) throw new StackError(AppConfig.ConfigInvalid.merge(failures).message)
}
