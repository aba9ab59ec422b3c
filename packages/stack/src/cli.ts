/** The command line: `pnpm start`, `pnpm stack …`, `pnpm demo:rush`. Bundled and called by bin/floodgate.mjs. */
import * as path from "node:path"
import { type ParseArgsConfig, parseArgs } from "node:util"
import * as PortTable from "@floodgate/runtime/config/Ports"
import type { Setting } from "./commands/Setting.ts"
import { given } from "./Engines.ts"
import { closeInherited } from "./process/Descriptors.ts"
import { everything, parseSelection } from "./Services.ts"
import * as Shape from "./Shape.ts"
import { StackError } from "./StackError.ts"
import type { Restart } from "./supervisor/Control.ts"
import type { Build } from "./supervisor/Supervisor.ts"

const help = `Usage: pnpm start [options], or pnpm stack <command> [options]

  start                     engines, services and demo data, in the foreground; Ctrl-C stops all of it
  up [--detach]             the same; --detach returns when everything is ready
  down [--wipe]             stop it; --wipe also removes its data
  status [--json]           what runs where
  logs [name] [--since 5m] [--follow]
  restart|stop|kill <name>  one process; kill is SIGKILL, and only restart revives it
  migrate                   run outstanding migrations
  topics                    make the bus's missing topics (KAFKA_BROKERS or REDIS_BUS_URL)
  build --out DIR           what a container runs, in one folder (docs/guides/deployment.md)
  seed                      make demo accounts and products
  admin NAME                make this account the first administrator; refused once there is one
  keys rotate               a new key for access tokens: published now, signing in a minute
  audit verify              whether the audit trail is what was written; exit code 1 where it isn't
  doctor                    what would be used on this machine, and why
  rush [--buyers 1000] [--stock 100] [--fault redis]
                            a sale in fast motion, with the sums at the end (pnpm demo:rush)

  --data DIR                data folder (.floodgate); several stacks can run side by side
  --port-base N             first port (8080)
  --only LIST               engines, services, or names: engines,identity
  --jaeger                  build Jaeger with Go where there is no other road to it
  --observe                 Prometheus with our alerts, Alertmanager, Jaeger, and Grafana where there is one
  --edges N                 so many edges: edge, edge-2 …, on ports a hundred apart
  --edge-processes N        so many processes behind the port of each edge
  --replicas N              so many of every service; --instances ordering=2,payment=3 says it one by one
  --redis cluster           three Redis primaries with a replica each
  --brokers 3               three Kafka brokers, three copies of everything
  --env [service:]KEY=VALUE a value for services, over all others; also for one restart
  --via mysql=PORT          services reach it at this port, where somebody passes on (also redis, kafka, a service)
  --bus redis               Redis Streams as the event bus even where Kafka could be had`

const options = {
  data: { type: "string" },
  "port-base": { type: "string" },
  only: { type: "string" },
  jaeger: { type: "boolean", default: false },
  observe: { type: "boolean", default: false },
  bus: { type: "string", default: "kafka" },
  edges: { type: "string", default: "1" },
  "edge-processes": { type: "string", default: "1" },
  replicas: { type: "string", default: "1" },
  instances: { type: "string", multiple: true, default: [] },
  redis: { type: "string", default: "single" },
  brokers: { type: "string", default: "1" },
  env: { type: "string", multiple: true, default: [] },
  via: { type: "string", multiple: true, default: [] },
  detach: { type: "boolean", default: false },
  wipe: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  since: { type: "string" },
  follow: { type: "boolean", default: false },
  buyers: { type: "string", default: "1000" },
  stock: { type: "string", default: "100" },
  fault: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
} as const satisfies ParseArgsConfig["options"]

const wholeNumber = (name: string, text: string, lowest: number, highest: number): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < lowest || value > highest) {
    throw new StackError(`--${name} takes a whole number from ${lowest} to ${highest}, not "${text}".`)
  }
  return value
}

const parse = (argv: ReadonlyArray<string>) => {
  try {
    return parseArgs({ args: argv.filter((word) => word !== "--"), options, allowPositionals: true })
  } catch (cause) {
    throw new StackError(`${(cause as Error).message}\n\n${help}`)
  }
}

/** What the launcher knows. */
export interface Launch {
  readonly root: string
  readonly build: Build
  readonly argv: ReadonlyArray<string>
}

