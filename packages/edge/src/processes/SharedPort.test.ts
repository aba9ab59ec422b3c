import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { portOf } from "@floodgate/runtime/config/Ports"
import { bundleFixture } from "@floodgate/runtime/testing/FixtureBundle"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

/** The fixture as services run: one bundle, plain node. */
const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "floodgate-shared-port-"))
const bundle = Path.join(folder, "fixture.mjs")
const holders: Array<ChildProcess> = []

beforeAll(() => {
  bundleFixture(Path.resolve(import.meta.dirname, "SharedPort.fixture.ts"), bundle)
})

afterAll(() => {
  // Those that share the port end with its holder.
  for (const holder of holders) holder.kill("SIGKILL")
  Fs.rmSync(folder, { recursive: true, force: true })
})

const LIMIT_MS = 30_000

const until = async (what: string, condition: () => Promise<boolean> | boolean): Promise<void> => {
  const deadline = Date.now() + LIMIT_MS
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`it never came: ${what}`)
    await sleep(20)
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = Net.createServer()
    server.once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

/** A base of which the ports that the fixture takes are free. */
const freeBase = async (): Promise<number> => {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 300) * 100
    const ports = [portOf(base, "edge"), portOf(base, "edgeOps"), portOf(base, "edgeWorkerOps")]
    if ((await Promise.all(ports.map(isFree))).every((free) => free)) return base
  }
}

interface Answered {
  readonly pid: number
  readonly ops: number
}

/** One request on a connection of its own; undefined where nobody answered. */
const ask = (base: number, path = "/", port: "edge" | "edgeOps" = "edge") =>
  new Promise<{ readonly status: number; readonly json: any } | undefined>((resolve) => {
    const request = Http.get(
      { host: "127.0.0.1", port: portOf(base, port), path, agent: false, timeout: LIMIT_MS },
      (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk: string) => {
          text += chunk
        })
        response.on("end", () => resolve({ status: response.statusCode ?? 0, json: JSON.parse(text) }))
        response.on("error", () => resolve(undefined))
      },
    )
    request.on("timeout", () => request.destroy())
    request.on("error", () => resolve(undefined))
  })

/** Who answers, of so many requests. */
const whoAnswers = async (base: number, times = 8): Promise<ReadonlyArray<Answered>> => {
  const answers = new Map<number, Answered>()
  for (let n = 0; n < times; n++) {
    const answer = await ask(base)
    if (answer !== undefined) answers.set(answer.json.pid, answer.json)
  }
  return [...answers.values()].sort((one, other) => one.ops - other.ops)
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const start = async (variables: Record<string, string>) => {
  const base = await freeBase()
  const child = spawn(process.execPath, [bundle], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
    env: { PORT_BASE: String(base), OTEL_TRACES_EXPORTER: "none", ...variables },
  })
  holders.push(child)
  let log = ""
  child.stdout.on("data", (chunk: Buffer) => {
    log += chunk.toString("utf8")
  })
  const exited = new Promise<number | string | null>((resolve) =>
    child.once("exit", (code, signal) => resolve(code ?? signal)),
  )
  return { base, child, exited, log: () => log }
}

const shared = async () => {
  const holder = await start({ EDGE_PROCESSES: "2" })
  await until("readiness", async () => (await ask(holder.base, "/readyz", "edgeOps"))?.status === 200)
  return holder
}

describe("processes that share a port", () => {
  it("answer in turn, each with an ops port of its own", async () => {
    const { base, child } = await shared()
    const answering = await whoAnswers(base)
    assert.deepStrictEqual(
      answering.map(({ ops }) => ops),
      [portOf(base, "edgeWorkerOps"), portOf(base, "edgeWorkerOps") + 1],
    )
    assert.notInclude(
      answering.map(({ pid }) => pid),
      child.pid,
    )
  })

  it("one that is killed is started again, and its fellow answers meanwhile", async () => {
    const { base, log } = await shared()
    const [first, second] = await whoAnswers(base)
    process.kill(first!.pid, "SIGKILL")
    await until("its end", () => log().includes("a process of the edge has ended"))
    const answer = await ask(base)
    assert.strictEqual(answer?.status, 200)
    await until("another in its place", async () => (await whoAnswers(base)).length === 2)
    const pids = (await whoAnswers(base)).map(({ pid }) => pid)
    assert.include(pids, second!.pid)
    assert.notInclude(pids, first!.pid)
  })

  it("stop with the holder of the port, after what they have in hand", async () => {
    const { base, child, exited, log } = await shared()
    const pids = (await whoAnswers(base)).map(({ pid }) => pid)
    const slow = [ask(base, "/slow"), ask(base, "/slow")]
    await until("both requests", () => log().match(/^in hand$/gm)?.length === 2)
    // As a terminal and a container's end do: all of them are told, the sharers twice.
    child.kill("SIGINT")
    await until("the holder's word", () => log().match(/the holder of the port stops/g)?.length === 2)
    for (const pid of pids) process.kill(pid, "SIGINT")
    for (const answer of await Promise.all(slow)) assert.strictEqual(answer?.status, 200)
    assert.strictEqual(await exited, 0)
    for (const pid of pids) assert.isFalse(isAlive(pid))
  })

  it("don't outlive a holder that is killed", async () => {
    const { base, child } = await shared()
    const pids = (await whoAnswers(base)).map(({ pid }) => pid)
    child.kill("SIGKILL")
    await until("their end", () => pids.every((pid) => !isAlive(pid)))
    assert.isTrue(await isFree(portOf(base, "edge")))
  })

  it("that can't start end the start, with what they said", async () => {
    const { exited, log } = await start({ EDGE_PROCESSES: "2", FIXTURE_MODE: "broken" })
    assert.strictEqual(await exited, 1)
    assert.include(log(), "the fixture is broken")
    assert.match(log(), /process [12] of the edge ended \(code 1\) before it listened/)
  })

  it("are one, without a holder, unless more are asked for", async () => {
    const { base, child } = await start({})
    await until("an answer", async () => (await ask(base)) !== undefined)
    assert.deepStrictEqual(
      (await whoAnswers(base)).map(({ pid }) => pid),
      [child.pid],
    )
  })

  it("are from 1 to 16", async () => {
    for (const EDGE_PROCESSES of ["0", "17", "two"]) {
      const { exited, log } = await start({ EDGE_PROCESSES })
      assert.strictEqual(await exited, 1)
      assert.include(log(), "EDGE_PROCESSES: must be a whole number from 1 to 16")
    }
  })
})
