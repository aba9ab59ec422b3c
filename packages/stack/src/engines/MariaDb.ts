import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as mysql from "mysql2/promise"
import type { LaunchSpec } from "../process/Child.ts"
import { BEHIND_THE_QUEUE } from "../Services.ts"
import { StackError } from "../StackError.ts"
import * as Install from "./Install.ts"

/** The image used where only Docker is at hand. */
const image = "mariadb:10.11"

const aptPackage = "mariadb-server-core"

type Flavour = "mariadb" | "mysql"

/** Decides where a MySQL server comes from: a binary here, a Debian package, Docker, or nowhere. */
export const plan = async (): Promise<Install.Plan> => {
  const found = Install.findProgram("mariadbd", "mysqld")
  if (found !== undefined) return { how: "binary", target: found, why: `${found} (${versionOf(found)})` }
  if (Install.canApt() && !Install.installForbidden()) {
    return { how: "apt", why: `no mariadbd or mysqld here; apt-get install ${aptPackage}` }
  }
  if (await Install.dockerAnswers())
    return { how: "docker", target: image, why: `no mariadbd or mysqld here; Docker runs ${image}` }
  return { how: "none", why: `no MySQL server here: ${Install.installHint("mariadb")}` }
}

/** How to run the server. */
export interface Options {
  /** Folder for data; made and initialised when it doesn't exist. */
  readonly dataDir: string
  readonly port: number
  readonly logFile: string
  readonly say: Install.Say
  /** False: a commit may be lost with the machine (not with the process). For tests. Default true. */
  readonly durable?: boolean
}

/** The administrator's address of a server started by this module. */
export const rootUrl = (port: number): string => `mysql://root@127.0.0.1:${port}`