const dispatch = async ({ root, build, argv }: Launch): Promise<number> => {
  const { values, positionals } = parse(argv)
  const [command = "help", name, ...rest] = positionals
  if (values.help || command === "help") {
    process.stdout.write(`${help}\n`)
    return 0
  }
  const takesName = ["logs", "restart", "stop", "kill", "keys", "audit", "admin"].includes(command)
  if (rest.length > 0 || (name !== undefined && !takesName)) {
    throw new StackError(`"${(takesName ? rest : [name, ...rest]).join(" ")}" is too much.\n\n${help}`)
  }

  const { env } = process
  const selection = values.only === undefined ? everything : parseSelection(values.only)
  if ("unknown" in selection) throw new StackError(`--only doesn't know "${selection.unknown}".`)
  if (values.bus !== "kafka" && values.bus !== "redis") throw new StackError("--bus is kafka or redis.")
  const base = values["port-base"] ?? given(env, "PORT_BASE") ?? String(PortTable.DEFAULT_BASE)
  // A package runner may have changed to the root; what people type is relative to where they are.
  const here = given(env, "INIT_CWD") ?? process.cwd()
  const setting: Setting = {
    root,
    build,
    env,
    dataDir: values.data === undefined ? path.join(root, ".floodgate") : path.resolve(here, values.data),
    portBase: wholeNumber("port-base", base, 1024, PortTable.HIGHEST_BASE),
    selection,
    wishes: { jaeger: values.jaeger || values.observe, observe: values.observe, bus: values.bus },
    shape: Shape.parse(values),
  }
  const { dataDir } = setting

  switch (command) {
    case "start":
    case "up": {
      if (values.detach) {
        const { detach } = await import("./commands/Detach.ts")
        return detach(
          setting,
          argv.filter((word) => !["up", "start", "--detach"].includes(word)),
        )
      }
      const { run } = await import("./commands/Run.ts")
      return run(setting, { detached: false })
    }
    // The daemon behind `up --detach`.
    case "supervise": {
      closeInherited()
      const { run } = await import("./commands/Run.ts")
      return run(setting, { detached: true })
    }
    case "status": {
      const Report = await import("./commands/Report.ts")
      return Report.status(dataDir, values.json)
    }
    case "logs": {
      const { logs } = await import("./commands/Logs.ts")
      return logs(dataDir, { name, since: values.since, follow: values.follow })
    }
    case "restart":
    case "stop":
    case "kill": {
      if (name === undefined) throw new StackError(`Which one? "pnpm stack ${command} <name>"`)
      const Control = await import("./supervisor/Control.ts")
      await Control.ask(dataDir, "POST", `/components/${encodeURIComponent(name)}/${command}`, {
        timeoutMs: 180_000,
        ...(command === "restart"
          ? {
              body: {
                build,
                env: Object.fromEntries(Shape.parse(values).told.map(({ key, value }) => [key, value])),
              } satisfies Restart,
            }
          : {}),
      })
      return 0
    }
    case "down": {
      const { down } = await import("./commands/Data.ts")
      return down(dataDir, values.wipe)
    }
    case "migrate": {
      const { migrate } = await import("./commands/Data.ts")
      return migrate(setting)
    }
    case "topics": {
      const Deployment = await import("./Deployment.ts")
      await Deployment.topics(root, env)
      process.stdout.write("The topics are as the contracts say.\n")
      return 0
    }
    case "seed": {
      const { seed } = await import("./commands/Data.ts")
      return seed(setting)
    }
    case "admin": {
      if (name === undefined) throw new StackError('Who? "pnpm stack admin <name of an account>"')
      const IdentityAccess = await import("./commands/IdentityAccess.ts")
      const FirstAdmin = await import("./FirstAdmin.ts")
      process.stdout.write(`${await FirstAdmin.grant(await IdentityAccess.environment(setting), name)}\n`)
      return 0
    }
    case "keys": {
      if (name !== "rotate") throw new StackError('Which one? "pnpm stack keys rotate"')
      const Keys = await import("./commands/Keys.ts")
      return Keys.rotate(setting)
    }
    case "audit": {
      if (name !== "verify") throw new StackError('Which one? "pnpm stack audit verify"')
      const Audit = await import("./commands/Audit.ts")
      return Audit.verify(setting)
    }
    case "doctor": {
      const { doctor } = await import("./commands/Doctor.ts")
      return doctor(setting)
    }
    case "rush": {
      const { rush } = await import("./demo/Rush.ts")
      if (values.fault !== undefined && values.fault !== "redis")
        throw new StackError("--fault knows only redis.")
      return rush(setting, {
        buyers: wholeNumber("buyers", values.buyers, 1, 20_000),
        stock: wholeNumber("stock", values.stock, 1, 10_000),
        fault: values.fault,
      })
    }
    default:
      throw new StackError(`There is no command "${command}".\n\n${help}`)
  }
}

/** Runs one command; returns the exit code. What a person can act on is printed without a stack. */
export const main = async (launch: Launch): Promise<number> => {
  try {
    return await dispatch(launch)
  } catch (cause) {
    const text =
      cause instanceof StackError
        ? cause.message
        : cause instanceof Error
          ? (cause.stack ?? cause.message)
          : String(cause)
    process.stderr.write(`${text}\n`)
    return 1
  }
}
