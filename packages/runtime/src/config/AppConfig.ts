/**
 * The configuration of every process: the environment, its secrets, its ports and its peers. A module that needs a
 * value declares a `Config` with the builders below and reads it with `load`, which reports every key that is missing
 * or wrong in one `ConfigInvalid`.
 */
import * as path from "node:path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ports from "./Ports.ts"
import * as Provider from "./Provider.ts"

/** Where the process runs: a developer's machine, the rehearsal, or the real thing. */
export type AppEnv = "dev" | "stage" | "prod"

/** Services that others call by gRPC. */
export type PeerName = "identity" | "inventory" | "ordering" | "payment"

/** The shortest secret that stage and prod accept, in characters. */
export const SECRET_MIN_LENGTH = 32

/** What marks a value as fit for development only. */
export const DEV_MARK = "dev-only-"

/** The configuration can't be used. Happens at start only; `issues` has one line a key, and never a secret's value. */
export class ConfigInvalid extends Data.TaggedError("ConfigInvalid")<{
  readonly issues: ReadonlyArray<string>
}> {
  override get message(): string {
    return `The configuration has ${this.issues.length} problem(s):\n${this.issues.map((issue) => `  - ${issue}`).join("\n")}`
  }

  /** All the problems of several modules as one error, each once. */
  static merge(errors: ReadonlyArray<ConfigInvalid>): ConfigInvalid {
    return new ConfigInvalid({ issues: [...new Set(errors.flatMap((error) => error.issues))] })
  }
}

/** Said by the fallback of a default that holds in dev only; the primary's own error is the one worth printing. */
const NO_DEFAULT = "has no default outside dev"

/** The end of a fallback that holds in dev only: the error then names the key that should have been given. */
export const noDefault: Either.Either<never, ConfigError.ConfigError> = Either.left(
  ConfigError.MissingData([], NO_DEFAULT),
)

const describe = (error: ConfigError.ConfigError): ReadonlyArray<string> => {
  switch (error._op) {
    case "And":
      return [...describe(error.left), ...describe(error.right)]
    case "Or": {
      const left = describe(error.left)
      const right = describe(error.right)
      // Two keys that could each have given the value make one issue; a failing default adds nothing to the key's own.
      return right.length === 0 || left.length !== 1 || right.length !== 1
        ? left
        : [`${left[0]} (or: ${right[0]})`]
    }
    default: {
      if (error._op === "MissingData" && error.message === NO_DEFAULT) return []
      const key = error.path.join("_")
      return [key === "" ? error.message : `${key}: ${error.message}`]
    }
  }
}

/** Reads a configuration from the current provider. Fails with all of its missing and invalid keys at once. */
export const load = <A>(config: Config.Config<A>): Effect.Effect<A, ConfigInvalid> =>
  Effect.mapError(config, (error) => new ConfigInvalid({ issues: [...new Set(describe(error))] }))

/** `APP_ENV`: `dev` unless said. */
export const appEnv: Config.Config<AppEnv> = Config.string("APP_ENV").pipe(
  Config.mapOrFail((text) =>
    text === "dev" || text === "stage" || text === "prod"
      ? Either.right(text as AppEnv)
      : Either.left(ConfigError.InvalidData([], `must be dev, stage or prod, not ${JSON.stringify(text)}`)),
  ),
  Config.orElseIf({ if: ConfigError.isMissingDataOnly, orElse: () => Config.succeed("dev" as AppEnv) }),
)

/** A default that holds in dev only: stage and prod must say the value. */
export const devDefault = <A>(config: Config.Config<A>, value: A): Config.Config<A> =>
  Config.orElseIf(config, {
    if: ConfigError.isMissingDataOnly,
    orElse: () => Config.mapOrFail(appEnv, (env) => (env === "dev" ? Either.right(value) : noDefault)),
  })

