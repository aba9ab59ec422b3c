import { execFileSync } from "node:child_process"
import { randomInt } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import { StackError } from "../StackError.ts"

/** Below the range from which systems take ports for outgoing connections: one of those would be in the way, too. */
const lowest = 15_000
const highest = 32_000

/** A port that nobody uses now. Another program may still take it before its user does. */
export const free = async (): Promise<number> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowest, highest)
    if (await isFree(port)) return port
  }
  throw new StackError(`No free port was found between ${lowest} and ${highest}.`)
}

const canListen = (port: number, host?: string): Promise<boolean> =>
  new Promise((resolve) => {
    const server = net.createServer()
    server.once("error", (cause: NodeJS.ErrnoException) => resolve(cause.code === "EADDRNOTAVAIL"))
    server.listen({ port, exclusive: true, ...(host === undefined ? {} : { host }) }, () =>
      server.close(() => resolve(true)),
    )
  })

/** True when a server may listen on this port, on loopback as well as on every address. */
export const isFree = async (port: number): Promise<boolean> =>
  (await canListen(port, "127.0.0.1")) && (await canListen(port))

/** Who listens on a port. */
export interface Holder {
  readonly pid: number
  readonly name: string
}

/** Finds who listens on a port; undefined when this user may not see it. */
export const holder = (port: number): Holder | undefined =>
  process.platform === "linux" ? linuxHolder(port) : lsofHolder(port)

const linuxHolder = (port: number): Holder | undefined => {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0")
  const inodes = new Set<string>()
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    let text: string
    try {
      text = fs.readFileSync(table, "utf8")
    } catch {
      continue
    }
    for (const line of text.split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/)
      // State 0A is LISTEN; field 9 is the socket's inode.
      if (fields[3] === "0A" && fields[1]?.endsWith(`:${wanted}`) && fields[9] !== undefined)
        inodes.add(fields[9])
    }
  }
  if (inodes.size === 0) return undefined
  for (const pid of fs.readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue
    try {
      for (const handle of fs.readdirSync(`/proc/${pid}/fd`)) {
        const socket = /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${pid}/fd/${handle}`))?.[1]
        if (socket !== undefined && inodes.has(socket)) {
          return { pid: Number(pid), name: fs.readFileSync(`/proc/${pid}/comm`, "utf8").trim() }
        }
      }
    } catch {
      // Ended meanwhile, or another user's.
    }
  }
  return undefined
}

const lsofHolder = (port: number): Holder | undefined => {
  try {
    const out = execFileSync("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fpc"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 5000,
    })
    const pid = /^p(\d+)$/m.exec(out)?.[1]
    const name = /^c(.+)$/m.exec(out)?.[1]
    return pid === undefined ? undefined : { pid: Number(pid), name: name ?? "?" }
  } catch {
    return undefined
  }
}
