import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { envName } from "@floodgate/runtime/config/Ports"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import * as Ports from "../process/Ports.ts"
import { facts, type Service } from "../Services.ts"
import * as Shape from "../Shape.ts"
import type { Event } from "./Events.ts"
import { Supervisor } from "./Supervisor.ts"

/** A service as the supervisor sees one: answers /readyz, leaves politely, and notes when it left. */
const stub = `
import * as fs from "node:fs"
import * as http from "node:http"
const [, file] = process.argv
const name = file.replace(/^.*\\/(\\w+)\\.js$/, "$1")
const port = Number(process.env[name.toUpperCase() + "_OPS_PORT"])
const sick = process.env.STUB_FOLDER + "/" + name + ".sick"
http.createServer((_, response) => {
  response.writeHead(fs.existsSync(sick) ? 503 : 200).end()
}).listen(port, "127.0.0.1")
process.on("SIGTERM", () => setTimeout(() => {
  fs.appendFileSync(process.env.STUB_FOLDER + "/left", name + "\\n")
  process.exit(0)
}, 50))
`

describe("Supervisor", () => {
  let folder: string
  let supervisor: Supervisor
  let events: Array<Event>
  let env: Record<string, string | undefined>
  const chosen: ReadonlyArray<Service> = ["edge", "sandbox", "payment"]

  const make = (entries: ReadonlyArray<Service> = chosen) => {
    const root = path.join(folder, "root")
    const build = path.join(folder, "build")
    fs.mkdirSync(build, { recursive: true })
    fs.writeFileSync(path.join(build, "package.json"), '{"type":"module"}')
    for (const name of entries) {
      const entry = path.join(root, facts[name].entry)
      fs.mkdirSync(path.dirname(entry), { recursive: true })
      fs.writeFileSync(entry, "")
      fs.writeFileSync(path.join(build, `${name}.js`), stub)
    }
    events = []
    return new Supervisor({
      root,
      dataDir: path.join(folder, "data"),
      portBase: 21_000,
      selection: { services: new Set(chosen), engines: new Set() },
      wishes: { jaeger: false, observe: false, bus: "redis" },
      shape: Shape.single,
      env,
      build: { folder: build, problem: undefined },
      report: (event) => events.push(event),
    })
  }

  beforeEach(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-supervisor-"))
    env = { ...process.env, APP_ENV: "dev", STUB_FOLDER: folder }
    for (const name of chosen) {
      env[envName(facts[name].port)] = String(await Ports.free())
      env[envName(facts[name].opsPort)] = String(await Ports.free())
    }
    supervisor = make()
  })

  afterEach(async () => {
    await supervisor.stop()
    fs.rmSync(folder, { recursive: true, force: true })
  })

  it("everything is ready when start returns, with a secret for the sandbox's callbacks", async () => {
    await supervisor.start()
    const status = await supervisor.status()
    expect(Object.keys(status)).toEqual(["edge", "payment", "sandbox"])
    for (const each of Object.values(status)) expect(each.state).toBe("ready")
    expect(status["edge"]?.url).toBe(`http://127.0.0.1:${env["EDGE_PORT"]}`)
    expect(status["edge"]?.ops_url).toBe(`http://127.0.0.1:${env["EDGE_OPS_PORT"]}`)
    expect(status["sandbox"]?.callback_secret).toMatch(/^dev-only-\w{20,}/)
    expect(status["edge"]?.callback_secret).toBeUndefined()
    expect(events.at(-1)?.type).toBe("ready")
  })

  it("a killed service stays dead until it is restarted", async () => {
    await supervisor.start()
    const before = (await supervisor.status())["payment"]?.pid
    await supervisor.killOne("payment")
    expect((await supervisor.status())["payment"]).toMatchObject({ state: "exited", last_exit: "SIGKILL" })
    expect(events.at(-1)).toMatchObject({ type: "lost", name: "payment", how: "SIGKILL" })
    await supervisor.restart("payment")
    const after = (await supervisor.status())["payment"]
    expect(after?.state).toBe("ready")
    expect(after?.pid).not.toBe(before)
  })

  it("a service that runs but can't serve is unready", async () => {
    await supervisor.start()
    fs.writeFileSync(path.join(folder, "edge.sick"), "")
    expect((await supervisor.status())["edge"]?.state).toBe("unready")
  })

  it("the edge leaves before the others", async () => {
    await supervisor.start()
    await supervisor.stop()
    expect(fs.readFileSync(path.join(folder, "left"), "utf8").split("\n")[0]).toBe("edge")
  })

  it("a taken port is told with its holder, and nothing is started", async () => {
    const server = net.createServer()
    await new Promise<void>((resolve) => server.listen(Number(env["EDGE_PORT"]), "127.0.0.1", resolve))
    try {
      await expect(supervisor.start()).rejects.toThrow(
        new RegExp(
          `^${env["EDGE_PORT"]} is held by pid ${process.pid} \\(.+\\); try \`pnpm start --port-base \\d+\`$`,
        ),
      )
      expect(await supervisor.status()).toEqual({})
    } finally {
      server.close()
    }
  })

  it("a missing entry is an error, and nothing is started", async () => {
    fs.rmSync(path.join(folder, "root"), { recursive: true })
    await expect(make(["edge", "sandbox"]).start()).rejects.toThrow(
      "payment can't be started: packages/payment/src/main.ts is missing.",
    )
  })

  it("outside dev nothing is guessed: every missing key is listed, and nothing is started", async () => {
    env["APP_ENV"] = "prod"
    const elsewhere = make()
    await expect(elsewhere.start()).rejects.toThrow(
      /TICKET_KEYS: is missing(.|\n)*ORDERING_URL: is missing(.|\n)*MYSQL_URL_PAYMENT: is missing/,
    )
    expect(await elsewhere.status()).toEqual({})
    expect(fs.existsSync(path.join(folder, "data"))).toBe(false)
  })

  it("an unknown name is told which ones there are", async () => {
    await supervisor.start()
    await expect(supervisor.restart("edgy")).rejects.toThrow('There is no "edgy" in this stack. It runs: ')
  })
})
