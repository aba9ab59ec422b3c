import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as mysql from "mysql2/promise"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Deployment from "./Deployment.ts"
import * as MariaDb from "./engines/MariaDb.ts"
import { Child } from "./process/Child.ts"
import * as Ports from "./process/Ports.ts"
import { databases } from "./Services.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))

describe("a deployment's databases", () => {
  let folder: string
  let server: Child
  let port: number
  let env: Record<string, string>
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-deployment-"))
    port = await Ports.free()
    // A server of its own: the databases' names are fixed.
    server = new Child(
      await MariaDb.prepare(await MariaDb.plan(), {
        dataDir: path.join(folder, "mysql"),
        port,
        logFile: path.join(folder, "mysql.log"),
        say: () => {},
        durable: false,
      }),
    )
    await server.start()
    const urls = databases.map((name) => {
      const file = path.join(folder, `url-${name}`)
      fs.writeFileSync(file, `mysql://${name}:a-password-of-${name}@127.0.0.1:${port}/${name}\n`)
      return [`MYSQL_URL_${name.toUpperCase()}_FILE`, file]
    })
    env = { APP_ENV: "prod", MYSQL_ADMIN_URL: MariaDb.rootUrl(port), ...Object.fromEntries(urls) }
  })
  afterAll(async () => {
    server.kill()
    await server.exited
    fs.rmSync(folder, { recursive: true, force: true })
  })

  it("the administrator makes databases and users once; a service may use its tables, not change them", async () => {
    expect((await Deployment.migrate(root, env)).length).toBeGreaterThan(databases.length)
    expect(await Deployment.migrate(root, env)).toEqual([])
    const own = await mysql.createConnection(
      `mysql://ordering:a-password-of-ordering@127.0.0.1:${port}/ordering`,
    )
    await own.query("SELECT COUNT(*) FROM inventory.stock_log")
    await expect(own.query("CREATE TABLE mine (id INT)")).rejects.toThrow(/denied/)
    await expect(own.query("SELECT * FROM identity.account LIMIT 1")).rejects.toThrow(/denied/)
    own.destroy()
  })

  it("names every URL that is missing, and one whose user isn't its service", async () => {
    const { MYSQL_URL_EDGE_FILE: _, MYSQL_URL_PAYMENT_FILE: __, ...some } = env
    await expect(Deployment.migrate(root, some)).rejects.toThrow(/MYSQL_URL_PAYMENT[\s\S]*MYSQL_URL_EDGE/)
    const { MYSQL_URL_EDGE_FILE: ___, ...rest } = env
    await expect(
      Deployment.migrate(root, { ...rest, MYSQL_URL_EDGE: `mysql://root:secret@127.0.0.1:${port}/edge` }),
    ).rejects.toThrow(/MYSQL_URL_EDGE is mysql:\/\/edge:/)
  })
})
