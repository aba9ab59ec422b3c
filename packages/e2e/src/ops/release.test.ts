/** A release, installed by hand as the deployment guide says: its pages, and how somebody comes to rule it. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import * as fs from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Ports from "@floodgate/runtime/config/Ports"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Edge, patiently } from "../support/Edge.ts"
import { poll } from "../support/Poll.ts"
import { freeBase, Stack } from "../support/Stack.ts"

const root = fileURLToPath(new URL("../../../..", import.meta.url))
const run = promisify(execFile)

const SERVICES = ["identity", "edge", "inventory", "ordering", "payment"] as const
type Service = (typeof SERVICES)[number]

const home = await mkdtemp(join(tmpdir(), "floodgate-release-"))
const release = join(home, "release")
const secrets = join(home, "secrets")
/** Engines alone, in the place of those that an installation has. */
const engines = new Stack(join(home, "engines"), await freeBase(1))

let told: ReturnType<typeof environment>
let edge: Edge
let base: number
const running: Array<ChildProcess> = []

const secretFile = (name: string): string => join(secrets, name)

/** What ops/compose.yaml tells all processes, and each one: whoever needs more doesn't start. */
const environment = (mysqlUrl: string, redisUrl: string) => {
  const mysql = new URL(mysqlUrl)
  const here = (name: string): string => {
    const url = new URL(fs.readFileSync(secretFile(`mysql-url-${name}`), "utf8").trim())
    url.host = mysql.host
    return url.href
  }
  const common = {
    PATH: process.env["PATH"] ?? "",
    APP_ENV: "prod",
    FLOODGATE_ROOT: release,
    PORT_BASE: String(base),
    BIND_HOST: "127.0.0.1",
    ...Object.fromEntries(
      SERVICES.map((name) => [`${name.toUpperCase()}_URL`, `127.0.0.1:${Ports.portOf(base, name)}`]),
    ),
    REDIS_BUS_URL: `redis://127.0.0.1:${engines.port("redisBus")}`,
    PUBLIC_URL: `http://127.0.0.1:${Ports.portOf(base, "edge")}`,
    OTEL_TRACES_EXPORTER: "none",
    AUDIT_HEAD_FILE: join(home, "heads.jsonl"),
    AUDIT_KEY_FILE: secretFile("audit-key"),
    SERVICE_CREDENTIAL_FILE: secretFile("service-credential.json"),
  }
  const sealing = { KEY_ENCRYPTION_KEY_FILE: secretFile("key-encryption-key") }
  const shards = { REDIS_URL: redisUrl, ORDER_NUM_KEY_FILE: secretFile("order-num-key") }
  const media = { MEDIA_DIR: join(home, "media") }
  const own: Readonly<Record<Service, Readonly<Record<string, string>>>> = {
    identity: {
      ...sealing,
      REFRESH_TOKEN_KEY_FILE: secretFile("refresh-token-key"),
      JWT_KEYS_FILE: secretFile("jwt-keys.json"),
    },
    inventory: { ...shards, ...media },
    ordering: shards,
    payment: { ...sealing, PAYMENT_CHANNELS: "balance" },
    edge: {
      EDGE_HOST: "127.0.0.1",
      ...media,
      REDIS_LIMITS_URL: redisUrl,
      TICKET_KEYS_FILE: secretFile("ticket-keys"),
    },
  }
  const urls = Object.fromEntries(SERVICES.map((name) => [`MYSQL_URL_${name.toUpperCase()}`, here(name)]))
  return {
    job: { ...common, ...urls, MYSQL_ADMIN_URL: mysqlUrl },
    of: (name: Service) => {
      const key = `MYSQL_URL_${name.toUpperCase()}`
      return { ...common, ...own[name], [key]: urls[key]! }
    },
  }
}

/** Runs `job.js`; its exit code and all that it said. */
const job = async (words: ReadonlyArray<string>, more: Readonly<Record<string, string>> = {}) => {
  const options = { cwd: home, env: { ...told.job, ...more }, timeout: 120_000 }
  const once = async () => {
    try {
      const { stdout } = await run(process.execPath, [join(release, "job.js"), ...words], options)
      return { code: 0, said: stdout.trim() }
    } catch (cause) {
      const { code, stderr } = cause as { readonly code: number; readonly stderr: string }
      return { code, said: stderr.trim() }
    }
  }
  // A machine that is busy with other things says so.
  return poll(words.join(" "), async () => {
    const result = await once()
    return !result.said.endsWith("try again.") && result
  })
}

/** A small machine that is busy with other things takes minutes for what takes seconds. */
const START_MS = 300_000

/** How often something that couldn't start is started again, as whatever runs containers does. */
const STARTS = 5

