/**
 * Where a key's value comes from, first hit wins:
 *
 * 1. the environment variable `KEY`;
 * 2. the content of the file named by `KEY_FILE` (how orchestrators hand over secrets), the last line break cut off;
 * 3. `ops/config/<APP_ENV>.env` under `FLOODGATE_ROOT`.
 *
 * An empty value counts as absent, so that a template's `KEY=` doesn't hide a default.
 */
import { readFileSync, statSync } from "node:fs"
import * as path from "node:path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as ConfigProviderPathPatch from "effect/ConfigProviderPathPatch"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as HashSet from "effect/HashSet"
import * as Layer from "effect/Layer"
import * as EnvFile from "./EnvFile.ts"

/** The longest file that a `…_FILE` key may name, in bytes. */
export const MAX_FILE_BYTES = 1_048_576

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Reads a file of configuration or secrets, or says why it can't (without the file's content). */
export const readBounded = (file: string): Either.Either<string, string> =>
  Either.try({
    try: () => {
      if (statSync(file).size > MAX_FILE_BYTES) throw new Error(`is larger than ${MAX_FILE_BYTES} bytes`)
      return readFileSync(file, "utf8")
    },
    catch: (cause) => {
      const code = (cause as NodeJS.ErrnoException).code
      return `${file} can't be read (${code ?? (cause as Error).message})`
    },
  })

interface Source {
  readonly find: (key: string) => Either.Either<string | undefined, string>
}

const present = (value: string | undefined): string | undefined =>
  value === undefined || value.trim() === "" ? undefined : value

const source = (env: Environment): Source => {
  const appEnv = present(env["APP_ENV"]) ?? "dev"
  const root = present(env["FLOODGATE_ROOT"]) ?? process.cwd()
  const file = path.join(root, "ops", "config", `${appEnv}.env`)
  // A name with path characters can't be one of ours; `appEnv` (AppConfig) refuses it with a proper message.
  const text = /^[a-z]+$/.test(appEnv) ? Either.getOrElse(readBounded(file), () => "") : ""
  const defaults = EnvFile.parse(text)
  const broken = defaults.malformedLines.length > 0
  return {
    find: (key) => {
      const direct = present(env[key])
      if (direct !== undefined) return Either.right(direct)
      const named = present(env[`${key}_FILE`]) ?? present(defaults.values.get(`${key}_FILE`))
      if (named !== undefined) {
        return Either.mapBoth(readBounded(path.resolve(root, named)), {
          onLeft: (reason) => `${key}_FILE: ${reason}`,
          onRight: (content) => present(content.replace(/\r?\n$/, "")),
        })
      }
      return broken
        ? Either.left(`${file}: line ${defaults.malformedLines.join(", ")} isn't KEY=value, or repeats a key`)
        : Either.right(present(defaults.values.get(key)))
    },
  }
}

/** A provider over the given variables (a process's own, unless a test says otherwise). */
export const make = (env: Environment): ConfigProvider.ConfigProvider => {
  const { find } = source(env)
  return ConfigProvider.fromFlat(
    ConfigProvider.makeFlat({
      patch: ConfigProviderPathPatch.empty,
      enumerateChildren: () => Effect.succeed(HashSet.empty()),
      load: (keyPath, primitive, split) =>
        Effect.suspend(() => {
          const key = keyPath.join("_")
          const found = find(key)
          // The reason names its own file, so the path stays empty and every key behind one broken file is one issue.
          if (Either.isLeft(found)) return Effect.fail(ConfigError.InvalidData([], found.left))
          if (found.right === undefined) return Effect.fail(ConfigError.MissingData([key], "is missing"))
          const texts = split ? found.right.split(",").map((part) => part.trim()) : [found.right.trim()]
          return Effect.forEach(texts, (text) =>
            Either.mapLeft(primitive.parse(text), ConfigError.prefixed([key])),
          )
        }),
    }),
  )
}

/** Installs the provider over this process's variables. The only reader of `process.env` in a service. */
export const layer: Layer.Layer<never> = Layer.unwrapEffect(
  Effect.sync(() => Layer.setConfigProvider(make(process.env))),
)

/** Installs a provider over fixed variables: for tests. */
export const layerTest = (env: Environment): Layer.Layer<never> => Layer.setConfigProvider(make(env))

/** `FLOODGATE_ROOT`: the folder that holds `lua/`, `ops/config/` and `packages/<service>/migrations/`. */
export const root: Config.Config<string> = Config.string("FLOODGATE_ROOT").pipe(
  Config.orElseIf({ if: ConfigError.isMissingDataOnly, orElse: () => Config.sync(() => process.cwd()) }),
)