/** A value of `key` that is checked with the environment at hand. The error's path is given in full by the checks. */
const inEnv = <A>(
  key: string,
  check: (value: string, env: AppEnv) => Either.Either<A, string>,
): Config.Config<A> =>
  Config.mapOrFail(Config.all([Config.string(key), appEnv]), ([value, env]) =>
    Either.mapLeft(check(value, env), (reason) => ConfigError.InvalidData([key], reason)),
  )

const checkSecret = (value: string, env: AppEnv): Either.Either<Redacted.Redacted<string>, string> => {
  if (env !== "dev" && value.startsWith(DEV_MARK)) return Either.left(`${env} refuses a development secret`)
  if (env !== "dev" && value.length < SECRET_MIN_LENGTH) {
    return Either.left(`${env} needs a secret of at least ${SECRET_MIN_LENGTH} characters`)
  }
  return Either.right(Redacted.make(value))
}

/**
 * A secret. Stage and prod refuse one that starts with `dev-only-`, and one shorter than 32 characters, as they refuse
 * a missing one.
 */
export const secret = (key: string): Config.Config<Redacted.Redacted<string>> => inEnv(key, checkSecret)

/** A comma-separated list of secrets, each held to the rules of `secret`; at least one. For rotation. */
export const secretList = (key: string): Config.Config<ReadonlyArray<Redacted.Redacted<string>>> =>
  inEnv(key, (value, env) => {
    const parts = value
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")
    return parts.length === 0
      ? Either.left("needs at least one secret")
      : Either.all(parts.map((part) => checkSecret(part, env)))
  })

const URL_SHAPE = /^[a-z][a-z0-9+.-]*:\/\/\S+$/i

/**
 * A URL that may carry a password (`mysql://…`, `redis://…`). Its length says nothing about its strength, so only a
 * `dev-only-` part is refused in stage and prod.
 */
export const redactedUrl = (key: string): Config.Config<Redacted.Redacted<string>> =>
  inEnv(key, (value, env) => {
    if (!URL_SHAPE.test(value)) return Either.left("must be a URL, scheme://…")
    if (env !== "dev" && value.includes(DEV_MARK)) return Either.left(`${env} refuses a development password`)
    return Either.right(Redacted.make(value))
  })

/**
 * The parsed content of a JSON file with secrets, whose path (relative ones from the root) is the value of `key`.
 * Invalid when the file can't be read or isn't JSON, and in stage and prod when its `environment` is `"dev"`. The
 * caller checks its shape; the file's text never gets into an error.
 */
export const secretJsonFile = (key: string): Config.Config<unknown> =>
  Config.mapOrFail(Config.all([Config.string(key), appEnv, Provider.root]), ([file, env, root]) => {
    const invalid = (reason: string) => Either.left(ConfigError.InvalidData([key], reason))
    const text = Provider.readBounded(path.resolve(root, file))
    if (Either.isLeft(text)) return invalid(text.left)
    const json = Either.try(() => JSON.parse(text.right) as unknown)
    // JSON.parse quotes what it stumbled over, which may be a key: the reason stays ours.
    if (Either.isLeft(json)) return invalid(`${file} isn't JSON`)
    const marked = typeof json.right === "object" && json.right !== null && "environment" in json.right
    return env !== "dev" && marked && json.right.environment === "dev"
      ? invalid(`${env} refuses ${file}, which is marked for dev`)
      : Either.right(json.right)
  })

/** `PORT_BASE`: the first port of the stack, 8080 in dev. */
export const portBase: Config.Config<number> = devDefault(
  Config.string("PORT_BASE").pipe(
    Config.mapOrFail((text) => {
      const base = Number(text)
      return /^\d+$/.test(text) && base >= 1 && base <= Ports.HIGHEST_BASE
        ? Either.right(base)
        : Either.left(ConfigError.InvalidData([], `must be a port from 1 to ${Ports.HIGHEST_BASE}`))
    }),
  ),
  Ports.DEFAULT_BASE,
)

