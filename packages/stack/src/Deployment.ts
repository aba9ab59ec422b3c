/** What a deployment does once, before its services start: databases and topics, as the environment names them. */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Databases from "./Databases.ts"
import { type Environment, given } from "./Engines.ts"
import { runEffect } from "./RunEffect.ts"
import { type Database, databases } from "./Services.ts"
import { StackError } from "./StackError.ts"
import * as Topics from "./Topics.ts"

const urlsConfig = Config.all({
  admin: Config.option(AppConfig.redactedUrl("MYSQL_ADMIN_URL")),
  own: Config.all(
    Object.fromEntries(
      databases.map((name) => [name, AppConfig.redactedUrl(`MYSQL_URL_${name.toUpperCase()}`)]),
    ) as Record<Database, Config.Config<Redacted.Redacted<string>>>,
  ),
})

const withRoot = (root: string, env: Environment): Environment => ({ FLOODGATE_ROOT: root, ...env })

const load = <A>(config: Config.Config<A>, env: Environment): Promise<A> =>
  runEffect(
    AppConfig.load(config).pipe(
      Effect.mapError((invalid) => new StackError(invalid.message)),
      Effect.withConfigProvider(Provider.make(env)),
    ),
  )

/** The password in a service's URL. Users and databases that we make are named after their service. */
const passwordIn = (name: Database, url: string): string => {
  const { username, password, pathname } = new URL(url)
  if (decodeURIComponent(username) !== name || pathname !== `/${name}` || password === "") {
    throw new StackError(
      `With MYSQL_ADMIN_URL, MYSQL_URL_${name.toUpperCase()} is mysql://${name}:<password>@<host>/${name}.`,
    )
  }
  return decodeURIComponent(password)
}

/**
 * Runs the outstanding migrations of every service on the databases that MYSQL_URL_<SERVICE> name; answers their names.
 * With MYSQL_ADMIN_URL, the administrator does it, and before makes what is missing: a database and a user for each
 * service, with the password of its URL, and afterwards gives each user its rights. Without, databases and rights are
 * somebody else's business, and each URL's own user must be allowed to change tables.
 */
export const migrate = async (root: string, env: Environment): Promise<ReadonlyArray<string>> => {
  const { admin, own } = await load(urlsConfig, withRoot(root, env))
  const urls = Object.fromEntries(databases.map((name) => [name, Redacted.value(own[name])])) as Record<
    Database,
    string
  >
  if (Option.isNone(admin)) return Databases.migrate(root, urls)
  const adminUrl = Redacted.value(admin.value)
  const passwords = Object.fromEntries(
    databases.map((name) => [name, passwordIn(name, urls[name])]),
  ) as Record<Database, string>
  await Databases.createDatabases(adminUrl, passwords)
  const ran = await Databases.migrate(
    root,
    Object.fromEntries(databases.map((name) => [name, Databases.withDatabase(adminUrl, name)])),
  )
  await Databases.grant(adminUrl, new Set(databases))
  return ran
}

/** Makes the missing topics on the bus that KAFKA_BROKERS or REDIS_BUS_URL names. */
export const topics = async (root: string, env: Environment): Promise<void> => {
  const keys = ["KAFKA_BROKERS", "REDIS_BUS_URL"]
  if (keys.every((key) => given(env, key) === undefined && given(env, `${key}_FILE`) === undefined)) {
    throw new StackError(`Missing: ${keys.join(" or ")}`)
  }
  await Topics.ensure(withRoot(root, env))
}

/** A line for whoever asked for migrations. */
export const told = (ran: ReadonlyArray<string>): string =>
  ran.length === 0 ? "Nothing new." : `Ran ${ran.join(", ")}.`
