/**
 * Lua scripts by name: the text is `lua/<name>.lua` under the root, sent by its hash and reloaded by itself after
 * SCRIPT FLUSH, a restart or a failover.
 */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as AppConfig from "../config/AppConfig.ts"
import { Redis, type RedisConnection, type RunOptions } from "./Redis.ts"
import type { RedisError } from "./RedisError.ts"

export type ScriptArgument = string | number | Buffer

export interface RedisScript {
  readonly name: string
  /** How many keys it takes; all of one hash tag. */
  readonly keys: number
  /**
   * Runs it. Answers what Lua returned, with strings as UTF-8. Fails as `Redis.run`: an error raised in the script is
   * RedisScriptFailed. Another number of keys is a defect, and so is a script without a file.
   */
  readonly run: (
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<ScriptArgument>,
    options?: RunOptions,
  ) => Effect.Effect<unknown, RedisError, Redis>
  /** `run`, with strings as Buffers. */
  readonly runBuffer: RedisScript["run"]
  /** Reads the text now, so that a missing file stops the start and not the first request. */
  readonly preload: Effect.Effect<void, AppConfig.ConfigInvalid>
}

type Command = (...args: Array<ScriptArgument>) => Promise<unknown>

const make = (
  name: string,
  keys: number,
  source: Effect.Effect<string, AppConfig.ConfigInvalid>,
): RedisScript => {
  let text: string | undefined
  const defined = new WeakSet<RedisConnection>()
  // ioredis puts scripts beside its commands: the prefix keeps a script "get" from becoming GET.
  const command = `lua:${name}`

  const load = Effect.suspend(() =>
    text === undefined
      ? Effect.tap(source, (loaded) => {
          text = loaded
        })
      : Effect.succeed(text),
  )

  const call = (connection: RedisConnection, lua: string, variant: string): Command => {
    if (!defined.has(connection)) {
      // The fixed number of keys is what lets a Cluster find the slot.
      connection.defineCommand(command, { lua, numberOfKeys: keys })
      defined.add(connection)
    }
    const scripts = connection as unknown as Record<string, Command>
    return (...args) => scripts[variant]!.apply(connection, args)
  }

  const runner =
    (variant: string): RedisScript["run"] =>
    (given, args, options) =>
      given.length === keys
        ? Effect.flatMap(Redis, (redis) =>
            Effect.flatMap(Effect.orDie(load), (lua) =>
              redis.run(name, (connection) => call(connection, lua, variant)(...given, ...args), options),
            ),
          )
        : Effect.dieMessage(`script ${name} takes ${keys} keys, not ${given.length}`)

  return {
    name,
    keys,
    run: runner(command),
    runBuffer: runner(`${command}Buffer`),
    preload: Effect.asVoid(load),
  }
}

/** The script of `lua/<name>.lua`. */
export const define = (name: string, options: { readonly keys: number }): RedisScript =>
  make(
    name,
    options.keys,
    Effect.flatMap(AppConfig.load(AppConfig.root), (root) => {
      const file = path.join(root, "lua", `${name}.lua`)
      return Effect.tryPromise({
        try: () => fs.readFile(file, "utf8"),
        catch: () => new AppConfig.ConfigInvalid({ issues: [`FLOODGATE_ROOT: ${file} can't be read`] }),
      })
    }),
  )

/** A script whose text is at hand. */
export const inline = (name: string, lua: string, options: { readonly keys: number }): RedisScript =>
  make(name, options.keys, Effect.succeed(lua))
