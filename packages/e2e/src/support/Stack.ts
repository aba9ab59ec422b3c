/** A stack of the tests, driven through the same command line that people use. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Ports from "@floodgate/runtime/config/Ports"
import type { Component } from "@floodgate/stack/Services"
import type { Status } from "@floodgate/stack/supervisor/Status"

const run = promisify(execFile)

const root = fileURLToPath(new URL("../../../..", import.meta.url))

/** A cold start may install engines and build Jaeger once. */
const START_MS = 900_000

export class Stack {
  readonly data: string
  readonly portBase: number

  constructor(data: string, portBase: number) {
    this.data = data
    this.portBase = portBase
  }

  /** The first edge's base URL. */
  get url(): string {
    return this.urlOf(1)
  }

  /** The base URL of an edge, counted from 1: a stack of the tests has two. */
  urlOf(edge: number): string {
    return `http://127.0.0.1:${Ports.portOf(this.portBase, "edge", edge)}`
  }

  /** Runs `pnpm stack <args>` for this stack; answers what it printed. Fails when it exits with another code than 0. */
  async command(args: ReadonlyArray<string>, timeout = 120_000): Promise<string> {
    const { stdout } = await run(
      process.execPath,
      [join(root, "packages/stack/bin/floodgate.mjs"), ...args, "--data", this.data],
      { cwd: root, timeout, maxBuffer: 64 * 1024 * 1024 },
    )
    return stdout
  }

  up(): Promise<string> {
    return this.command(
      ["up", "--detach", "--port-base", String(this.portBase), "--edges", "2", "--jaeger"],
      START_MS,
    )
  }

  down(): Promise<string> {
    return this.command(["down", "--wipe"])
  }

  /** Stops a component in an orderly way. */
  stop(name: Component): Promise<string> {
    return this.command(["stop", name])
  }

  /** SIGKILL. */
  kill(name: Component): Promise<string> {
    return this.command(["kill", name])
  }

  /** Starts it again, and returns when it is ready. */
  restart(name: Component): Promise<string> {
    return this.command(["restart", name])
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.command(["status", "--json"])) as Status
  }
}
