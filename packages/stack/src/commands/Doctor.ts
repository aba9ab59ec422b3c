/** `stack doctor`: what would be used on this machine, and why. Installs and starts nothing. */
import * as os from "node:os"
import { given, plan } from "../Engines.ts"
import * as Install from "../engines/Install.ts"
import * as Control from "../supervisor/Control.ts"
import { print, type Setting } from "./Setting.ts"

const roads: Record<Install.How, string> = {
  url: "external",
  binary: "ready",
  jars: "Java",
  apt: "to be installed",
  docker: "Docker",
  build: "to be built",
  none: "missing",
}

/** Prints the table. Returns 1 when something that a stack can't do without is missing. */
export const doctor = async (setting: Setting): Promise<number> => {
  const { env, dataDir, wishes } = setting
  const appEnv = given(env, "APP_ENV") ?? "dev"
  print(
    `Node ${process.versions.node}, ${os.platform()} ${os.release()} ${os.arch()}, ${os.availableParallelism()} cores`,
  )
  print(
    `APP_ENV=${appEnv}${appEnv === "dev" ? "" : ": engines are never started here, every key must be given"}`,
  )
  const running = (await Control.isAlive(dataDir)) ? Control.presence(dataDir) : undefined
  print(
    running === undefined
      ? `Data folder ${dataDir}: nothing runs`
      : `Data folder ${dataDir}: a stack runs (pid ${running.pid}, port base ${running.portBase})`,
  )
  if (Install.installForbidden())
    print("FLOODGATE_INSTALL=never: nothing will be installed, fetched or built")
  print()
  const plans = await plan(env, wishes)
  const rows = [
    ["mysql", plans.mysql],
    ["redis", plans.redis],
    [plans.bus.kind, plans.bus],
    ["jaeger", plans.jaeger],
  ] as const
  for (const [name, chosen] of rows) print(`  ${name.padEnd(8)}${roads[chosen.how].padEnd(17)}${chosen.why}`)
  return plans.mysql.how === "none" || plans.redis.how === "none" ? 1 : 0
}
