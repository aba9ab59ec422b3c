/**
 * A whole stack to break: several of every service, proxies in front of engines and services, hooks in a test build,
 * buyers with tokens, and the ledger that checks it all. Started once for many rows, each of which sells products of its
 * own.
 */
import { randomUUID } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { WalletEntryKind } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { FaultProxy } from "@floodgate/runtime/testing/FaultProxy"
import { gather } from "@floodgate/stack/demo/Buyers"
import { runEffect } from "@floodgate/stack/RunEffect"
import * as Secrets from "@floodgate/stack/Secrets"
import type { Status } from "@floodgate/stack/supervisor/Status"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Edge } from "../support/Edge.ts"
import { poll } from "../support/Poll.ts"
import { freeBase, Stack } from "../support/Stack.ts"
import { CrashOrders } from "./CrashOrders.ts"
import type { Buyer } from "./Crowd.ts"
import { Ledger } from "./Ledger.ts"
import { patient } from "./Patience.ts"

/** Which stack a row needs. */
export type WorldName = "sale" | "cluster" | "brokers" | "streams"

/** What services reach by way of a proxy of ours, in the stacks that have one server of each engine. */
export const proxied = ["mysql", "redis", "kafka", "identity", "inventory", "ordering", "payment"] as const
export type Proxied = (typeof proxied)[number]

interface Kind {
  readonly shape: ReadonlyArray<string>
  readonly proxies: ReadonlyArray<Proxied>
  /** Ports are looked for, for so many instances of everything. */
  readonly instances: number
}

const kinds: Readonly<Record<WorldName, Kind>> = {
  // Two of everything: whoever is killed has a fellow that goes on.
  sale: { shape: ["--replicas", "2"], proxies: proxied, instances: 2 },
  cluster: {
    shape: ["--instances", "ordering=2", "--redis", "cluster"],
    proxies: ["mysql", "kafka"],
    instances: 6,
  },
  streams: { shape: ["--replicas", "2", "--bus", "redis"], proxies: ["mysql", "redis"], instances: 2 },
  brokers: {
    shape: ["--instances", "ordering=2", "--brokers", "3"],
    proxies: ["mysql", "redis"],
    instances: 3,
  },
}

export const BUYERS = 80
const WALLET = 10_000_000

/** Tokens last 15 min. */
const TOKENS_MS = 6 * 60_000

/** How long a component may take to be ready again after its fault has ended. */
const READY_MS = 60_000

export class World {
  readonly name: WorldName
  readonly stack: Stack
  readonly edges: ReadonlyArray<Edge>
  readonly ledger: Ledger
  readonly crash: CrashOrders
  readonly #components: ReadonlyArray<string>
  readonly #proxies: ReadonlyMap<Proxied, FaultProxy>
  readonly #frozen = new Set<number>()
  #buyers: ReadonlyArray<Buyer> = []
  #buyersAtMs = 0
  #operator = ""
  #admin = ""

  private constructor(
    name: WorldName,
    stack: Stack,
    status: Status,
    proxies: ReadonlyMap<Proxied, FaultProxy>,
    crash: CrashOrders,
  ) {
    this.name = name
    this.stack = stack
    this.#proxies = proxies
    this.crash = crash
    this.#components = Object.keys(status)
    const edges = this.#components.filter((each) => /^edge(-\d)?$/.test(each))
    this.edges = edges.map((each) => new Edge(status[each]!.url!))
    this.ledger = new Ledger({
      mysql: status["mysql"]!.url!,
      redis: status["redis"]!.url!,
      kafka: status["kafka"]?.url,
      journal: join(stack.data, "sandbox", "ledger.jsonl"),
    })
  }

