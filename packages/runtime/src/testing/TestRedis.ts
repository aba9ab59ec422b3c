/** A redis-server of the test file's own, which it may stop, freeze and empty as it likes. For tests only. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as RedisModule from "../redis/Redis.ts"
import { inject } from "./Injected.ts"

export interface RedisServer {
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  readonly port: number
  /** SIGTERM: it writes its data first. */
  readonly stop: Effect.Effect<void>
  /** SIGKILL. */
  readonly kill: Effect.Effect<void>
  /** Starts it again, on its data and port; done when it answers. */
  readonly start: Effect.Effect<void>
  /** SIGSTOP: connections stay open, nothing is answered. */
  readonly pause: Effect.Effect<void>
  /** SIGCONT. */
  readonly resume: Effect.Effect<void>
  readonly flushall: Effect.Effect<void>
  /** One inline command, and the first line of the answer. */
  readonly command: (line: string) => Effect.Effect<string>
}

export class TestRedisServer extends Context.Tag("@floodgate/runtime/testing/TestRedisServer")<
  TestRedisServer,
  RedisServer
>() {}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = net.createServer()
    probe.once("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as net.AddressInfo
      probe.close(() => resolve(port))
    })
  })

/** Sends an inline command, and answers what `wanted` matches (its first group) as soon as it does. */
const ask = (port: number, line: string, withinMs: number, wanted = /^(.*)\r\n/): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(`${line}\r\n`))
    let answer = ""
    socket.setTimeout(withinMs, () => socket.destroy(new Error(`no answer to ${line}`)))
    socket.on("error", reject)
    socket.on("data", (data) => {
      answer += data.toString("utf8")
      const match = wanted.exec(answer)
      if (match === null) return
      resolve(match[1] ?? "")
      socket.destroy()
    })
    socket.on("close", () => reject(new Error("closed")))
  })

/** Ends the server and its folder when this process is gone, even by SIGKILL: the shell's input ends with us. */
const GUARDIAN = `
trap '' HUP INT TERM
while read -r _; do :; done
kill -KILL "$1" 2>/dev/null
rm -rf "$2"
`

class Server {
  readonly #binary: string
  readonly #dir: string
  readonly #extra: ReadonlyArray<string>
  #port = 0
  #child: ChildProcess | undefined
  #guardian: ChildProcess | undefined

  constructor(binary: string, extra: ReadonlyArray<string>) {
    this.#binary = binary
    this.#extra = extra
    this.#dir = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-redis-"))
  }

