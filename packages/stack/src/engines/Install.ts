import { execFile, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { StackError } from "../StackError.ts"

/**
 * How an engine comes to this machine, in the order in which the roads are tried.
 * `none` is a plan, too: it says what is missing and what to do about it.
 */
export type How = "url" | "binary" | "apt" | "jars" | "docker" | "build" | "none"

/** What would be used for an engine, and why. Making a plan changes nothing on the machine. */
export interface Plan {
  readonly how: How
  /** One line for `stack doctor` and the start-up table. */
  readonly why: string
  /** The program to run (`binary`, and `apt` after installing), or the address (`url`). */
  readonly target?: string
}

/** Reports progress of slow steps (installing, downloading, building) to whoever watches. */
export type Say = (line: string) => void

/** Folders where servers live that a user's PATH often lacks. */
const serverFolders = [
  "/usr/sbin",
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/libexec",
  "/usr/bin",
  "/opt/homebrew/bin",
  "/opt/homebrew/sbin",
  "/opt/homebrew/opt/mariadb/bin",
  "/usr/local/opt/mariadb/bin",
  "/usr/local/mysql/bin",
]

const isExecutable = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/** The first of these programs on the PATH or in the usual server folders. */
export const findProgram = (...names: ReadonlyArray<string>): string | undefined => {
  const folders = [...(process.env["PATH"] ?? "").split(path.delimiter).filter(Boolean), ...serverFolders]
  for (const name of names) {
    for (const folder of folders) {
      const file = path.join(folder, name)
      if (isExecutable(file)) return file
    }
  }
  return undefined
}

/** Folder for what is fetched or built once per user: jars, the tracer's binary, database templates. */
export const cacheFolder = (...parts: ReadonlyArray<string>): string =>
  path.join(process.env["XDG_CACHE_HOME"] || path.join(os.homedir(), ".cache"), "floodgate", ...parts)

/** Output of a short program; undefined when it fails or takes longer than 15 s. */
export const output = (command: string, args: ReadonlyArray<string>): string | undefined => {
  try {
    return execFileSync(command, [...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 15_000,
    })
  } catch {
    return undefined
  }
}

/** Runs a program to its end, keeping its output for the error message. */
export const runProgram = (
  command: string,
  args: ReadonlyArray<string>,
  options: {
    readonly cwd?: string
    readonly env?: Record<string, string | undefined>
    readonly input?: string | Buffer
    readonly timeoutMs: number
  },
): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, [...args], {
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: options.env ?? process.env,
      timeout: options.timeoutMs,
      killSignal: "SIGKILL",
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
    let said = ""
    const keep = (chunk: Buffer) => {
      said = (said + chunk.toString("utf8")).slice(-8192)
    }
    child.stdout?.on("data", keep)
    child.stderr?.on("data", keep)
    child.stdin?.on("error", () => {})
    child.stdin?.end(options.input)
    child.once("error", (cause) => reject(new StackError(`${command} can't be run: ${cause.message}`)))
    child.once("close", (code, signal) => {
      if (code === 0) return resolve()
      const last = said.trimEnd().split("\n").slice(-15).join("\n    ")
      reject(new StackError(`${path.basename(command)} failed (${signal ?? `code ${code}`}):\n    ${last}`))
    })
  })

/** True when nothing may be installed: the user said so. */
export const installForbidden = (): boolean => process.env["FLOODGATE_INSTALL"] === "never"

/** True on Debian and its relatives when we are root, so that packages can be installed without asking a password. */
export const canApt = (): boolean =>
  process.platform === "linux" &&
  process.getuid?.() === 0 &&
  fs.existsSync("/etc/debian_version") &&
  findProgram("apt-get") !== undefined

let installing: Promise<void> = Promise.resolve()

/** Installs Debian packages, saying which. Waits for another installation that is under way. */
export const aptInstall = (packages: ReadonlyArray<string>, say: Say): Promise<void> => {
  const mine = installing.then(() => aptInstallNow(packages, say))
  installing = mine.catch(() => {})
  return mine
}

const aptInstallNow = async (packages: ReadonlyArray<string>, say: Say): Promise<void> => {
  if (installForbidden()) {
    throw new StackError(`FLOODGATE_INSTALL=never: install ${packages.join(" ")} yourself, or give its URL.`)
  }
  const options = ["-qq", "-o", "DPkg::Lock::Timeout=300"]
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  say(`installing Debian packages: ${packages.join(" ")} (FLOODGATE_INSTALL=never refuses)`)
  for (let attempt = 1; ; attempt++) {
    try {
      await runProgram("apt-get", [...options, "update"], { env, timeoutMs: 300_000 })
      await runProgram("apt-get", [...options, "install", "-y", "--no-install-recommends", ...packages], {
        env,
        timeoutMs: 600_000,
      })
      return
    } catch (cause) {
      // The lists' lock has no time-out of its own; two test runs may start on a bare machine together.
      if (attempt >= 4) throw cause
      await sleep(3000 * attempt)
    }
  }
}

/** Where Debian's packages ask whether they may start their service after an installation. */
const daemonPolicy = "/usr/sbin/policy-rc.d"

/** Installs packages that would start a system daemon, without letting them: what runs here is started by us. */
export const withoutDaemons = async (work: () => Promise<void>): Promise<void> => {
  if (fs.existsSync(daemonPolicy)) return work()
  fs.writeFileSync(daemonPolicy, "#!/bin/sh\nexit 101\n", { mode: 0o755 })
  try {
    await work()
  } finally {
    fs.rmSync(daemonPolicy, { force: true })
  }
}

let dockerAnswer: Promise<boolean> | undefined

/** True when a Docker engine answers; asked once a process. */
export const dockerAnswers = (): Promise<boolean> => {
  dockerAnswer ??= new Promise((resolve) => {
    execFile("docker", ["version", "--format", "{{.Server.Version}}"], { timeout: 5000 }, (error, stdout) =>
      resolve(error === null && stdout.trim() !== ""),
    )
  })
  return dockerAnswer
}

/** Fetches a container image when it isn't here yet, so that the start itself needn't wait for a download. */
export const dockerPull = async (image: string, say: Say): Promise<void> => {
  if (output("docker", ["image", "inspect", "--format", "{{.Id}}", image]) !== undefined) return
  if (installForbidden())
    throw new StackError(`FLOODGATE_INSTALL=never: run "docker pull ${image}" yourself.`)
  say(`pulling the image ${image}`)
  await runProgram("docker", ["pull", "-q", image], { timeoutMs: 900_000 })
}

/** One line that says what to install on this system. */
export const installHint = (what: "mariadb" | "redis"): string => {
  const debian = { mariadb: "mariadb-server-core", redis: "redis-tools" }[what]
  if (process.platform === "darwin") return `brew install ${what}`
  if (fs.existsSync("/etc/debian_version")) return `sudo apt-get install --no-install-recommends ${debian}`
  if (fs.existsSync("/etc/fedora-release") || fs.existsSync("/etc/redhat-release")) {
    return `sudo dnf install ${what === "mariadb" ? "mariadb-server" : "redis"}`
  }
  if (fs.existsSync("/etc/arch-release")) return `sudo pacman -S ${what}`
  return `install ${what === "mariadb" ? "MariaDB 10.11 (or MySQL 8)" : "Redis 7"} with your system's package manager`
}

/** The user to name inside a container, so that files in a mounted data folder stay ours. */
export const dockerUser = (): ReadonlyArray<string> => {
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  return uid === undefined || gid === undefined ? [] : ["--user", `${uid}:${gid}`]
}
