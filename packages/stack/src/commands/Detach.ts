/** `stack up --detach`: hands the stack to a daemon and returns when everything is ready. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { tail } from "../process/Child.ts"
import { StackError } from "../StackError.ts"
import * as Control from "../supervisor/Control.ts"
import { line } from "../supervisor/Events.ts"
import { print, type Setting } from "./Setting.ts"

/** Longest time for the daemon to open its door; it bundles first. */
const doorMs = 60_000

/** Starts the daemon with the same arguments, or joins one that is starting, and waits. Returns the exit code. */
export const detach = async (setting: Setting, argv: ReadonlyArray<string>): Promise<number> => {
  const { dataDir, root } = setting
  if (await Control.isAlive(dataDir)) {
    const { portBase } = Control.presence(dataDir) ?? setting
    if (portBase !== setting.portBase) {
      throw new StackError(
        `A stack already runs in ${dataDir}, on port base ${portBase}. "pnpm stack down" stops it; --data names another folder.`,
      )
    }
    print(`A stack already runs in ${dataDir}.`)
    return follow(dataDir)
  }
  const logFile = path.join(dataDir, "logs", "supervisor.log")
  fs.mkdirSync(path.dirname(logFile), { recursive: true })
  const log = fs.openSync(logFile, "a")
  const daemon = spawn(
    process.execPath,
    [path.join(root, "packages", "stack", "bin", "floodgate.mjs"), "supervise", ...argv],
    { cwd: root, detached: true, stdio: ["ignore", log, log], env: setting.env },
  )
  fs.closeSync(log)
  let ended = false
  daemon.once("error", () => {
    ended = true
  })
  daemon.once("exit", () => {
    ended = true
  })
  const deadline = Date.now() + doorMs
  while (Control.presence(dataDir)?.pid !== daemon.pid) {
    if (ended || Date.now() > deadline) throw new StackError(`The supervisor didn't come up.${tail(logFile)}`)
    await sleep(50)
  }
  daemon.unref()
  process.once("SIGINT", () => {
    void Control.ask(dataDir, "POST", "/down").finally(() => process.exit(130))
  })
  return follow(dataDir)
}

/** A supervisor that doesn't answer for this long is given up: it is frozen, not busy. */
const silentMs = 30_000

/** Rejects once the supervisor of this folder has been silent for too long. */
const watchSilence = async (dataDir: string, over: AbortSignal): Promise<never> => {
  for (let heardMs = Date.now(); ; ) {
    await sleep(2000, undefined, { signal: over })
    if (await Control.isAlive(dataDir)) heardMs = Date.now()
    else if (Date.now() - heardMs > silentMs) {
      throw new StackError(`The supervisor is silent.${tail(path.join(dataDir, "logs", "supervisor.log"))}`)
    }
  }
}

const hear = async (dataDir: string): Promise<number> => {
  try {
    for await (const event of Control.events(dataDir)) {
      if (event.type === "ready") {
        print(`Ready. "pnpm stack status" shows what runs where, "pnpm stack down" stops it.`)
        return 0
      }
      if (event.type === "failed") throw new StackError(event.message)
      const text = line(event)
      if (text !== undefined) print(text)
    }
  } catch (cause) {
    // It closed its door before we had heard its last word; the log has it.
    if ((cause as NodeJS.ErrnoException).code !== "ECONNRESET") throw cause
  }
  throw new StackError(`The supervisor ended.${tail(path.join(dataDir, "logs", "supervisor.log"))}`)
}

/** Prints what the supervisor tells until everything is ready. */
const follow = async (dataDir: string): Promise<number> => {
  const over = new AbortController()
  try {
    return await Promise.race([hear(dataDir), watchSilence(dataDir, over.signal)])
  } finally {
    over.abort()
  }
}
