/** Grafana with the dashboards of `ops/grafana`, where there is one: no package registry has it. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { LaunchSpec } from "../process/Child.ts"
import { StackError } from "../StackError.ts"
import * as Install from "./Install.ts"

const image = "grafana/grafana:12.0.1"

/** Decides where Grafana comes from; `none` isn't fatal. */
export const plan = async (): Promise<Install.Plan> => {
  const found = Install.findProgram("grafana")
  if (found !== undefined) return { how: "binary", target: found, why: found }
  // It has to reach a Prometheus that listens on this machine only, so it shares the machine's network.
  if (process.platform === "linux" && (await Install.dockerAnswers())) {
    return { how: "docker", target: image, why: `no grafana here; Docker runs ${image}` }
  }
  return {
    how: "none",
    why: "no grafana and no Docker here: the dashboards are in ops/grafana/dashboards, to import elsewhere",
  }
}

/** How to run it. */
export interface Options {
  readonly dataDir: string
  readonly logFile: string
  readonly say: Install.Say
  /** The repository's root, for `ops/grafana`. */
  readonly root: string
  readonly port: number
  readonly prometheusUrl: string
}

/** Puts data source and dashboards where Grafana reads them; answers the folder. */
const provision = ({ dataDir, root, prometheusUrl }: Options): string => {
  const folder = path.join(dataDir, "provisioning")
  const write = (name: string, content: unknown): void => {
    fs.mkdirSync(path.join(folder, name), { recursive: true })
    // JSON is YAML.
    fs.writeFileSync(path.join(folder, name, "floodgate.yaml"), JSON.stringify(content))
  }
  const source = { name: "Prometheus", uid: "prometheus", type: "prometheus", access: "proxy" }
  write("datasources", {
    apiVersion: 1,
    datasources: [{ ...source, url: prometheusUrl, isDefault: true, jsonData: { timeInterval: "5s" } }],
  })
  const dashboards = path.join(root, "ops", "grafana", "dashboards")
  const provider = { name: "floodgate", folder: "Floodgate", type: "file", options: { path: dashboards } }
  write("dashboards", { apiVersion: 1, providers: [provider] })
  return folder
}

/** Says how to start it; everybody on this machine may look. */
export const prepare = async (chosen: Install.Plan, options: Options): Promise<LaunchSpec> => {
  if (chosen.how === "none" || chosen.target === undefined) throw new StackError(chosen.why)
  const settings = {
    GF_SERVER_HTTP_ADDR: "127.0.0.1",
    GF_SERVER_HTTP_PORT: String(options.port),
    GF_PATHS_PROVISIONING: provision(options),
    GF_PATHS_DATA: path.join(options.dataDir, "data"),
    GF_AUTH_ANONYMOUS_ENABLED: "true",
    GF_ANALYTICS_REPORTING_ENABLED: "false",
    GF_ANALYTICS_CHECK_FOR_UPDATES: "false",
  }
  fs.mkdirSync(settings.GF_PATHS_DATA, { recursive: true })
  const common = {
    name: "grafana",
    logFile: options.logFile,
    isReady: async () => {
      const response = await fetch(`http://127.0.0.1:${options.port}/api/health`, {
        signal: AbortSignal.timeout(2000),
      })
      await response.body?.cancel()
      return response.ok
    },
    readyTimeoutMs: 90_000,
    stopTimeoutMs: 10_000,
  }
  if (chosen.how === "docker") {
    await Install.dockerPull(image, options.say)
    const container = `floodgate-grafana-${options.port}`
    return {
      ...common,
      command: "docker",
      args: [
        ...["run", "--rm", "--name", container, "--network", "host", ...Install.dockerUser()],
        ...["-v", `${options.dataDir}:${options.dataDir}`],
        ...[
          "-v",
          `${path.join(options.root, "ops", "grafana")}:${path.join(options.root, "ops", "grafana")}:ro`,
        ],
        ...Object.entries(settings).flatMap(([key, value]) => ["-e", `${key}=${value}`]),
        image,
      ],
      container,
    }
  }
  const home = ["/usr/share/grafana", "/opt/homebrew/share/grafana", "/usr/local/share/grafana"].find(
    (folder) => fs.existsSync(path.join(folder, "conf", "defaults.ini")),
  )
  return {
    ...common,
    command: chosen.target,
    args: ["server", ...(home === undefined ? [] : [`--homepath=${home}`])],
    env: { ...process.env, ...settings },
  }
}
