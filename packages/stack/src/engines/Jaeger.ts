import * as fs from "node:fs"
import * as path from "node:path"
import type { LaunchSpec } from "../process/Child.ts"
import { StackError } from "../StackError.ts"
import * as Install from "./Install.ts"

/** The version that `ops/jaeger/go.mod` pins, and of the image. */
const version = "1.76.0"

const image = `jaegertracing/all-in-one:${version}`

/** The binary that this module builds, kept once per user. */
const builtBinary = (): string => Install.cacheFolder("jaeger", `jaeger-${version}`)

/**
 * Decides where a tracer comes from. Building takes about 3 minutes once, so it is done only when `wanted`;
 * `none` isn't fatal: the services then run without traces.
 */
export const plan = async (wanted: boolean): Promise<Install.Plan> => {
  const found = Install.findProgram("jaeger-all-in-one", "jaeger")
  if (found !== undefined) return { how: "binary", target: found, why: found }
  if (fs.existsSync(builtBinary()))
    return { how: "binary", target: builtBinary(), why: `${builtBinary()} (built earlier)` }
  if (await Install.dockerAnswers())
    return { how: "docker", target: image, why: `no jaeger here; Docker runs ${image}` }
  const go =
    Install.findProgram("go") ?? (fs.existsSync("/usr/local/go/bin/go") ? "/usr/local/go/bin/go" : undefined)
  if (go === undefined) return { how: "none", why: "no jaeger, no Docker, no Go to build it with: no traces" }
  if (Install.installForbidden())
    return { how: "none", why: "FLOODGATE_INSTALL=never forbids building it: no traces" }
  if (wanted) return { how: "build", target: go, why: `${go} builds Jaeger ${version} (about 3 min, once)` }
  return {
    how: "none",
    why: "no jaeger binary, no Docker: no traces (--jaeger builds one with Go, about 3 min once)",
  }
}

/** Where it listens, all on 127.0.0.1. */
export interface Ports {
  readonly otlpHttp: number
  readonly otlpGrpc: number
  readonly query: number
  readonly thriftHttp: number
  readonly admin: number
}

/** How to run it. Traces are kept in memory, the newest 20,000. */
export interface Options {
  readonly dataDir: string
  readonly ports: Ports
  readonly logFile: string
  readonly say: Install.Say
  /** The repository's root, for `ops/jaeger/go.mod`. */
  readonly root: string
}

/** More traces than this push out the oldest. */
const maxTraces = 20_000

/** Installs what is needed, and says how to start the tracer. Nothing runs afterwards. */
export const prepare = async (chosen: Install.Plan, options: Options): Promise<LaunchSpec> => {
  if (chosen.how === "none" || chosen.target === undefined) throw new StackError(chosen.why)
  const { ports } = options
  const common = {
    name: "jaeger",
    logFile: options.logFile,
    isReady: async () => {
      const response = await fetch(`http://127.0.0.1:${ports.query}/api/services`, {
        signal: AbortSignal.timeout(2000),
      })
      return response.ok
    },
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 5000,
  }
  if (chosen.how === "docker") {
    await Install.dockerPull(image, options.say)
    const container = `floodgate-jaeger-${ports.query}`
    const published = [
      [ports.otlpHttp, 4318],
      [ports.otlpGrpc, 4317],
      [ports.query, 16686],
      [ports.thriftHttp, 14268],
      [ports.admin, 14269],
    ].flatMap(([outside, inside]) => ["-p", `127.0.0.1:${outside}:${inside}`])
    return {
      ...common,
      command: "docker",
      args: ["run", "--rm", "--name", container, ...published, image, `--memory.max-traces=${maxTraces}`],
      container,
    }
  }
  const binary = chosen.how === "build" ? await build(chosen.target, options) : chosen.target
  const args = isVersion2(binary) ? ["--config", writeConfig(options)] : flags(ports)
  return { ...common, command: binary, args }
}

const flags = (ports: Ports): ReadonlyArray<string> => [
  `--collector.otlp.http.host-port=127.0.0.1:${ports.otlpHttp}`,
  `--collector.otlp.grpc.host-port=127.0.0.1:${ports.otlpGrpc}`,
  `--query.http-server.host-port=127.0.0.1:${ports.query}`,
  `--collector.http-server.host-port=127.0.0.1:${ports.thriftHttp}`,
  `--admin.http.host-port=127.0.0.1:${ports.admin}`,
  // These have no user here, so they take whatever port is free.
  "--collector.grpc-server.host-port=127.0.0.1:0",
  "--query.grpc-server.host-port=127.0.0.1:0",
  `--memory.max-traces=${maxTraces}`,
]

/** Jaeger 2, whose program is called just that, is a collector distribution: a configuration file, no flags. */
const isVersion2 = (binary: string): boolean => path.basename(binary) === "jaeger"

const writeConfig = (options: Options): string => {
  const { ports } = options
  const file = path.join(options.dataDir, "jaeger.yaml")
  fs.mkdirSync(options.dataDir, { recursive: true })
  const at = (port: number) => ({ endpoint: `127.0.0.1:${port}` })
  // JSON is YAML.
  fs.writeFileSync(
    file,
    JSON.stringify({
      service: {
        extensions: ["jaeger_storage", "jaeger_query"],
        pipelines: {
          traces: {
            receivers: ["otlp", "jaeger"],
            processors: ["batch"],
            exporters: ["jaeger_storage_exporter"],
          },
        },
        telemetry: { metrics: { level: "none" } },
      },
      extensions: {
        jaeger_storage: { backends: { memory: { memory: { max_traces: maxTraces } } } },
        jaeger_query: { storage: { traces: "memory" }, http: at(ports.query), grpc: at(0) },
      },
      receivers: {
        otlp: { protocols: { http: at(ports.otlpHttp), grpc: at(ports.otlpGrpc) } },
        jaeger: { protocols: { thrift_http: at(ports.thriftHttp) } },
      },
      processors: { batch: {} },
      exporters: { jaeger_storage_exporter: { trace_storage: "memory" } },
    }),
  )
  return file
}

const build = async (go: string, options: Options): Promise<string> => {
  const binary = builtBinary()
  if (fs.existsSync(binary)) return binary
  options.say(`building Jaeger ${version} with ${go} (about 3 min, once)`)
  fs.mkdirSync(path.dirname(binary), { recursive: true })
  const building = `${binary}.building-${process.pid}`
  try {
    await Install.runProgram(
      go,
      [
        "build",
        "-trimpath",
        "-ldflags=-s -w",
        "-o",
        building,
        "github.com/jaegertracing/jaeger/cmd/all-in-one",
      ],
      { cwd: path.join(options.root, "ops", "jaeger"), timeoutMs: 1_200_000 },
    )
    fs.renameSync(building, binary)
    return binary
  } finally {
    fs.rmSync(building, { force: true })
  }
}
