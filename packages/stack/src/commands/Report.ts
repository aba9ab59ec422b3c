/** What people see of a stack: the table at the end of a start, and `stack status`. */
import * as path from "node:path"
import { demoAccounts } from "../Accounts.ts"
import * as Control from "../supervisor/Control.ts"
import type { Status } from "../supervisor/Status.ts"
import type { Supervisor } from "../supervisor/Supervisor.ts"
import { print, type Setting } from "./Setting.ts"

/** One line a component, aligned. */
export const table = (status: Status): string => {
  const rows = Object.entries(status).map(([name, each]) => [
    name,
    each.state,
    each.pid === undefined ? (each.last_exit ?? "") : String(each.pid),
    each.url ?? "",
    each.ops_url === undefined ? "" : `ops ${each.ops_url}`,
  ])
  const all = [["what", "state", "pid", "where", ""], ...rows]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd())
    .join("\n")
}

/** The table that `pnpm start` ends with. */
export const summary = async (
  setting: Setting,
  supervisor: Supervisor,
  ms: number,
  options: { readonly detached: boolean },
): Promise<string> => {
  const status = await supervisor.status()
  const lines = [`\nFloodgate is up after ${(ms / 1000).toFixed(1)} s.\n`, table(status), ""]
  const edge = status["edge"]
  if (edge !== undefined) {
    if (edge.url !== undefined) {
      lines.push(
        `  Storefront  ${edge.url}/`,
        `  Console     ${edge.url}/console`,
        `  API         ${edge.url}/docs`,
        "",
      )
    }
    const names = demoAccounts.map(({ username }) => username).join(", ")
    const rich = demoAccounts.filter(({ wallet }) => wallet > 0)
    lines.push(
      `  Demo accounts: ${names}; password floodgate-<name>.`,
      `  In the wallets of ${rich.map(({ username }) => username).join(" and ")}: ${(rich[0]?.wallet ?? 0) / 100} CNY each.`,
    )
  }
  const shown = path.relative(process.cwd(), setting.dataDir)
  lines.push(`  Data and logs: ${shown === "" || shown.startsWith("..") ? setting.dataDir : shown}`)
  if (!options.detached) lines.push("  Ctrl-C stops everything.")
  return lines.join("\n")
}

/** `stack status [--json]`. Without a stack: exit code 1, and `{}` as JSON. */
export const status = async (dataDir: string, json: boolean): Promise<number> => {
  if (!(await Control.isAlive(dataDir))) {
    print(json ? "{}" : `No stack runs in ${dataDir}.`)
    return 1
  }
  const answer = (await Control.ask(dataDir, "GET", "/status")) as Status
  print(json ? JSON.stringify(answer, null, 2) : table(answer))
  return 0
}
