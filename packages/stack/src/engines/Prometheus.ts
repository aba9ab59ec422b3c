/** Prometheus with its promtool, and Alertmanager with its amtool: what `pnpm start --observe` and the rules' tests run. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { LaunchSpec } from "../process/Child.ts"
import { StackError } from "../StackError.ts"
import * as Install from "./Install.ts"

/** Each program, and the Debian package that has it. */
const packages = {
  prometheus: { programs: ["prometheus"], debian: "prometheus" },
  promtool: { programs: ["promtool"], debian: "prometheus" },
  // Debian's has a name of its own.
  alertmanager: { programs: ["alertmanager", "prometheus-alertmanager"], debian: "prometheus-alertmanager" },
  amtool: { programs: ["amtool"], debian: "prometheus-alertmanager" },
} as const

export type Program = keyof typeof packages

/** Decides where a program comes from: this machine, or a Debian package. */
export const plan = async (name: Program): Promise<Install.Plan> => {
  const { programs, debian } = packages[name]
  const found = Install.findProgram(...programs)
  if (found !== undefined) return { how: "binary", target: found, why: found }
  if (Install.canApt() && !Install.installForbidden()) {
    return { how: "apt", why: `no ${name} here; apt-get install ${debian}` }
  }
  return { how: "none", why: `no ${name} here: install ${debian} with your system's package manager` }
}

/** Installs the program where the plan says so; answers where it is. */
export const install = async (name: Program, chosen: Install.Plan, say: Install.Say): Promise<string> => {
  if (chosen.how === "binary" && chosen.target !== undefined) return chosen.target
  if (chosen.how !== "apt") throw new StackError(chosen.why)
  const { programs, debian } = packages[name]
  await Install.withoutDaemons(() => Install.aptInstall([debian], say))
  const found = Install.findProgram(...programs)
  if (found === undefined) throw new StackError(`${debian} is installed, but there is no ${name}.`)
  return found
}

/** What Prometheus scrapes: one process. */
export interface Target {
  /** `edge`, `ordering`: what the rules call a job. */
  readonly job: string
  /** `edge-2`. */
  readonly instance: string
  /** host:port of its ops server. */
  readonly address: string
}

/** How to run the two, each in a folder of its own. */
export interface Options {
  readonly dataDir: string
  readonly logFile: string
  readonly say: Install.Say
  /** The repository's root, for `ops/prometheus` and `ops/alertmanager`. */
  readonly root: string
  readonly port: number
}

const answersReady = (port: number) => async (): Promise<boolean> => {
  const response = await fetch(`http://127.0.0.1:${port}/-/ready`, { signal: AbortSignal.timeout(2000) })
  await response.body?.cancel()
  return response.ok
}

const spec = (name: "prometheus" | "alertmanager", options: Options) => ({
  name,
  logFile: options.logFile,
  isReady: answersReady(options.port),
  readyTimeoutMs: 60_000,
  stopTimeoutMs: 10_000,
})

/** Puts configuration, rules and targets where Prometheus reads them; it notices changed targets by itself. */
export const configure = (
  folder: string,
  root: string,
  targets: ReadonlyArray<Target>,
  alertmanager: string,
): string => {
  const home = path.join(root, "ops", "prometheus")
  fs.mkdirSync(path.join(folder, "targets"), { recursive: true })
  fs.rmSync(path.join(folder, "rules"), { recursive: true, force: true })
  fs.cpSync(path.join(home, "rules"), path.join(folder, "rules"), { recursive: true })
  const file = path.join(folder, "prometheus.yml")
  fs.copyFileSync(path.join(home, "prometheus.yml"), file)
  const write = (name: string, groups: unknown): void =>
    fs.writeFileSync(path.join(folder, "targets", name), `${JSON.stringify(groups, null, 2)}\n`)
  write(
    "floodgate.json",
    targets.map(({ address, job, instance }) => ({ targets: [address], labels: { job, instance } })),
  )
  write("alertmanager.json", [{ targets: [alertmanager] }])
  return file
}

/** Installs what is needed, and says how to start Prometheus. Samples are kept for two days. */
export const prepare = async (
  chosen: Install.Plan,
  options: Options & { readonly targets: ReadonlyArray<Target>; readonly alertmanager: string },
): Promise<LaunchSpec> => {
  const command = await install("prometheus", chosen, options.say)
  const config = configure(options.dataDir, options.root, options.targets, options.alertmanager)
  return {
    ...spec("prometheus", options),
    command,
    args: [
      `--config.file=${config}`,
      `--storage.tsdb.path=${path.join(options.dataDir, "data")}`,
      "--storage.tsdb.retention.time=2d",
      `--web.listen-address=127.0.0.1:${options.port}`,
    ],
  }
}

/** Installs what is needed, and says how to start Alertmanager: alone, without a cluster. */
export const prepareAlertmanager = async (chosen: Install.Plan, options: Options): Promise<LaunchSpec> => {
  const command = await install("alertmanager", chosen, options.say)
  fs.mkdirSync(options.dataDir, { recursive: true })
  return {
    ...spec("alertmanager", options),
    command,
    args: [
      `--config.file=${path.join(options.root, "ops", "alertmanager", "alertmanager.yml")}`,
      `--storage.path=${options.dataDir}`,
      `--web.listen-address=127.0.0.1:${options.port}`,
      "--cluster.listen-address=",
    ],
  }
}