/** Installs and initialises what is needed, and says how to start the server. Nothing runs afterwards. */
export const prepare = async (chosen: Install.Plan, options: Options): Promise<LaunchSpec> => {
  if (chosen.how === "none") throw new StackError(chosen.why)
  const settings = [
    "--transaction-isolation=READ-COMMITTED",
    "--default-time-zone=+00:00",
    "--character-set-server=utf8mb4",
    `--innodb-flush-log-at-trx-commit=${options.durable === false ? 2 : 1}`,
    "--innodb-buffer-pool-size=256M",
    "--max-connections=400",
  ]
  const common = {
    name: "mysql",
    logFile: options.logFile,
    isReady: () => answers(options.port),
    readyTimeoutMs: 60_000,
    niceness: BEHIND_THE_QUEUE,
    stopTimeoutMs: 20_000,
  }
  if (chosen.how === "docker") {
    await Install.dockerPull(image, options.say)
    fs.mkdirSync(options.dataDir, { recursive: true })
    const container = `floodgate-mysql-${options.port}`
    return {
      ...common,
      command: "docker",
      args: [
        ...["run", "--rm", "--name", container, ...Install.dockerUser()],
        ...["-p", `127.0.0.1:${options.port}:3306`, "-v", `${options.dataDir}:/var/lib/mysql`],
        ...["-e", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1", "-e", "MARIADB_ROOT_HOST=%"],
        image,
        ...settings,
      ],
      container,
    }
  }
  if (chosen.how === "apt") await Install.aptInstall([aptPackage], options.say)
  const binary = chosen.how === "apt" ? Install.findProgram("mariadbd", "mysqld") : chosen.target
  if (binary === undefined) throw new StackError(`${aptPackage} is installed, but there is no mariadbd.`)

  const flavour = flavourOf(binary)
  await initialise(binary, flavour, options)
  return {
    ...common,
    command: binary,
    args: [
      "--no-defaults",
      ...asRoot(),
      `--datadir=${options.dataDir}`,
      `--port=${options.port}`,
      "--bind-address=127.0.0.1",
      `--socket=${socketPath(options)}`,
      `--pid-file=${path.join(options.dataDir, "server.pid")}`,
      ...(flavour === "mysql" ? ["--mysqlx=OFF", "--disable-log-bin"] : []),
      ...settings,
    ],
  }
}

/** A socket's path is limited to about 100 characters; a data folder's isn't. */
const socketPath = (options: Options): string => {
  const inside = path.join(options.dataDir, "server.sock")
  return inside.length < 96 ? inside : path.join(os.tmpdir(), `floodgate-mysql-${options.port}.sock`)
}

const versionOf = (binary: string): string =>
  (Install.output(binary, ["--no-defaults", "--version"]) ?? "unknown version")
    .replace(/^.*?Ver\s+/s, "")
    .split(/\s/)[0] ?? "unknown version"

const flavourOf = (binary: string): Flavour =>
  (Install.output(binary, ["--no-defaults", "--version"]) ?? "").includes("MariaDB") ? "mariadb" : "mysql"

const asRoot = (): ReadonlyArray<string> => (process.getuid?.() === 0 ? ["--user=root"] : [])

const answers = async (port: number): Promise<boolean> => {
  const connection = await mysql.createConnection({
    host: "127.0.0.1",
    port,
    user: "root",
    connectTimeout: 2000,
  })
  // A later reset of this connection (the server is killed) must not surface as an unhandled event.
  connection.on("error", () => {})
  try {
    await connection.query("SELECT 1")
    return true
  } finally {
    connection.destroy()
  }
}

/** Written last into a data folder, so that a half-initialised one is recognised and made again. */
const marker = "floodgate-engine.json"

const initialise = async (binary: string, flavour: Flavour, options: Options): Promise<void> => {
  const markerFile = path.join(options.dataDir, marker)
  if (fs.existsSync(markerFile)) {
    const made = JSON.parse(fs.readFileSync(markerFile, "utf8")) as { flavour: Flavour; version: string }
    if (made.flavour === flavour) return
    throw new StackError(
      `${options.dataDir} holds the data of ${made.flavour} ${made.version}, but ${binary} is ${flavour}: use the former, or wipe with "pnpm stack down --wipe".`,
    )
  }
  fs.rmSync(options.dataDir, { recursive: true, force: true })
  const template = await templateFolder(binary, flavour, options.say)
  fs.mkdirSync(path.dirname(options.dataDir), { recursive: true })
  await fs.promises.cp(template, options.dataDir, { recursive: true, mode: fs.constants.COPYFILE_FICLONE })
  // Each MySQL server has an identity of its own, which it makes when this file is missing.
  fs.rmSync(path.join(options.dataDir, "auto.cnf"), { force: true })
  fs.writeFileSync(markerFile, JSON.stringify({ flavour, version: versionOf(binary) }))
}

/** An initialised data folder per server version, kept in the user's cache: a copy is ten times faster than anew. */
const templateFolder = async (binary: string, flavour: Flavour, say: Install.Say): Promise<string> => {
  const identity = createHash("sha256")
    .update(`${Install.output(binary, ["--no-defaults", "--version"])}\n${bootstrapSettings.join(" ")}`)
    .digest("hex")
    .slice(0, 12)
  const template = Install.cacheFolder(`${flavour}-template`, `${versionOf(binary)}-${identity}`)
  if (fs.existsSync(template)) return template
  say(`initialising a ${flavour} data folder (once)`)
  fs.mkdirSync(path.dirname(template), { recursive: true })
  const building = fs.mkdtempSync(path.join(path.dirname(template), "building-"))
  try {
    const base = ["--no-defaults", ...asRoot(), `--datadir=${building}`, ...bootstrapSettings]
    if (flavour === "mysql") {
      await Install.runProgram(binary, [...base, "--initialize-insecure"], { timeoutMs: 180_000 })
    } else {
      await Install.runProgram(
        binary,
        [...base, "--bootstrap", "--max_allowed_packet=8M", "--net_buffer_length=16K"],
        { timeoutMs: 180_000, input: bootstrapSql(binary) },
      )
    }
    try {
      fs.renameSync(building, template)
    } catch (cause) {
      // Another process on this machine has made it meanwhile.
      if (!fs.existsSync(template)) throw cause
    }
    return template
  } finally {
    fs.rmSync(building, { recursive: true, force: true })
  }
}

/** A redo log of 48 MB instead of 96: half as much to copy. */
const bootstrapSettings = ["--innodb-log-file-size=48M"]

/** Debian's mariadb-server-core lacks what mariadb-install-db calls, so its SQL is fed to the server directly. */
const bootstrapSql = (binary: string): Buffer => {
  const prefix = path.dirname(path.dirname(fs.realpathSync(binary)))
  const folders = [
    path.join(prefix, "share", "mysql"),
    path.join(prefix, "share", "mariadb"),
    path.join(prefix, "share"),
    "/usr/share/mysql",
    "/usr/share/mariadb",
  ]
  const needed = [
    "system_tables.sql",
    "performance_tables.sql",
    "system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "sys_schema.sql",
  ]
  for (const folder of folders) {
    // MariaDB 11 renamed the scripts from mysql_* to mariadb_*.
    const files = needed.map((name) =>
      [`mysql_${name}`, `mariadb_${name}`, name].map((file) => path.join(folder, file)).find(fs.existsSync),
    )
    if (files.every((file) => file !== undefined)) {
      return Buffer.concat([
        Buffer.from("create database mysql;\nuse mysql;\n"),
        ...files.map((file) => fs.readFileSync(file as string)),
      ])
    }
  }
  throw new StackError(
    `${binary} has no mysql_system_tables.sql beside it (looked in ${folders.join(", ")}).`,
  )
}
