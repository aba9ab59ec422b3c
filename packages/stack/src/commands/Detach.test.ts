import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { isRunning } from "../process/Alive.ts"
import * as Ports from "../process/Ports.ts"
import type { Status } from "../supervisor/Status.ts"

const launcher = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../bin/floodgate.mjs")

describe("pnpm stack", () => {
  let folder: string
  let redisPort: number

  beforeEach(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-detach-"))
    redisPort = await Ports.free()
  })
  afterEach(async () => {
    await floodgate("down", "--wipe")
    fs.rmSync(folder, { recursive: true, force: true })
  })

  /** Runs the command line as a shell would; `open` is a descriptor that the caller leaves open. */
  const floodgate = (...args: ReadonlyArray<string>) =>
    new Promise<{ code: number | null; out: string; err: string; closed: boolean }>((resolve, reject) => {
      const child = spawn(process.execPath, [launcher, ...args, "--data", path.join(folder, "data")], {
        stdio: ["ignore", "pipe", "pipe", "pipe"],
        env: { ...process.env, REDIS_PORT: String(redisPort), FLOODGATE_INSTALL: "never" },
      })
      let out = ""
      let err = ""
      let closed = false
      child.stdout?.on("data", (chunk) => {
        out += chunk
      })
      child.stderr?.on("data", (chunk) => {
        err += chunk
      })
      // "close" comes only when nobody holds any of the three pipes any more.
      child.once("close", (code) => {
        closed = true
        resolve({ code, out, err, closed })
      })
      child.once("exit", (code) => setTimeout(() => resolve({ code, out, err, closed }), 5000).unref())
      child.once("error", reject)
    })

  const status = async (): Promise<Status> => JSON.parse((await floodgate("status", "--json")).out) as Status

  it("up --detach returns when all is ready and holds none of the caller's descriptors; down ends it", async () => {
    const up = await floodgate("up", "--detach", "--only", "redis")
    expect(up.err).toBe("")
    expect(up.code).toBe(0)
    expect(up.closed).toBe(true)
    const { redis } = await status()
    expect(redis).toMatchObject({ state: "ready", url: `redis://127.0.0.1:${redisPort}` })
    const supervisor = JSON.parse(fs.readFileSync(path.join(folder, "data", "supervisor.json"), "utf8")).pid
    expect(isRunning(supervisor)).toBe(true)

    const down = await floodgate("down")
    expect(down.code).toBe(0)
    expect(isRunning(redis?.pid ?? 0)).toBe(false)
    expect(isRunning(supervisor)).toBe(false)
    expect((await floodgate("status", "--json")).out.trim()).toBe("{}")
  })

  it("what a killed supervisor leaves behind dies with it", async () => {
    await floodgate("up", "--detach", "--only", "redis")
    const { redis } = await status()
    const supervisor = JSON.parse(fs.readFileSync(path.join(folder, "data", "supervisor.json"), "utf8")).pid
    process.kill(supervisor, "SIGKILL")
    await vi.waitFor(() => expect(isRunning(redis?.pid ?? 0)).toBe(false), { timeout: 10_000, interval: 50 })
    expect((await floodgate("up", "--detach", "--only", "redis")).code).toBe(0)
  })

  it("a stack that can't come up says why, and exits with 1", async () => {
    const first = await floodgate("up", "--detach", "--only", "redis")
    expect(first.code).toBe(0)
    const pid = (await status())["redis"]?.pid
    const second = await floodgate("up", "--only", "redis")
    expect(second.code).toBe(1)
    expect(second.err).toContain("A stack already runs in")
    expect((await status())["redis"]?.pid).toBe(pid)
  })
})
