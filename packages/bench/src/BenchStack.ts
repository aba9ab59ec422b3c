/** A stack of the benchmark's own, through the command line that everyone uses. */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import * as Ports from "@floodgate/runtime/config/Ports"

const run = promisify(execFile)

const START_MS = 600_000

/** The share of requests whose trace is recorded while we measure. */
export const SAMPLED = 0.01

export interface BenchStack {
  readonly mysqlUrl: string
  readonly redisUrl: string
  /** Undefined where the bus is Redis Streams. */
  readonly kafka: string | undefined
  readonly orderNumKey: string
  /** The file of the keys that identity signs with. */
  readonly jwtKeysFile: string
  /** How long `up --detach` took (ms). */
  readonly startMs: number
  readonly port: (name: Ports.PortName, instance?: number) => number
  /** Process ids by component, as they are now. */
  readonly pids: () => Promise<Readonly<Record<string, number>>>
  /** Starts a component again, with these values over all others. */
  readonly restart: (name: string, env?: Readonly<Record<string, string>>) => Promise<void>
  readonly stop: (name: string) => Promise<void>
  /** What the stack's processes have sent to the collector of traces so far, in bytes. */
  readonly traced: () => number
}

/**
 * Takes every trace and forgets it: a process that looks at them would be measured with us. That they are recorded,
 * batched, encoded and sent is ours, and is.
 */
const withCollector = async <A>(work: (url: string, bytes: () => number) => Promise<A>): Promise<A> => {
  let bytes = 0
  const server = createServer((request, response) => {
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length
    })
    request.on("end", () => {
      response.writeHead(200, { "content-type": "application/x-protobuf" })
      response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, () => bytes)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/**
 * Starts a stack with two edges on ports from `portBase`: the second is the one that is measured, the first is the
 * administrators'. Traces are recorded at {@link SAMPLED}. Hands it to `work`, and wipes it whatever happens.
 *
 * With `running`, the data folder of a stack with two edges that runs already, that one is measured, and left running.
 */
export const withStack = <A>(
  options: { readonly portBase: number; readonly running: string | undefined },
  work: (stack: BenchStack) => Promise<A>,
): Promise<A> =>
  withCollector(async (collector, traced) => {
    const { running } = options
    const data = running ?? (await mkdtemp(join(tmpdir(), "floodgate-bench-")))
    const command = async (...args: ReadonlyArray<string>) =>
      (
        await run(process.execPath, ["packages/stack/bin/floodgate.mjs", ...args, "--data", data], {
          timeout: START_MS,
          env: {
            ...process.env,
            OTEL_TRACES_EXPORTER: "otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT: collector,
            OTEL_TRACES_SAMPLER_ARG: String(SAMPLED),
          },
        })
      ).stdout
    const status = async () => JSON.parse(await command("status", "--json"))
    try {
      const began = performance.now()
      if (running === undefined) {
        await command("up", "--detach", "--edges", "2", "--port-base", String(options.portBase))
      }
      const startMs = performance.now() - began
      const { edge, kafka, mysql, redis } = await status()
      const portBase = Number(new URL(edge.url).port)
      const secrets = JSON.parse(await readFile(join(data, "secrets", "strings.json"), "utf8"))
      return await work({
        mysqlUrl: mysql.url,
        redisUrl: redis.url,
        kafka: kafka?.url,
        orderNumKey: secrets.ORDER_NUM_KEY,
        jwtKeysFile: join(data, "secrets", "jwt-keys.json"),
        startMs,
        port: (name, instance = 1) => Ports.portOf(portBase, name, instance),
        pids: async () =>
          Object.fromEntries(
            Object.entries<{ pid?: number }>(await status()).flatMap(([name, { pid }]) =>
              pid === undefined ? [] : [[name, pid]],
            ),
          ),
        restart: async (name, env = {}) => {
          const words = Object.entries(env).flatMap(([key, value]) => ["--env", `${key}=${value}`])
          await command("restart", name, ...words)
        },
        stop: async (name) => {
          await command("stop", name)
        },
        traced,
      })
    } finally {
      if (running === undefined) {
        await command("down", "--wipe").catch(() => undefined)
        await rm(data, { recursive: true, force: true })
      }
    }
  })
