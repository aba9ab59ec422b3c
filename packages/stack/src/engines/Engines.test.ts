import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as mysql from "mysql2/promise"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { Child } from "../process/Child.ts"
import * as Ports from "../process/Ports.ts"
import * as MariaDb from "./MariaDb.ts"
import * as RedisServer from "./RedisServer.ts"

const ignore = (): void => {}

describe("engines", () => {
  let folder: string
  const children: Array<Child> = []
  beforeAll(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-engines-"))
  })
  afterAll(async () => {
    for (const child of children) child.kill()
    await Promise.all(children.map((child) => child.exited))
    fs.rmSync(folder, { recursive: true, force: true })
  })

  it("MariaDB keeps what was committed over a SIGKILL, and runs with the settings the services rely on", async () => {
    const port = await Ports.free()
    const child = new Child(
      await MariaDb.prepare(await MariaDb.plan(), {
        dataDir: path.join(folder, "mysql"),
        port,
        logFile: path.join(folder, "mysql.log"),
        say: ignore,
      }),
    )
    children.push(child)
    await child.start()
    expect(child.state).toBe("ready")
    const first = await mysql.createConnection(MariaDb.rootUrl(port))
    const [settings] = await first
      .query(
        "SELECT @@global.transaction_isolation AS isolation, @@global.time_zone AS zone, @@global.character_set_server AS charset",
      )
      .catch(() =>
        first.query(
          "SELECT @@global.tx_isolation AS isolation, @@global.time_zone AS zone, @@global.character_set_server AS charset",
        ),
      )
    expect(settings).toEqual([{ isolation: "READ-COMMITTED", zone: "+00:00", charset: "utf8mb4" }])
    await first.query("CREATE DATABASE kept")
    await first.query("CREATE TABLE kept.t (id INT PRIMARY KEY)")
    await first.query("INSERT INTO kept.t VALUES (7)")
    first.destroy()

    const pid = child.pid
    child.kill()
    await child.exited
    expect(child.state).toBe("exited")
    expect(child.lastExit).toBe("SIGKILL")
    await child.start()
    expect(child.pid).not.toBe(pid)
    const second = await mysql.createConnection(MariaDb.rootUrl(port))
    const [rows] = await second.query("SELECT id FROM kept.t")
    expect(rows).toEqual([{ id: 7 }])
    second.destroy()
    await child.stop()
    expect(child.state).toBe("stopped")
    expect(child.pid).toBeUndefined()
    expect(await Ports.isFree(port)).toBe(true)
  })

  it("a server that can't start fails with the end of its log", async () => {
    const spec = await RedisServer.prepare(await RedisServer.plan(), {
      name: "redis",
      dataDir: path.join(folder, "redis-broken"),
      port: await Ports.free(),
      logFile: path.join(folder, "redis-broken.log"),
      say: ignore,
      appendFsync: "everysec",
    })
    const child = new Child({ ...spec, args: [...spec.args, "--no-such-setting", "1"] })
    await expect(child.start()).rejects.toThrow(/redis ended before it was ready.*no-such-setting/s)
  })

  it("a taken port is known by the process that holds it", async () => {
    const port = await Ports.free()
    const child = new Child(
      await RedisServer.prepare(await RedisServer.plan(), {
        name: "redis",
        dataDir: path.join(folder, "redis"),
        port,
        logFile: path.join(folder, "redis.log"),
        say: ignore,
        appendFsync: "everysec",
      }),
    )
    children.push(child)
    await child.start()
    expect(await Ports.isFree(port)).toBe(false)
    expect(Ports.holder(port)?.pid).toBe(child.pid)
    await child.stop()
    expect(Ports.holder(port)).toBeUndefined()
  })

  it("the test run has engines for everyone", () => {
    expect(inject("mysqlUrl")).toMatch(/^mysql:\/\//)
    expect(fs.existsSync(inject("redisServerBinary"))).toBe(true)
    expect(inject("kafkaBrokers") === undefined).toBe(inject("kafkaMissing") !== undefined)
  })
})
