/**
 * Whether those who started us still live. Ctrl-C reaches everyone at a terminal, but a SIGTERM to `npx` alone reaches
 * neither pnpm nor us, and nobody tells us: so we look.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"

const parentOf = (pid: number): number | undefined => {
  try {
    if (process.platform === "linux") {
      // "pid (name) state ppid …", and a name may contain anything, even parentheses.
      const text = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
      return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1])
    }
    const text = execFileSync("ps", ["-o", "ppid=", "-p", String(pid)], { encoding: "utf8", timeout: 2000 })
    return Number(text.trim())
  } catch {
    return undefined
  }
}

const commandOf = (pid: number): string => {
  try {
    return process.platform === "linux"
      ? fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
      : execFileSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8", timeout: 2000 })
  } catch {
    return ""
  }
}

const isRunner = (command: string): boolean =>
  /(^|[\s/])(npx|npm|pnpm|yarn|corepack)(\.c?js)?([\s@]|$)/.test(command)

/** At most this many generations are looked at. */
const maxDepth = 12

/**
 * Our launcher: the chain of processes up to the topmost npx or pnpm among our ancestors; without one, our parent.
 * The chain is [ours, parent, …]; each link says who the parent was.
 */
export const launcher = (): ReadonlyArray<number> => {
  const chain = [process.pid]
  let topRunner = 0
  for (let at = process.pid; chain.length < maxDepth; ) {
    const parent = parentOf(at)
    if (parent === undefined || parent <= 1) break
    chain.push(parent)
    if (isRunner(commandOf(parent))) topRunner = chain.length - 1
    at = parent
  }
  return chain.slice(0, Math.max(topRunner, 1) + 1)
}

/** True while every link of the chain holds: an orphan is adopted by someone else. */
export const isIntact = (chain: ReadonlyArray<number>): boolean =>
  chain.every((pid, index) => {
    const parent = chain[index + 1]
    return parent === undefined || (pid === process.pid ? process.ppid : parentOf(pid)) === parent
  })
