import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { StackError } from "../StackError.ts"
import * as Watchdog from "./Watchdog.ts"

/** Everything needed to start one engine or service, again and again. */
export interface LaunchSpec {
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** What the program believes it is called: one Debian binary is redis-server only under that name. */
  readonly argv0?: string
  readonly cwd?: string
  /** The whole environment of the child; default: ours. */
  readonly env?: Record<string, string | undefined>
  /** Standard output and error are appended here. */
  readonly logFile: string
  /** One attempt, bounded by itself; false or a rejection means "not yet". */
  readonly isReady: () => Promise<boolean>
  readonly readyTimeoutMs: number
  /** How long a polite stop may take before SIGKILL. */
  readonly stopTimeoutMs: number
  /** How far it yields to the others on this machine once it is ready: 0 (not at all) to 19. */
  readonly niceness?: number
  /** Name of the container when the command is a Docker client: signals go to what runs inside. */
  readonly container?: string
  /** Runs before each start, for example to clear what a killed predecessor left. */
  readonly beforeStart?: () => void
}

export type ChildState = "stopped" | "starting" | "ready" | "stopping" | "exited"

/**
 * Lets others of this machine go first. Where Linux shares the processor out by session, as desktops do, a process's own
 * number counts only among those of its session, and the session's is what matters.
 */
const yieldTo = (pid: number, niceness: number): void => {
  try {
    os.setPriority(pid, niceness)
    fs.writeFileSync(`/proc/${pid}/autogroup`, String(niceness))
  } catch {
    // It has ended, or this system has no such thing.
  }
}

/** A log larger than this is moved aside at the next start, so that a data folder stays bounded. */
const maxLogBytes = 32 * 1024 * 1024

const pollMs = 60

/** A private child process in a process group of its own: Ctrl-C at our terminal doesn't reach it, our death does. */
export class Child {
  readonly spec: LaunchSpec
  #process: ChildProcess | undefined
  #state: ChildState = "stopped"
  #exited: Promise<void> = Promise.resolve()
  #lastExit: string | undefined

  constructor(spec: LaunchSpec) {
    this.spec = spec
  }

  get state(): ChildState {
    return this.#state
  }

  /** Process id while it runs. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** How it last ended: "code 1" or "SIGKILL". */
  get lastExit(): string | undefined {
    return this.#lastExit
  }

  /** Starts it and returns once it is ready. Fails with the end of its log when it ends first or is late. */
  async start(): Promise<void> {
    if (this.#process !== undefined) return
    const { spec } = this
    fs.mkdirSync(path.dirname(spec.logFile), { recursive: true })
    rotate(spec.logFile)
    spec.beforeStart?.()
    if (spec.container !== undefined) spawnSync("docker", ["rm", "-f", spec.container], { stdio: "ignore" })
    const log = fs.openSync(spec.logFile, "a")
    let child: ChildProcess
    try {
      child = spawn(spec.command, [...spec.args], {
        detached: true,
        stdio: ["ignore", log, log],
        env: spec.env ?? process.env,
        ...(spec.argv0 === undefined ? {} : { argv0: spec.argv0 }),
        ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
      })
    } finally {
      fs.closeSync(log)
    }
    this.#process = child
    this.#state = "starting"
    this.#lastExit = undefined
    if (child.pid !== undefined) Watchdog.guard(child.pid)
    this.#exited = new Promise((resolve) => {
      const ended = (how: string) => {
        if (this.#process !== child) return
        this.#process = undefined
        this.#lastExit = how
        this.#state = this.#state === "stopping" ? "stopped" : "exited"
        if (child.pid !== undefined) Watchdog.release(child.pid)
        resolve()
      }
      child.once("error", (cause) => ended(cause.message))
      child.once("exit", (code, signal) => ended(signal ?? `code ${code}`))
    })

    const deadline = Date.now() + spec.readyTimeoutMs
    while (this.#process === child) {
      if (await spec.isReady().catch(() => false)) {
        // A stop may have come in while we asked.
        if (this.#process === child && this.#state === "starting") {
          this.#state = "ready"
          if (spec.niceness !== undefined) yieldTo(child.pid!, spec.niceness)
        }
        break
      }
      if (Date.now() > deadline) {
        this.kill()
        await this.#exited
        throw new StackError(
          `${spec.name} wasn't ready within ${Math.round(spec.readyTimeoutMs / 1000)} s.${tail(spec.logFile)}`,
        )
      }
      await Promise.race([sleep(pollMs), this.#exited])
    }
    if (this.#process !== child) {
      throw new StackError(`${spec.name} ended before it was ready (${this.#lastExit}).${tail(spec.logFile)}`)
    }
  }

  /** SIGTERM, then SIGKILL after `stopTimeoutMs`; returns when it is gone. */
  async stop(): Promise<void> {
    const child = this.#process
    if (child === undefined) {
      this.#state = "stopped"
      return
    }
    this.#state = "stopping"
    child.kill("SIGTERM")
    const done = await Promise.race([
      this.#exited.then(() => true),
      sleep(this.spec.stopTimeoutMs, false, { ref: false }),
    ])
    if (!done) {
      this.kill()
      await this.#exited
    }
    this.#state = "stopped"
  }

  /** SIGKILL to the whole group, at once. Whether it is revived is the caller's business. */
  kill(): void {
    if (this.spec.container !== undefined) {
      spawnSync("docker", ["kill", this.spec.container], { stdio: "ignore" })
    }
    const pid = this.#process?.pid
    if (pid === undefined) return
    try {
      process.kill(-pid, "SIGKILL")
    } catch {
      // Already gone.
    }
  }

  /** Returns when the process that runs now has ended. */
  get exited(): Promise<void> {
    return this.#exited
  }
}

const rotate = (file: string): void => {
  try {
    if (fs.statSync(file).size > maxLogBytes) fs.renameSync(file, `${file}.1`)
  } catch {
    // No log yet.
  }
}

/** The last lines of a log, indented, as part of an error message. */
export const tail = (file: string, lines = 15): string => {
  try {
    const size = fs.statSync(file).size
    const bytes = Math.min(size, 16_384)
    const buffer = Buffer.alloc(bytes)
    const handle = fs.openSync(file, "r")
    fs.readSync(handle, buffer, 0, bytes, size - bytes)
    fs.closeSync(handle)
    const last = buffer.toString("utf8").trimEnd().split("\n").slice(-lines)
    return ` Its log (${file}) ends:\n    ${last.join("\n    ")}`
  } catch {
    return ""
  }
}
