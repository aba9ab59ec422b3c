/** Commands about what a stack keeps: migrations, demo data, and wiping it all. */
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Databases from "../Databases.ts"
import * as Deployment from "../Deployment.ts"
import { given } from "../Engines.ts"
import { isRunning } from "../process/Alive.ts"
import * as Secrets from "../Secrets.ts"
import { databases } from "../Services.ts"
import { StackError } from "../StackError.ts"
import * as Control from "../supervisor/Control.ts"
import type { Status } from "../supervisor/Status.ts"
import { print, type Setting } from "./Setting.ts"

const statusOf = async (dataDir: string): Promise<Status> =>
  (await Control.ask(dataDir, "GET", "/status")) as Status

/**
 * `stack migrate`: on the databases that the environment names (all of MYSQL_URL_<SERVICE>), else, in dev, on those of
 * the running stack.
 */
export const migrate = async (setting: Setting): Promise<number> => {
  const { env, root, dataDir } = setting
  const isDev = (given(env, "APP_ENV") ?? "dev") === "dev"
  const namesAny = databases.some((name) => {
    const key = `MYSQL_URL_${name.toUpperCase()}`
    return given(env, key) !== undefined || given(env, `${key}_FILE`) !== undefined
  })
  let ran: ReadonlyArray<string>
  if (!isDev || namesAny) ran = await Deployment.migrate(root, env)
  else {
    const { mysql } = await statusOf(dataDir)
    if (mysql?.url === undefined) throw new StackError(`The stack in ${dataDir} runs no MySQL.`)
    const admin = mysql.url
    await Databases.createDatabases(admin, Secrets.load(dataDir).mysqlPasswords)
    const own = Object.fromEntries(databases.map((name) => [name, Databases.withDatabase(admin, name)]))
    ran = await Databases.migrate(root, own)
    await Databases.grant(admin, new Set(databases))
  }
  print(Deployment.told(ran))
  return 0
}

/** `stack seed`: demo accounts, products and experiments of the running stack; what exists is left alone. */
export const seed = async (setting: Setting): Promise<number> => {
  if ((given(setting.env, "APP_ENV") ?? "dev") !== "dev") throw new StackError("Demo data is for dev only.")
  const { edge, identity } = await statusOf(setting.dataDir)
  if (edge?.url === undefined || identity?.url === undefined) {
    throw new StackError("Demo data needs a running stack with edge, identity and inventory.")
  }
  const Seed = await import("../Seed.ts")
  const target = {
    edge: edge.url,
    identity: identity.url.replace(/^grpc:\/\//, ""),
    serviceKey: Secrets.serviceKey(Secrets.load(setting.dataDir)),
  }
  const created = await Seed.accounts(target)
  const published = await Seed.products(target)
  const started = await Seed.experiments(target)
  print(`${created} new accounts, ${published} new products, ${started} new experiments.`)
  return 0
}

/** What a stack puts into its data folder. Nothing else in there is ours to remove. */
const ownEntries = ["engines", "secrets", "logs", "audit", "sandbox", "accounts-seeded", "rush-buyers.json"]

/** Longest time of an orderly stop: services drain 10 s, engines close their files. */
const downMs = 90_000

/** `stack down [--wipe]`: stops the stack of this folder, and with `wipe` removes everything it kept. */
export const down = async (dataDir: string, wipe: boolean): Promise<number> => {
  const running = Control.presence(dataDir)
  if (running !== undefined && (await Control.isAlive(dataDir))) {
    await Control.ask(dataDir, "POST", "/down")
    const deadline = Date.now() + downMs
    while (isRunning(running.pid)) {
      if (Date.now() > deadline)
        throw new StackError(`The supervisor (pid ${running.pid}) still hasn't stopped.`)
      await sleep(50)
    }
    print("Stopped.")
  } else print(`No stack runs in ${dataDir}.`)
  if (wipe) {
    for (const name of [...ownEntries, "supervisor.json", "control.sock"]) {
      fs.rmSync(path.join(dataDir, name), { recursive: true, force: true })
    }
    if (fs.existsSync(dataDir) && fs.readdirSync(dataDir).length === 0) fs.rmdirSync(dataDir)
    print(`Wiped ${dataDir}.`)
  }
  return 0
}