  get port(): number {
    return this.#port
  }

  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (this.#port === 0) this.#port = await freePort()
      const child = spawn(this.#binary, this.#args(), { argv0: "redis-server", stdio: "ignore" })
      this.#child = child
      this.#guardian = spawn("/bin/sh", ["-c", GUARDIAN, "sh", String(child.pid), this.#dir], {
        detached: true,
        stdio: ["pipe", "ignore", "ignore"],
      })
      if (await this.#answers(child)) return
      this.#letGo()
      // Somebody took the port between our probe and its bind.
      if (attempt === 5) throw new Error(`redis-server doesn't start: ${this.#log()}`)
      if (fs.readdirSync(this.#dir).every((name) => name === "redis.log")) this.#port = 0
    }
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()))
    child.kill(signal)
    // A frozen process minds only SIGKILL; and it mustn't run anything more before that one.
    if (signal === "SIGTERM") child.kill("SIGCONT")
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000)
    await exited
    clearTimeout(timer)
    this.#letGo()
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child?.kill(signal)
  }

  async dispose(): Promise<void> {
    await this.end("SIGKILL")
    fs.rmSync(this.#dir, { recursive: true, force: true })
  }

  #args(): Array<string> {
    return [
      ...["--port", String(this.#port), "--bind", "127.0.0.1", "--dir", this.#dir],
      ...["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
      ...["--maxmemory-policy", "noeviction", "--logfile", path.join(this.#dir, "redis.log")],
      ...this.#extra,
    ]
  }

  async #answers(child: ChildProcess): Promise<boolean> {
    const until = Date.now() + 20_000
    while (Date.now() < until && child.exitCode === null && child.signalCode === null) {
      // PONG alone could come from another server that took the port.
      const id = await ask(this.#port, "INFO server", 1_000, /process_id:(\d+)/).catch(() => "")
      if (id === String(child.pid) && (await ask(this.#port, "PING", 1_000)) === "+PONG") return true
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return false
  }

  /** The process is gone: its number may soon be somebody else's. */
  #letGo(): void {
    this.#guardian?.kill("SIGKILL")
    this.#guardian = undefined
    this.#child = undefined
  }

  #log(): string {
    try {
      return fs.readFileSync(path.join(this.#dir, "redis.log"), "utf8").split("\n").slice(-5).join("\n")
    } catch {
      return "it wrote no log"
    }
  }
}

/** Starts a server that ends with the scope. `extra` are more arguments of redis-server. */
export const make = (extra: ReadonlyArray<string> = []): Effect.Effect<RedisServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => new Server(inject("redisServerBinary"), extra)),
      (started) => Effect.promise(() => started.dispose()),
    )
    yield* Effect.promise(() => server.start())
    const command = (line: string) => Effect.promise(() => ask(server.port, line, 5_000))
    return {
      url: `redis://127.0.0.1:${server.port}`,
      port: server.port,
      stop: Effect.promise(() => server.end("SIGTERM")),
      kill: Effect.promise(() => server.end("SIGKILL")),
      start: Effect.promise(() => server.start()),
      pause: Effect.sync(() => server.signal("SIGSTOP")),
      resume: Effect.sync(() => server.signal("SIGCONT")),
      flushall: Effect.asVoid(command("FLUSHALL")),
      command,
    }
  })

/**
 * A Redis Cluster of so many primaries with equal ranges of slots and no replicas; the slots of one that is down are
 * refused, the others go on. Ends with the scope.
 */
export const makeCluster = (
  primaries: number,
): Effect.Effect<
  { readonly url: string; readonly servers: ReadonlyArray<RedisServer> },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const nodes = yield* Effect.forEach(
      Array.from({ length: primaries }),
      () =>
        Effect.gen(function* () {
          // Redis' own choice, port + 10,000, is out of range for a high port.
          const busPort = yield* Effect.promise(freePort)
          const server = yield* make([
            ...["--cluster-enabled", "yes", "--cluster-port", String(busPort)],
            ...["--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"],
          ])
          return { server, busPort }
        }),
      { concurrency: "unbounded" },
    )
    const bound = (i: number) => Math.round((i * 16_384) / primaries)
    for (const [i, { server }] of nodes.entries()) {
      yield* server.command(`CLUSTER SET-CONFIG-EPOCH ${i + 1}`)
      yield* server.command(`CLUSTER ADDSLOTSRANGE ${bound(i)} ${bound(i + 1) - 1}`)
      yield* nodes[0]!.server.command(`CLUSTER MEET 127.0.0.1 ${server.port} ${nodes[i]!.busPort}`)
    }
    yield* Effect.promise(async () => {
      const until = Date.now() + 20_000
      for (const { server } of nodes) {
        const settled = new RegExp(
          `(cluster_state:ok[^]*cluster_slots_assigned:16384[^]*cluster_known_nodes:${primaries})\\r`,
        )
        while ((await ask(server.port, "CLUSTER INFO", 200, settled).catch(() => "")) === "") {
          if (Date.now() > until) throw new Error("the cluster doesn't settle")
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
      }
    })
    const servers = nodes.map(({ server }) => server)
    return { servers, url: `redis-cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join(",")}` }
  })

/** A server, and `Redis` connected to it. */
export const layer: Layer.Layer<RedisModule.Redis | TestRedisServer> = Layer.unwrapEffect(
  Effect.map(TestRedisServer, (server) =>
    RedisModule.layer({ url: Config.succeed(Redacted.make(server.url)) }),
  ),
).pipe(Layer.provide(Readiness.layer), Layer.orDie, Layer.provideMerge(Layer.scoped(TestRedisServer, make())))