  static async start(name: WorldName, env: ReadonlyArray<string> = []): Promise<World> {
    const kind = kinds[name]
    const data = await mkdtemp(join(tmpdir(), `floodgate-faults-${name}-`))
    const crash = new CrashOrders(join(data, "faults"))
    const portBase = await freeBase(kind.instances)
    const stack = new Stack(data, portBase, { FLOODGATE_FAULT_HOOKS: "1", OTEL_TRACES_EXPORTER: "none" })
    const proxies = new Map<Proxied, FaultProxy>()
    for (const target of kind.proxies) {
      proxies.set(target, await FaultProxy.open({ host: "127.0.0.1", port: stack.port(target) }))
    }
    try {
      await stack.up([
        ...kind.shape,
        ...["--only", "services,mysql,redis,bus"],
        ...[...proxies].flatMap(([target, proxy]) => ["--via", `${target}=${proxy.port}`]),
        ...["--env", `FLOODGATE_FAULTS_DIR=${crash.folder}`],
        ...env.flatMap((each) => ["--env", each]),
      ])
      const world = new World(name, stack, await stack.status(), proxies, crash)
      await world.buyers()
      return world
    } catch (cause) {
      await stack.down().catch(() => undefined)
      for (const proxy of proxies.values()) await proxy.close()
      throw cause
    }
  }