/** The port of `name`: `<NAME>_PORT` where given (`EDGE_OPS_PORT`), else `PORT_BASE` plus its offset. */
export const port = (name: Ports.PortName): Config.Config<number> =>
  Config.string(Ports.envName(name)).pipe(
    Config.mapOrFail((text) => {
      const value = Number(text)
      return /^\d+$/.test(text) && value >= 1 && value <= 65_535
        ? Either.right(value)
        : Either.left(ConfigError.InvalidData([], "must be a port from 1 to 65535"))
    }),
    Config.orElseIf({
      if: ConfigError.isMissingDataOnly,
      orElse: () => Config.map(portBase, (base) => Ports.portOf(base, name)),
    }),
  )

const TARGET = /^(?:dns:\/{3})?(?:\[[0-9a-f:]+\]|[^\s/:,[\]]+):\d{1,5}$/i

const V4_ADDRESS = /^\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}$/
const V6_ADDRESS = /^\[[0-9a-f:]+\]:\d{1,5}$/i

/** Several instances are told by address, all of one family: a name that stands for several is `dns:///host:port`. */
const isTarget = (text: string): boolean => {
  const instances = text.split(",")
  return (
    TARGET.test(text) ||
    instances.every((each) => V4_ADDRESS.test(each)) ||
    instances.every((each) => V6_ADDRESS.test(each))
  )
}

/**
 * `<SERVICE>_URL`, the address of a service's gRPC port: `host:port`, `dns:///host:port`, or its instances as
 * `ip:port,ip:port`. In dev, this machine's.
 */
export const peer = (service: PeerName): Config.Config<string> =>
  Config.string(`${service.toUpperCase()}_URL`).pipe(
    Config.mapOrFail((text) =>
      isTarget(text)
        ? Either.right(text)
        : Either.left(
            ConfigError.InvalidData([], "must be host:port, without a scheme; several, ip:port,ip:port"),
          ),
    ),
    Config.orElseIf({
      if: ConfigError.isMissingDataOnly,
      orElse: () =>
        Config.mapOrFail(Config.all([appEnv, Config.option(port(service))]), ([env, ownPort]) =>
          env === "dev" && Option.isSome(ownPort) ? Either.right(`127.0.0.1:${ownPort.value}`) : noDefault,
        ),
    }),
  )

/** An http(s) base URL without a slash at its end; in dev, where it is not given, this port of this machine. */
export const httpUrl = (key: string, local: Ports.PortName): Config.Config<string> =>
  Config.string(key).pipe(
    Config.mapOrFail((text) =>
      /^https?:\/\/[^\s/]+$/.test(text)
        ? Either.right(text)
        : Either.left(ConfigError.InvalidData([], "must be http(s)://host[:port], without a path")),
    ),
    Config.orElseIf({
      if: ConfigError.isMissingDataOnly,
      orElse: () =>
        Config.mapOrFail(Config.all([appEnv, Config.option(port(local))]), ([env, ownPort]) =>
          env === "dev" && Option.isSome(ownPort)
            ? Either.right(`http://127.0.0.1:${ownPort.value}`)
            : noDefault,
        ),
    }),
  )

/** `BIND_HOST`: the address that gRPC and ops servers listen on; this machine only, unless said. */
export const bindHost: Config.Config<string> = Config.string("BIND_HOST").pipe(
  Config.orElseIf({ if: ConfigError.isMissingDataOnly, orElse: () => Config.succeed("127.0.0.1") }),
)

/** `FLOODGATE_ROOT`: the folder that holds `lua/` and `packages/<service>/migrations/`; the working directory unless said. */
export const root: Config.Config<string> = Provider.root

/** Installs the provider over this process's environment, `KEY_FILE` files and `ops/config/<APP_ENV>.env`. */
export const providerLayer: Layer.Layer<never> = Provider.layer
