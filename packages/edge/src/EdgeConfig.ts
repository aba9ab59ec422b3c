/** What the edge reads from its configuration. */
import * as path from "node:path"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import { mediaDir } from "@floodgate/runtime/config/MediaDir"
import * as Provider from "@floodgate/runtime/config/Provider"
import * as Sampling from "@floodgate/runtime/telemetry/Sampling"
import * as Telemetry from "@floodgate/runtime/telemetry/Telemetry"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { LOOPBACK, type TrustedProxies, trust } from "./http/ClientAddress.ts"

export interface Settings {
  readonly port: number
  /** The address to listen on. */
  readonly host: string
  /** Origins whose pages may call us. */
  readonly corsOrigins: ReadonlyArray<string>
  /** Peers whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: TrustedProxies
  /** Whether browsers are told to come by TLS only. */
  readonly hsts: boolean
  /** The share of traces recorded, 0 to 1. */
  readonly sampleShare: number
  /** How long an edge that is told to stop still takes connections (ms). */
  readonly drainNoticeMs: number
  /** The folder of the built web pages; undefined: none are served. */
  readonly webDir: string | undefined
  /** The folder of the products' pictures. */
  readonly mediaDir: string
}

const list = (key: string): Config.Config<ReadonlyArray<string>> =>
  Config.string(key).pipe(
    Config.map((text) =>
      text
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== ""),
    ),
    Config.withDefault([]),
  )

const ORIGIN = /^https?:\/\/[^/?#\s]+$/

/** `CORS_ORIGINS`: exact origins, comma separated; in dev the web packages' own, elsewhere none unless said. */
export const corsOrigins: Config.Config<ReadonlyArray<string>> = Config.all([
  AppConfig.appEnv,
  list("CORS_ORIGINS"),
]).pipe(
  Config.mapOrFail(([env, origins]) => {
    const wrong = origins.find((origin) => !ORIGIN.test(origin))
    if (wrong !== undefined) {
      return Either.left(
        ConfigError.InvalidData(["CORS_ORIGINS"], `${JSON.stringify(wrong)} is not an origin`),
      )
    }
    return Either.right(origins.length === 0 && env === "dev" ? ["http://localhost:5173"] : origins)
  }),
)

/** `TRUSTED_PROXIES`: addresses and CIDR blocks, comma separated; dev trusts loopback as well. */
export const trustedProxies: Config.Config<TrustedProxies> = Config.all([
  AppConfig.appEnv,
  list("TRUSTED_PROXIES"),
]).pipe(
  Config.mapOrFail(([env, entries]) => {
    const trusted = trust(env === "dev" ? [...LOOPBACK, ...entries] : entries)
    return trusted === undefined
      ? Either.left(ConfigError.InvalidData(["TRUSTED_PROXIES"], "must be addresses or CIDR blocks"))
      : Either.right(trusted)
  }),
)

/** `EDGE_HOST`: this machine only in dev, every interface elsewhere, unless said. */
export const host: Config.Config<string> = Config.string("EDGE_HOST").pipe(
  Config.orElseIf({
    if: ConfigError.isMissingDataOnly,
    orElse: () => Config.map(AppConfig.appEnv, (env) => (env === "dev" ? "127.0.0.1" : "0.0.0.0")),
  }),
)

const sampleShare: Config.Config<number> = Config.all([Telemetry.tracesExporter, Sampling.ratio]).pipe(
  Config.map(([exporter, ratio]) => (exporter === "none" ? 0 : ratio)),
)

const MAX_NOTICE_MS = 4_000

/**
 * `EDGE_DRAIN_NOTICE_MS`: how long an edge that is told to stop goes on taking connections, so that whoever sends them
 * learns first that it goes: by `/readyz`, which says so at once, and by `connection: close`. Longer than a balancer's
 * time between two probes; with the time that open requests get, it must fit into the 10 s of a stop.
 */
const drainNoticeMs: Config.Config<number> = Config.string("EDGE_DRAIN_NOTICE_MS").pipe(
  Config.withDefault("1500"),
  Config.mapOrFail((text) => {
    const ms = Number(text)
    return /^\d+$/.test(text) && ms <= MAX_NOTICE_MS
      ? Either.right(ms)
      : Either.left(
          ConfigError.InvalidData(["EDGE_DRAIN_NOTICE_MS"], `must be from 0 to ${MAX_NOTICE_MS} ms`),
        )
  }),
)
/** `WEB_DIR`: where the built web pages are, relative to the root. */
export const webDir: Config.Config<string | undefined> = Config.all([
  Config.withDefault(Config.string("WEB_DIR"), undefined),
  Provider.root,
]).pipe(Config.map(([folder, root]) => (folder === undefined ? undefined : path.resolve(root, folder))))

export const config: Config.Config<Settings> = Config.all({
  port: AppConfig.port("edge"),
  host,
  corsOrigins,
  trustedProxies,
  hsts: Config.map(AppConfig.appEnv, (env) => env !== "dev"),
  sampleShare,
  drainNoticeMs,
  webDir,
  mediaDir,
})

export class EdgeConfig extends Context.Tag("@floodgate/edge/EdgeConfig")<EdgeConfig, Settings>() {
  static readonly layer: Layer.Layer<EdgeConfig, AppConfig.ConfigInvalid> = Layer.effect(
    EdgeConfig,
    Effect.suspend(() => AppConfig.load(config)),
  )
}