  async stop(keep: boolean): Promise<void> {
    this.#resume()
    for (const proxy of this.#proxies.values()) proxy.heal()
    await this.ledger.close()
    await this.stack.command(keep ? ["down"] : ["down", "--wipe"])
    for (const proxy of this.#proxies.values()) await proxy.close()
    if (!keep) await rm(this.stack.data, { recursive: true, force: true })
  }

  /** What stands between the services and this one. */
  proxy(name: Proxied): FaultProxy {
    const proxy = this.#proxies.get(name)
    if (proxy === undefined) throw new Error(`the ${this.name} world has no proxy in front of ${name}`)
    return proxy
  }

  /** Signed-in buyers with full wallets; their tokens are good for some minutes. */
  async buyers(): Promise<ReadonlyArray<Buyer>> {
    if (Date.now() - this.#buyersAtMs < TOKENS_MS) return this.#buyers
    const serviceKey = Secrets.serviceKey(Secrets.load(this.stack.data))
    const identity = `127.0.0.1:${this.stack.port("identity")}`
    const first = this.#buyers.length === 0
    // Those who are there already are kept, so a busy identity only takes longer.
    let trouble: unknown
    this.#buyers = await poll(
      "every buyer is signed in",
      () =>
        gather({
          dataDir: this.stack.data,
          identity,
          serviceKey,
          count: BUYERS,
          progress: () => {},
        }).catch((cause: unknown) => {
          trouble = cause
          return undefined
        }),
      patient(30_000),
    ).catch((cause) => {
      throw trouble ?? cause
    })
    this.#operator = (await this.edges[0]!.demo("operator")).token
    this.#admin = (await this.edges[0]!.demo("admin")).token
    this.#buyersAtMs = Date.now()
    if (first) {
      const credential = ServiceCredential.make({ service: "stack", keys: [Redacted.make(serviceKey)] })
      const fill = Effect.flatMap(IdentityClient, (client) =>
        Effect.forEach(
          this.#buyers,
          ({ id }) =>
            client.creditWallet({
              creditId: `faults-${id}`,
              userId: BigInt(id),
              amount: BigInt(WALLET),
              currency: "CNY",
              kind: WalletEntryKind.TOPUP,
            }),
          { concurrency: 8, discard: true },
        ),
      )
      await runEffect(Effect.provide(fill, IdentityClient.layer({ url: identity, credential })))
    }
    return this.#buyers
  }

  /** Publishes a product on sale at once; returns when it is live at every edge. */
  async publish(fields: Readonly<Record<string, unknown>>): Promise<number> {
    await this.buyers()
    const form = () => ({
      key: randomUUID(),
      body: {
        name: "something to break",
        price: 100,
        start_time: new Date(Date.now() + 700).toISOString(),
        ...fields,
      },
    })
    // As our clients do: the same form under the same key, until the answer is definite.
    let { key, body } = form()
    const product = await poll(
      "a product is published",
      async () => {
        const answer = await this.edges[0]!.post("/products", body, { token: this.#operator, key })
        if (answer.code === 0) return answer.data
        // It took so long that the start lies in the past.
        if (answer.status === 400) ({ key, body } = form())
        else if (answer.status !== 503 && answer.code !== 522)
          throw new Error(`publishing answered ${answer.status}/${answer.code}: ${answer.msg}`)
        return undefined
      },
      patient(20_000),
    )
    for (const edge of this.edges) {
      await poll(
        `product ${product.id} is live`,
        async () => (await edge.get(`/product/${product.id}`)).data?.status === "live",
        patient(20_000),
      )
    }
    return product.id as number
  }

  /** The token of an operator, who runs sales. */
  get operator(): string {
    return this.#operator
  }

  /** The token of an administrator, who may do everything. */
  get admin(): string {
    return this.#admin
  }

  /** How many instances of a service there are. */
  instancesOf(service: string): number {
    return this.#components.filter((name) => name.replace(/-\d+$/, "") === service).length
  }

  async pid(component: string): Promise<number> {
    const pid = (await this.stack.status())[component]?.pid
    if (pid === undefined) throw new Error(`${component} doesn't run`)
    return pid
  }

  /** The component that is this process; undefined for one that is gone. */
  async componentOf(pid: number, status: Status): Promise<string | undefined> {
    return Object.entries(status).find(([, each]) => each.pid === pid)?.[0]
  }

  /** SIGSTOP; `thaw` or `heal` sends the SIGCONT. */
  async freeze(component: string): Promise<number> {
    const pid = await this.pid(component)
    process.kill(pid, "SIGSTOP")
    this.#frozen.add(pid)
    return pid
  }

  /** A process that was stopped by a hook is ours to wake. */
  noteFrozen(pid: number): void {
    this.#frozen.add(pid)
  }

  thaw(pid: number): void {
    this.#frozen.delete(pid)
    try {
      process.kill(pid, "SIGCONT")
    } catch {
      // It was killed meanwhile.
    }
  }

  #resume(): void {
    for (const pid of this.#frozen) this.thaw(pid)
  }

  /** Ends every fault: nobody is stopped, held or cut off, and what was killed runs again. Returns when all are ready. */
  async heal(): Promise<void> {
    this.crash.clear()
    this.#resume()
    for (const proxy of this.#proxies.values()) proxy.heal()
    const status = await this.stack.status()
    const dead = Object.entries(status).filter(([, { state }]) => state === "exited" || state === "stopped")
    // Engines first: a service isn't ready without them.
    const isEngine = (name: string) => /^(mysql|redis|kafka|bus)/.test(name)
    await Promise.all(dead.filter(([name]) => isEngine(name)).map(([name]) => this.restart(name)))
    await Promise.all(dead.filter(([name]) => !isEngine(name)).map(([name]) => this.restart(name)))
  }

  /**
   * Starts a component again, with these values over all others; returns when it is ready. One that doesn't find its
   * database in time ends, as an orchestrator expects of it, and is started once more.
   */
  async restart(name: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    for (const untilMs = Date.now() + patient(READY_MS); ; ) {
      try {
        return await this.stack.restart(name, env)
      } catch (cause) {
        if (Date.now() > untilMs) throw cause
      }
    }
  }

  /** Returns when every component says that it is ready. */
  async ready(): Promise<void> {
    let last = ""
    await poll(
      "everything is ready",
      async () => {
        const status = await this.stack.status()
        const not = Object.entries(status).filter(([, { state }]) => state !== "ready")
        last = not.map(([name, { state }]) => `${name} ${state}`).join(", ")
        return not.length === 0
      },
      patient(READY_MS),
    ).catch((cause) => {
      throw new Error(`${(cause as Error).message}: ${last}`)
    })
  }
}
