import * as fs from "node:fs"
import * as net from "node:net"
import type { LaunchSpec } from "../process/Child.ts"
import { StackError } from "../StackError.ts"
import * as Install from "./Install.ts"

const image = "redis:7"

const aptPackage = "redis-tools"

/**
 * A program that is redis-server when started under that name. Debian's redis-tools ships the server as
 * redis-check-rdb (redis-server is a link to it in another package, which also starts a system daemon).
 */
const findBinary = (): string | undefined =>
  Install.findProgram("redis-server", "valkey-server") ??
  (process.platform === "linux" ? Install.findProgram("redis-check-rdb") : undefined)

/** The program to start with argv0 "redis-server"; undefined when there is none on this machine. */
export const binary = (chosen: Install.Plan): string | undefined =>
  chosen.how === "binary" ? chosen.target : undefined

/** Decides where a Redis server comes from: a binary here, a Debian package, Docker, or nowhere. */
export const plan = async (): Promise<Install.Plan> => {
  const found = findBinary()
  if (found !== undefined) return { how: "binary", target: found, why: `${found} (${versionOf(found)})` }
  if (Install.canApt() && !Install.installForbidden()) {
    return { how: "apt", why: `no redis-server here; apt-get install ${aptPackage}` }
  }
  if (await Install.dockerAnswers())
    return { how: "docker", target: image, why: `no redis-server here; Docker runs ${image}` }
  return { how: "none", why: `no Redis here: ${Install.installHint("redis")}` }
}

/** Installs the server where the plan says so, and returns a plan that names its program. */
export const install = async (chosen: Install.Plan, say: Install.Say): Promise<Install.Plan> => {
  if (chosen.how !== "apt") return chosen
  await Install.aptInstall([aptPackage], say)
  const found = findBinary()
  if (found === undefined) throw new StackError(`${aptPackage} is installed, but there is no redis-server.`)
  return { how: "binary", target: found, why: `${found} (just installed)` }
}

const versionOf = (program: string): string => {
  // Under its own name redis-check-rdb has no version to tell; Debian's package has the same one.
  const text =
    Install.output(program.endsWith("redis-check-rdb") ? "redis-cli" : program, ["--version"]) ?? ""
  return /(?:v=|redis-cli )([\w.]+)/.exec(text)?.[1] ?? "unknown version"
}

/** How to run the server. */
export interface Options {
  readonly name: string
  readonly dataDir: string
  readonly port: number
  readonly logFile: string
  readonly say: Install.Say
  /** `everysec`: a power failure may take the last second. `always`: nothing acknowledged is lost. */
  readonly appendFsync: "everysec" | "always"
  /** Settings beyond those of every server here. */
  readonly extra?: ReadonlyArray<string>
}

/** Address of a server started by this module. */
export const url = (port: number): string => `redis://127.0.0.1:${port}`

/** Installs what is needed, and says how to start the server. Nothing runs afterwards. */
export const prepare = async (planned: Install.Plan, options: Options): Promise<LaunchSpec> => {
  const chosen = await install(planned, options.say)
  if (chosen.how === "none" || chosen.target === undefined) throw new StackError(chosen.why)
  fs.mkdirSync(options.dataDir, { recursive: true })
  const settings = [
    ...["--save", "", "--appendonly", "yes", "--appendfsync", options.appendFsync],
    // A rush must fail loudly rather than lose keys.
    ...["--maxmemory-policy", "noeviction", "--daemonize", "no", "--tcp-backlog", "511"],
    ...(options.extra ?? []),
  ]
  const common = {
    name: options.name,
    logFile: options.logFile,
    isReady: () => answers(options.port),
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 10_000,
  }
  if (chosen.how === "docker") {
    await Install.dockerPull(chosen.target, options.say)
    const container = `floodgate-${options.name}-${options.port}`
    return {
      ...common,
      command: "docker",
      args: [
        ...["run", "--rm", "--name", container, ...Install.dockerUser()],
        ...["-p", `127.0.0.1:${options.port}:6379`, "-v", `${options.dataDir}:/data`],
        ...[chosen.target, "redis-server", "--dir", "/data", "--protected-mode", "no", ...settings],
      ],
      container,
    }
  }
  return {
    ...common,
    command: chosen.target,
    argv0: "redis-server",
    args: ["--port", String(options.port), "--bind", "127.0.0.1", "--dir", options.dataDir, ...settings],
  }
}

/** Sends PING; a server that still loads its data answers -LOADING and isn't ready. */
const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect({ host: "127.0.0.1", port, timeout: 2000 })
    const end = (ready: boolean) => {
      socket.destroy()
      resolve(ready)
    }
    socket.once("connect", () => socket.write("PING\r\n"))
    socket.once("data", (chunk) => end(chunk.toString("latin1").startsWith("+PONG")))
    socket.once("error", () => end(false))
    socket.once("timeout", () => end(false))
    socket.once("close", () => end(false))
  })
