/** A stack of the benchmark's own, through the command line that everyone uses. */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

const START_MS = 600_000

export interface BenchStack {
  readonly portBase: number
  readonly mysqlUrl: string
  readonly redisUrl: string
  /** Undefined where the bus is Redis Streams. */
  readonly kafka: string | undefined
  readonly orderNumKey: string
}

/** Starts a stack without tracing on ports from `portBase`, hands it to `work`, and wipes it whatever happens. */
export const withStack = async <A>(portBase: number, work: (stack: BenchStack) => Promise<A>): Promise<A> => {
  const data = await mkdtemp(join(tmpdir(), "floodgate-bench-"))
  const command = async (...args: ReadonlyArray<string>) =>
    (
      await run(process.execPath, ["packages/stack/bin/floodgate.mjs", ...args, "--data", data], {
        timeout: START_MS,
        env: { ...process.env, OTEL_TRACES_EXPORTER: "none" },
      })
    ).stdout
  try {
    await command("up", "--detach", "--port-base", String(portBase))
    const status = JSON.parse(await command("status", "--json"))
    const secrets = JSON.parse(await readFile(join(data, "secrets", "strings.json"), "utf8"))
    return await work({
      portBase,
      mysqlUrl: status.mysql.url,
      redisUrl: status.redis.url,
      kafka: status.kafka?.url,
      orderNumKey: secrets.ORDER_NUM_KEY,
    })
  } finally {
    await command("down", "--wipe").catch(() => undefined)
    await rm(data, { recursive: true, force: true })
  }
}
