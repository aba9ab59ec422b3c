import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { bundleFixture } from "../testing/FixtureBundle.ts"

/** The fixture as services run: one bundle, plain node. */
const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "floodgate-main-"))
const bundle = Path.join(folder, "fixture.mjs")
const children: Array<ChildProcess> = []

beforeAll(() => {
  bundleFixture(Path.resolve(import.meta.dirname, "Main.fixture.ts"), bundle)
})

afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
  Fs.rmSync(folder, { recursive: true, force: true })
})

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = Net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as Net.AddressInfo
      server.close(() => resolve(port))
    })
  })

interface Fixture {
  readonly child: ChildProcess
  readonly port: number
  readonly exited: Promise<{ readonly code: number | null; readonly ms: number }>
  readonly messages: () => ReadonlyArray<string>
  readonly records: () => ReadonlyArray<Record<string, unknown>>
}

const start = async (
  mode: string,
  variables: Record<string, string> = {},
  args: ReadonlyArray<string> = [],
): Promise<Fixture> => {
  const port = await freePort()
  const child = spawn(process.execPath, [bundle, ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      SANDBOX_OPS_PORT: String(port),
      FIXTURE_MODE: mode,
      OTEL_TRACES_EXPORTER: "none",
      ORDER_NUM_KEY: "dev-only-key",
      REDIS_URL: "redis://127.0.0.1:6379",
      ...variables,
    },
  })
  children.push(child)
  let out = ""
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString()
  })
  const startedAt = Date.now()
  const records = () =>
    out
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return {
    child,
    port,
    records,
    messages: () => records().map((record) => String(record["msg"])),
    // "close" comes after the last of its output.
    exited: new Promise((resolve) => {
      child.once("close", (code) => resolve({ code, ms: Date.now() - startedAt }))
    }),
  }
}

const readyz = async (port: number): Promise<{ readonly status: number; readonly body: string }> => {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`)
    return { status: response.status, body: await response.text() }
  } catch {
    return { status: 0, body: "" }
  }
}

const until = async (what: string, condition: () => Promise<boolean> | boolean): Promise<void> => {
  const giveUpAt = Date.now() + 20_000
  while (!(await condition())) {
    if (Date.now() > giveUpAt) throw new Error(`waited too long for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const untilReady = (fixture: Fixture) =>
  until("ready", async () => (await readyz(fixture.port)).status === 200)

describe("Main.run", () => {
  it("lets work in hand finish at SIGTERM, says it drains meanwhile, and exits 0", async () => {
    const fixture = await start("working")
    await untilReady(fixture)
    // What a layer asks for without naming it among its needs is there.
    assert.include(JSON.parse((await readyz(fixture.port)).body).breakers.mysql, { state: "closed" })
    fixture.child.kill("SIGTERM")
    await until("draining", async () => (await readyz(fixture.port)).status === 503)
    assert.strictEqual((await fixture.exited).code, 0)
    assert.deepStrictEqual(fixture.messages(), [
      "engine opened",
      "ready",
      "draining",
      "work finished",
      "engine closed",
      "stopped",
    ])
    for (const record of fixture.records()) assert.include(record, { service: "fixture", level: "info" })
  })

  it("exits 1 when stopping takes longer than its bound", async () => {
    const fixture = await start("hanging")
    await untilReady(fixture)
    const signalledAt = Date.now()
    fixture.child.kill("SIGINT")
    assert.strictEqual((await fixture.exited).code, 1)
    assert.isAtLeast(Date.now() - signalledAt, 1_400)
    assert.include(fixture.messages(), "stopping took longer than 1500 ms")
  })

  it("exits at once at a second signal", async () => {
    const fixture = await start("hanging")
    await untilReady(fixture)
    fixture.child.kill("SIGTERM")
    await until("draining", async () => (await readyz(fixture.port)).status === 503)
    const signalledAt = Date.now()
    fixture.child.kill("SIGTERM")
    assert.strictEqual((await fixture.exited).code, 1)
    assert.isBelow(Date.now() - signalledAt, 1_000)
  })

  it("exits 1 when its layer fails and can't undo what it began", async () => {
    const fixture = await start("stuck", {}, ["--short-start"])
    assert.strictEqual((await fixture.exited).code, 1)
    assert.deepStrictEqual(fixture.messages(), ["starting took longer than 1500 ms"])
  })

  it("logs why its layer failed, and exits 1", async () => {
    const fixture = await start("on fire")
    assert.strictEqual((await fixture.exited).code, 1)
    const [record, ...rest] = fixture.records()
    assert.lengthOf(rest, 0)
    assert.include(record, { level: "fatal", msg: "the service failed" })
    assert.include(String(record?.["error"]), "the engine is on fire")
  })

  it("says which keys are missing or refused, all of them, and exits 1", async () => {
    const fixture = await start("working", {
      APP_ENV: "prod",
      REDIS_URL: "",
      PORT_BASE: "1",
      LOG_LEVEL: "error",
    })
    assert.strictEqual((await fixture.exited).code, 1)
    assert.lengthOf(fixture.records(), 1)
    assert.deepStrictEqual(fixture.records()[0]?.["issues"], [
      "ORDER_NUM_KEY: prod refuses a development secret",
      "REDIS_URL: is missing",
    ])
    assert.strictEqual(fixture.records()[0]?.["level"], "fatal")
  })

  it("says so when telemetry itself is misconfigured", async () => {
    const fixture = await start("working", { LOG_LEVEL: "loud" })
    assert.strictEqual((await fixture.exited).code, 1)
    assert.include(String(fixture.records()[0]?.["issues"]), "LOG_LEVEL: must be one of")
  })

  it("logs an exception that nobody caught, and exits 1", async () => {
    const fixture = await start("throwing")
    assert.strictEqual((await fixture.exited).code, 1)
    const last = fixture.records().find((record) => record["level"] === "fatal")
    assert.strictEqual(last?.["msg"], "uncaught exception")
    assert.include(String(last?.["error"]), "thrown from a timer")
  })
})