const start = async (name: Service): Promise<void> => {
  const ready = `http://127.0.0.1:${Ports.portOf(base, `${name}Ops`)}/readyz`
  const logFile = join(home, `${name}.log`)
  for (let attempt = 1; ; attempt++) {
    const log = fs.openSync(logFile, "w")
    const child = spawn(
      process.execPath,
      ["--enable-source-maps", "--max-semi-space-size=64", "--v8-pool-size=1", join(release, `${name}.js`)],
      {
        cwd: home,
        env: told.of(name),
        stdio: ["ignore", log, log],
      },
    )
    fs.closeSync(log)
    running.push(child)
    let why = "its ops port doesn't answer"
    const outcome = await poll(
      `${name} has started`,
      async () => {
        if (child.exitCode !== null) return "ended"
        const answer = await fetch(ready, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined)
        if (answer === undefined) return false
        why = await answer.text()
        // Its breakers may still be shut on a machine that is busy; that it has all that it needs is what counts here.
        return (
          (JSON.parse(why) as { readonly checks: { readonly started?: boolean } }).checks.started && "started"
        )
      },
      START_MS,
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${why}\n${fs.readFileSync(logFile, "utf8").slice(-3_000)}`)
    })
    if (outcome === "started") return
    if (attempt === STARTS) {
      throw new Error(
        `${name} ended with ${child.exitCode}: ${fs.readFileSync(logFile, "utf8").slice(-3_000)}`,
      )
    }
  }
}

beforeAll(async () => {
  base = await freeBase(1)
  await engines.up(["--only", "mysql,redis,bus", "--bus", "redis"])
  const launcher = join(root, "packages/stack/bin/floodgate.mjs")
  await run(process.execPath, [launcher, "build", "--out", release], { cwd: root, timeout: 400_000 })
  await run(process.execPath, [join(root, "ops/docker/secrets.mjs"), secrets])
  const status = await engines.status()
  told = environment(status["mysql"]!.url!, status["redis"]!.url!)
  for (const words of [["migrate"], ["topics"]]) {
    expect(await job(words)).toMatchObject({ code: 0 })
  }
  // One by one: a small machine starts five no faster at once.
  for (const name of SERVICES) await start(name)
  edge = new Edge(`http://127.0.0.1:${Ports.portOf(base, "edge")}`)
}, 900_000)

afterAll(async () => {
  await Promise.all(
    running.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once("exit", resolve))
      child.kill("SIGTERM")
      await ended
    }),
  )
  await engines.down()
  await rm(home, { recursive: true, force: true })
})

describe("a release", () => {
  it("keeps nothing of dev", () => {
    expect(fs.readdirSync(join(release, "ops", "config")).sort()).toEqual(["prod.env", "stage.env"])
    expect(fs.existsSync(join(release, "sandbox.js"))).toBe(false)
  })

  it.each(["/", "/console", "/docs"])("serves %s, and all that the page loads", async (path) => {
    const page = await fetch(`${edge.url}${path}`)
    expect(page.status).toBe(200)
    expect(page.headers.get("content-type")).toContain("text/html")
    const loads = [...(await page.text()).matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(
      ([, url]) => url!,
    )
    expect(loads.length).toBeGreaterThan(1)
    for (const url of loads) {
      const asset = await fetch(`${edge.url}${url}`)
      expect(asset.status, url).toBe(200)
      expect((await asset.arrayBuffer()).byteLength, url).toBeGreaterThan(0)
    }
  })
})

describe("the first administrator", () => {
  const password = "a long enough phrase 7"

  it("is a registered account that the command names, once", async () => {
    for (const username of ["founder", "latecomer"]) {
      await poll(`${username} is registered`, async () => {
        const answer = await edge.post("/register", { username, password })
        return answer.status === 201 || answer.code === 501
      })
    }
    const login = (name: string) => patiently(name, () => edge.login(name, password))
    const before = await login("founder")
    const seen = (path: string, token: string) =>
      poll(path, async () => {
        const answer = await edge.get(path, { token })
        return answer.status !== 503 && answer
      })
    expect((await seen("/admin/users", before.token)).status).toBe(403)

    const stranger = secretFile("another-credential.json")
    fs.writeFileSync(stranger, JSON.stringify({ environment: "prod", keys: ["x".repeat(40)] }))
    const unknown = await job(["admin", "founder"], { SERVICE_CREDENTIAL_FILE: stranger })
    expect(unknown).toEqual({
      code: 1,
      said: "Identity doesn't know this credential (SERVICE_CREDENTIAL_FILE).",
    })
    expect(await job(["admin", "nobody_here"])).toEqual({
      code: 1,
      said: "There is no account nobody_here: register it first, as any customer does.",
    })
    expect((await job(["admin"])).said).toContain("FIRST_ADMIN")

    expect(await job(["admin", "founder"])).toEqual({
      code: 0,
      said: "founder is an administrator, from the next sign-in on.",
    })
    // A job that was cut off runs again.
    expect(await job(["admin"], { FIRST_ADMIN: "founder" })).toMatchObject({ code: 0 })
    expect(await job(["admin", "latecomer"])).toEqual({
      code: 1,
      said: "There is an administrator already: who is one makes others, in the console under Users.",
    })

    const { token } = await login("founder")
    expect((await seen("/admin/users", token)).status).toBe(200)
    const other = await login("latecomer")
    expect((await seen("/admin/users", other.token)).status).toBe(403)
  })
})
