/** A stack of the tests, driven through the same command line that people use. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Ports from "@floodgate/runtime/config/Ports"
import { isFree } from "@floodgate/stack/process/Ports"
import * as Control from "@floodgate/stack/supervisor/Control"
import type { Status } from "@floodgate/stack/supervisor/Status"

const run = promisify(execFile)

const root = fileURLToPath(new URL("../../../..", import.meta.url))

/** A cold start may install engines and build Jaeger once. */
const START_MS = 900_000

/** One process may take a minute to be ready again, and a few seconds to go before that. */
const CONTROL_MS = 120_000

/** What the black-box tests run on. */
const USUAL: ReadonlyArray<string> = ["--edges", "2", "--jaeger"]

/**
 * A base whose ports are free, for so many instances of everything. Below the range from which systems take the ports
 * of outgoing connections: above it, a port of ours may become one of those at any moment.
 */
export const freeBase = async (instances: number): Promise<number> => {
  for (;;) {
    const base = 12_000 + Math.floor(Math.random() * 90) * 200
    const names = Object.keys(Ports.offsets) as Array<Ports.PortName>
    const ports = Array.from({ length: instances }, (_, i) =>
      names.map((name) => Ports.portOf(base, name, i + 1)),
    ).flat()
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return base
  }
}

export class Stack {
  readonly data: string
  readonly portBase: number
  /** Variables of the command line, and so of everything that the stack starts. */
  readonly env: Readonly<Record<string, string>>

  constructor(data: string, portBase: number, env: Readonly<Record<string, string>> = {}) {
    this.data = data
    this.portBase = portBase
    this.env = env
  }

  /** The first edge's base URL. */
  get url(): string {
    return this.urlOf(1)
  }

  /** The base URL of an edge, counted from 1: a stack of the tests has two. */
  urlOf(edge: number): string {
    return `http://127.0.0.1:${this.port("edge", edge)}`
  }

  port(name: Ports.PortName, instance = 1): number {
    return Ports.portOf(this.portBase, name, instance)
  }

  /** Runs `pnpm stack <args>` for this stack; answers what it printed. Fails when it exits with another code than 0. */
  async command(args: ReadonlyArray<string>, timeout = 120_000): Promise<string> {
    const { stdout } = await run(
      process.execPath,
      [join(root, "packages/stack/bin/floodgate.mjs"), ...args, "--data", this.data],
      { cwd: root, timeout, maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...this.env } },
    )
    return stdout
  }

  up(shape: ReadonlyArray<string> = USUAL): Promise<string> {
    return this.command(["up", "--detach", "--port-base", String(this.portBase), ...shape], START_MS)
  }

  down(): Promise<string> {
    return this.command(["down", "--wipe"])
  }

  async #tell(name: string, what: "stop" | "kill" | "restart", body?: Control.Restart): Promise<void> {
    await Control.ask(this.data, "POST", `/components/${name}/${what}`, {
      timeoutMs: CONTROL_MS,
      ...(body === undefined ? {} : { body }),
    })
  }

  /** Stops a component in an orderly way. */
  stop(name: string): Promise<void> {
    return this.#tell(name, "stop")
  }

  /** SIGKILL. */
  kill(name: string): Promise<void> {
    return this.#tell(name, "kill")
  }

  /** Starts it again, for this life with these values over all others, and returns when it is ready. */
  restart(name: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    return this.#tell(name, "restart", { env })
  }

  async status(): Promise<Status> {
    return (await Control.ask(this.data, "GET", "/status", { timeoutMs: CONTROL_MS })) as Status
  }
}
