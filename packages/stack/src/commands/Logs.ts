/** `stack logs [name] [--since 5m] [--follow]`: what the processes of a stack wrote, engines included. */
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { StackError } from "../StackError.ts"
import { print } from "./Setting.ts"

const units = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** "90s", "5m", "2h", "1d" as milliseconds; undefined for anything else. */
export const parseDuration = (text: string): number | undefined => {
  const match = /^(\d{1,6})([smhd])$/.exec(text)
  const unit = match?.[2] as keyof typeof units | undefined
  return unit === undefined ? undefined : Number(match?.[1]) * units[unit]
}

/**
 * When a line was written, Unix ms, if it says so: our JSON lines by their `time`, Kafka's and MariaDB's by the date
 * they begin with, Redis's by its own. Undefined for the continuation of another line.
 */
export const timeOf = (text: string): number | undefined => {
  const json = /^\{.*?"time":"([^"]+)"/.exec(text)?.[1]
  const iso =
    json ?? /^\[?(\d{4}-\d\d-\d\d[T ] ?\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)/.exec(text)?.[1]
  const redis = /^\d+:\w (\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3})/.exec(text)?.[1]
  const found = iso
    ?.replace(/^(\S{10}) {1,2}(\d):/, "$1T0$2:")
    .replace(/^(\S{10}) {1,2}/, "$1T")
    .replace(",", ".")
  const ms = Date.parse(found ?? redis ?? "")
  return Number.isNaN(ms) ? undefined : ms
}

/** At most this much of a log's end is read. */
const maxBytes = 8 * 1024 * 1024

/** Prints them one after another, or, with `follow`, as they come, until a signal. */
export const logs = async (
  dataDir: string,
  options: {
    readonly name: string | undefined
    readonly since: string | undefined
    readonly follow: boolean
  },
): Promise<number> => {
  const folder = path.join(dataDir, "logs")
  const names = fs.existsSync(folder)
    ? fs
        .readdirSync(folder)
        .filter((file) => file.endsWith(".log"))
        .map((file) => file.slice(0, -4))
    : []
  if (options.name !== undefined && !names.includes(options.name)) {
    throw new StackError(`There is no log of "${options.name}". There are: ${names.join(", ") || "none"}.`)
  }
  const sinceMs = options.since === undefined ? undefined : parseDuration(options.since)
  if (options.since !== undefined && sinceMs === undefined) {
    throw new StackError(`--since takes a number and s, m, h or d, like 5m; not "${options.since}".`)
  }
  const chosen = options.name === undefined ? names : [options.name]
  const from = sinceMs === undefined ? undefined : Date.now() - sinceMs
  const prefix = (name: string) => (chosen.length === 1 ? "" : `${name.padEnd(10)} | `)
  const position = new Map<string, number>()
  const rest = new Map<string, string>()
  const wanted = new Map<string, boolean>()

  const readOn = (name: string): void => {
    const file = path.join(folder, `${name}.log`)
    let size: number
    try {
      size = fs.statSync(file).size
    } catch {
      return
    }
    let start = position.get(name) ?? Math.max(0, size - maxBytes)
    // Shorter than before: it was moved aside and begun anew.
    if (size < start) start = 0
    const buffer = Buffer.alloc(size - start)
    const handle = fs.openSync(file, "r")
    try {
      fs.readSync(handle, buffer, 0, buffer.length, start)
    } finally {
      fs.closeSync(handle)
    }
    position.set(name, size)
    const lines = ((rest.get(name) ?? "") + buffer.toString("utf8")).split("\n")
    rest.set(name, lines.pop() ?? "")
    for (const text of lines) {
      if (from !== undefined) {
        const at = timeOf(text)
        if (at !== undefined) wanted.set(name, at >= from)
        if (wanted.get(name) !== true) continue
      }
      print(`${prefix(name)}${text}`)
    }
  }

  for (const name of chosen) readOn(name)
  if (!options.follow) return 0
  process.stdout.on("error", () => process.exit(0))
  for (;;) {
    await sleep(250)
    for (const name of chosen) readOn(name)
  }
}
