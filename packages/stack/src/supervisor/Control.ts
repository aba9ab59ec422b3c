/**
 * The door to a running supervisor: HTTP on a Unix socket in the data folder, so that only its owner gets in and no
 * port is spent. `supervisor.json` beside it says where the socket is.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, StackError } from "../StackError.ts"
import type { Event } from "./Events.ts"
import type { Build, Supervisor } from "./Supervisor.ts"

/** What `supervisor.json` says. */
export interface Presence {
  readonly pid: number
  readonly socket: string
  readonly portBase: number
  readonly startedAt: string
}

const presenceFile = (dataDir: string): string => path.join(dataDir, "supervisor.json")

/** In the data folder, unless its path is too long for a socket (about 100 characters on every system). */
const socketPath = (dataDir: string): string => {
  const inside = path.join(dataDir, "control.sock")
  if (Buffer.byteLength(inside) < 96) return inside
  const hash = createHash("sha256").update(dataDir).digest("hex").slice(0, 16)
  return path.join(os.tmpdir(), `floodgate-${process.getuid?.() ?? 0}-${hash}.sock`)
}

/** Who says to run in this data folder; they may be dead. */
export const presence = (dataDir: string): Presence | undefined => {
  try {
    return JSON.parse(fs.readFileSync(presenceFile(dataDir), "utf8")) as Presence
  } catch {
    return undefined
  }
}

/** What a restart may ask for: a newer build, and values over everything else that the service is told, for one life. */
export interface Restart {
  readonly build?: Build
  readonly env?: Readonly<Record<string, string>>
}

/** The events so far, for those who connect late, and those to come. Bounded: a stack tells little. */
export class Journal {
  readonly #kept: Array<Event> = []
  readonly #listeners = new Set<(event: Event) => void>()

  readonly add = (event: Event): void => {
    this.#kept.push(event)
    if (this.#kept.length > 1000) this.#kept.shift()
    for (const listener of this.#listeners) listener(event)
  }

  listen(listener: (event: Event) => void): () => void {
    for (const event of this.#kept) listener(event)
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** An open door. */
export interface Door {
  /** Takes the socket and `supervisor.json` away; gives those who listen a second to hear the last word. */
  readonly close: () => Promise<void>
}

/** Opens the door. Fails with a StackError when another supervisor holds this data folder. */
export const serve = async (options: {
  readonly dataDir: string
  readonly portBase: number
  readonly supervisor: Supervisor
  readonly journal: Journal
  /** Asked to stop everything and end. */
  readonly onDown: () => void
}): Promise<Door> => {
  const { dataDir, portBase, supervisor, journal, onDown } = options
  const running = presence(dataDir)
  if (running !== undefined && (await isAlive(dataDir))) {
    throw new StackError(
      `A stack already runs in ${dataDir} (pid ${running.pid}). "pnpm stack down" stops it; --data names another folder.`,
    )
  }
  fs.mkdirSync(dataDir, { recursive: true })
  const socket = socketPath(dataDir)
  fs.rmSync(socket, { force: true })

  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://supervisor")
    const [, area, name, action] = pathname.split("/")
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" })
      response.end(JSON.stringify(body))
    }
    const finish = (work: Promise<unknown>) =>
      work.then(
        (value) => answer(200, value ?? null),
        (cause) => answer(cause instanceof StackError ? 409 : 500, { message: describe(cause) }),
      )
    if (request.method === "GET" && area === "status") return void finish(supervisor.status())
    if (request.method === "GET" && area === "events") {
      response.writeHead(200, { "content-type": "application/x-ndjson" })
      const silence = journal.listen((event) => {
        response.write(`${JSON.stringify(event)}\n`)
        if (event.type === "failed") response.end()
      })
      response.once("close", silence)
      return
    }
    if (request.method === "POST" && area === "down") {
      onDown()
      return answer(200, null)
    }
    if (request.method === "POST" && area === "components" && name !== undefined) {
      if (action === "stop") return void finish(supervisor.stopOne(name))
      if (action === "kill") return void finish(supervisor.killOne(name))
      if (action === "restart") {
        return void finish(
          readJson(request).then((wish) => supervisor.restart(name, wish as Restart | undefined)),
        )
      }
    }
    answer(404, { message: `The supervisor knows nothing about ${request.method} ${pathname}.` })
  })
  // A restart may take a minute.
  server.requestTimeout = 0
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(socket, resolve)
  })
  fs.chmodSync(socket, 0o600)
  const said: Presence = { pid: process.pid, socket, portBase, startedAt: new Date().toISOString() }
  const writing = `${presenceFile(dataDir)}.${process.pid}`
  fs.writeFileSync(writing, `${JSON.stringify(said, null, 2)}\n`)
  fs.renameSync(writing, presenceFile(dataDir))
  return {
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeIdleConnections()
      await Promise.race([closed, sleep(1000, undefined, { ref: false })])
      server.closeAllConnections()
      fs.rmSync(socket, { force: true })
      fs.rmSync(presenceFile(dataDir), { force: true })
    },
  }
}

/** A small JSON body; undefined for an empty one. */
const readJson = async (request: http.IncomingMessage): Promise<unknown> => {
  let text = ""
  for await (const chunk of request) {
    text += chunk
    if (text.length > 65_536) throw new StackError("The request is too long.")
  }
  return text === "" ? undefined : (JSON.parse(text) as unknown)
}

const connectTo = (dataDir: string, method: string, target: string, timeoutMs: number, body?: unknown) =>
  new Promise<http.IncomingMessage>((resolve, reject) => {
    const nobody = () =>
      new StackError(`No stack runs in ${dataDir}. "pnpm start" or "pnpm stack up" starts one.`)
    const running = presence(dataDir)
    if (running === undefined) return reject(nobody())
    const request = http.request(
      { socketPath: running.socket, method, path: target, timeout: timeoutMs },
      resolve,
    )
    request.once("timeout", () =>
      request.destroy(new StackError(`The supervisor (pid ${running.pid}) is silent.`)),
    )
    request.once("error", (cause: NodeJS.ErrnoException) =>
      reject(cause.code === "ECONNREFUSED" || cause.code === "ENOENT" ? nobody() : cause),
    )
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })

/** One question to the supervisor of this data folder. Fails with a StackError: its own message, or that none runs. */
export const ask = async (
  dataDir: string,
  method: "GET" | "POST",
  target: string,
  options: { readonly timeoutMs?: number; readonly body?: unknown } = {},
): Promise<unknown> => {
  const response = await connectTo(dataDir, method, target, options.timeoutMs ?? 10_000, options.body)
  let text = ""
  for await (const chunk of response) text += chunk
  const body = JSON.parse(text) as { message?: string }
  if (response.statusCode === 200) return body
  throw new StackError(body.message ?? `The supervisor answered ${response.statusCode}.`)
}

/** True when a supervisor answers for this data folder. */
export const isAlive = async (dataDir: string): Promise<boolean> => {
  try {
    const response = await connectTo(dataDir, "GET", "/ping", 2000)
    response.resume()
    return true
  } catch {
    return false
  }
}

/** The supervisor's events, from the first one, until it ends. */
export async function* events(dataDir: string): AsyncGenerator<Event> {
  const response = await connectTo(dataDir, "GET", "/events", 0)
  let rest = ""
  try {
    for await (const chunk of response) {
      rest += chunk
      const lines = rest.split("\n")
      rest = lines.pop() ?? ""
      for (const text of lines) yield JSON.parse(text) as Event
    }
  } finally {
    response.destroy()
  }
}
