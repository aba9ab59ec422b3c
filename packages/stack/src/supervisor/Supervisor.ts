/**
 * Owns the processes of one stack: engines, then databases and topics, then services, then demo data. It revives
 * nothing by itself: a process that ends stays down until someone restarts it, so that faults stay visible.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import * as PortTable from "@floodgate/runtime/config/Ports"
import * as Databases from "../Databases.ts"
import { type EnginePlans, type EngineWishes, type Environment, given, plan } from "../Engines.ts"
import * as Grafana from "../engines/Grafana.ts"
import type { Plan } from "../engines/Install.ts"
import * as Jaeger from "../engines/Jaeger.ts"
import * as Kafka from "../engines/Kafka.ts"
import * as MariaDb from "../engines/MariaDb.ts"
import * as Prometheus from "../engines/Prometheus.ts"
import * as RedisCluster from "../engines/RedisCluster.ts"
import * as RedisServer from "../engines/RedisServer.ts"
import { Child, type LaunchSpec } from "../process/Child.ts"
import * as Ports from "../process/Ports.ts"
import * as Requirements from "../Requirements.ts"
import * as Secrets from "../Secrets.ts"
import {
  type Database,
  databases,
  facts,
  type Instance,
  instanceName,
  instanceOf,
  type Selection,
  type Service,
  services,
} from "../Services.ts"
import * as Shape from "../Shape.ts"
import { describe, StackError } from "../StackError.ts"
import * as Web from "../Web.ts"
import type { Event } from "./Events.ts"
import type { ComponentStatus, Status } from "./Status.ts"

/**
 * How Node runs a service; containers do the same (`ops/docker/Dockerfile`).
 *
 * - A young generation of that size (MB) outlives a request in a rush, which waits some tens of milliseconds, and what an
 *   open connection holds of its last one. With the default most of both are copied, which was an eighth of the edge's
 *   processor time, and grow old, for a collection of everything to find.
 * - One thread beside the main one for garbage collection and compiling, not four: on few cores those four took the
 *   processor from the one that answers, for a quarter of a second at a time, while they marked the old generation.
 */
export const NODE_OPTIONS = ["--enable-source-maps", "--max-semi-space-size=64", "--v8-pool-size=1"]

/** The bundles that the launcher made. */
export interface Build {
  /** Folder with `<service>.js`. */
  readonly folder: string
  /** Why the services couldn't be bundled; then only engines can run. */
  readonly problem: string | undefined
}

export interface Options {
  /** The repository's root. */
  readonly root: string
  readonly dataDir: string
  readonly portBase: number
  readonly selection: Selection
  readonly wishes: EngineWishes
  readonly shape: Shape.Shape
  readonly env: Environment
  readonly build: Build
  readonly report: (event: Event) => void
}

/** Where a stack's services keep the signed heads of their audit trails. */
export const auditHeadFile = (dataDir: string): string => path.join(dataDir, "audit", "heads.jsonl")

/** Longest time for a service to become ready: it may have to rebuild Redis from MySQL first. */
const serviceReadyMs = 60_000

/** A service drains for at most 10 s and then exits by itself. */
const serviceStopMs = 12_000

export class Supervisor {
  readonly #options: Options
  readonly #children = new Map<string, Child>()
  readonly #external = new Map<string, ComponentStatus>()
  #build: Build
  #plans: EnginePlans | undefined
  #secrets: Secrets.Secrets | undefined
  /** The folder of the built web pages; undefined: there are none. */
  #webDir: string | undefined
  #stopping: Promise<void> | undefined
  /** Migrations that run now. A stop waits for them: DDL that is cut off has to be repaired by hand. */
  #migrating: Promise<unknown> = Promise.resolve()
  /** Whether a component has been started once: only then is its end a loss. */
  readonly #watched = new Set<Child>()

  constructor(options: Options) {
    this.#options = options
    this.#build = options.build
  }

  /** True in dev, the only environment in which engines are started and values guessed. */
  get #isDev(): boolean {
    return (given(this.#options.env, "APP_ENV") ?? "dev") === "dev"
  }

  /** Brings everything up. When it fails, everything that was started has been stopped again. */
  async start(): Promise<void> {
    const began = Date.now()
    try {
      this.#checkServices()
      if (this.#isDev) await this.#startDev()
      else await this.#startElsewhere()
      if (this.#stopping !== undefined) throw new StackError("stopped while starting")
      this.#options.report({ type: "ready", ms: Date.now() - began })
    } catch (cause) {
      await this.stop()
      throw cause
    }
  }

  async #startDev(): Promise<void> {
    const { env, selection, wishes, dataDir } = this.#options
    this.#plans = await plan(env, wishes)
    await this.#checkPorts()
    fs.mkdirSync(dataDir, { recursive: true })
    const secrets = Secrets.load(dataDir)
    this.#secrets = secrets
    const { mysql, redis, bus: busPlan, jaeger } = this.#plans
    const wanted = selection.engines
    for (const [name, chosen] of [
      ["mysql", mysql],
      ["redis", redis],
      ["bus", busPlan],
    ] as const) {
      if (wanted.has(name) && chosen.how === "none") throw new StackError(chosen.why)
    }

    const stores: Array<Promise<void>> = []
    if (wanted.has("mysql")) stores.push(this.#bringMysql(mysql, secrets))
    if (wanted.has("redis")) stores.push(this.#bringRedis(redis))
    const bus = wanted.has("bus") ? this.#bringBus(busPlan) : Promise.resolve()
    const web = this.#buildWeb()
    await Promise.all([
      this.#bringJaeger(jaeger),
      bus,
      Promise.all(stores).then(() => this.#startServices(bus, web)),
    ])
    await this.#seed()
    if (wishes.observe) await this.#bringObservers()
  }

  /** Last, so that nothing that is still starting is told as down. */
  async #bringObservers(): Promise<void> {
    const { root } = this.#options
    const place = (name: string) => ({ ...this.#place(name), root })
    const url = (name: PortTable.PortName) => `http://127.0.0.1:${this.#port(name)}`
    const [prometheus, alertmanager, grafana] = await Promise.all([
      Prometheus.plan("prometheus"),
      Prometheus.plan("alertmanager"),
      Grafana.plan(),
    ])
    await this.#engine("alertmanager", alertmanager, url("alertmanager"), () =>
      Prometheus.prepareAlertmanager(alertmanager, {
        ...place("alertmanager"),
        port: this.#port("alertmanager"),
      }),
    )
    await this.#engine("prometheus", prometheus, url("prometheus"), () =>
      Prometheus.prepare(prometheus, {
        ...place("prometheus"),
        port: this.#port("prometheus"),
        alertmanager: `127.0.0.1:${this.#port("alertmanager")}`,
        targets: this.#instances.flatMap((instance) =>
          this.#opsPorts(instance).map((port, i) => ({
            job: instance.service,
            instance: i === 0 ? instanceName(instance) : `${instanceName(instance)}.${i}`,
            address: `127.0.0.1:${port}`,
          })),
        ),
      }),
    )
    if (grafana.how === "none") return this.#say(grafana.why)
    await this.#engine("grafana", grafana, url("grafana"), () =>
      Grafana.prepare(grafana, {
        ...place("grafana"),
        port: this.#port("grafana"),
        prometheusUrl: url("prometheus"),
      }),
    )
  }

  async #bringJaeger(chosen: Plan): Promise<void> {
    if (!this.#options.selection.engines.has("jaeger")) return
    if (chosen.how === "none") return this.#say(chosen.why)
    const ports = this.#jaegerPorts()
    await this.#engine("jaeger", chosen, `http://127.0.0.1:${ports.query}`, () =>
      Jaeger.prepare(chosen, { ...this.#place("jaeger"), ports, root: this.#options.root }),
    )
  }

  /** Stage and prod: nothing is installed, started or guessed but the services, and those know all they need. */
  async #startElsewhere(): Promise<void> {
    const { env, selection } = this.#options
    await Requirements.check(env, selection.services)
    await this.#checkPorts()
    await this.#startServices(Promise.resolve(), this.#buildWeb())
  }

  async #bringMysql(chosen: Plan, secrets: Secrets.Secrets): Promise<void> {
    const port = this.#port("mysql")
    await this.#engine("mysql", chosen, MariaDb.rootUrl(port), () =>
      MariaDb.prepare(chosen, { ...this.#place("mysql"), port }),
    )
    // A half-empty selection is migrated as far as it goes: ordering also reaches into inventory's tables.
    const needed = new Set<Database>()
    for (const service of this.#options.selection.services) {
      const { database } = facts[service]
      if (database !== undefined) needed.add(database)
      if (service === "ordering") needed.add("inventory")
    }
    if (chosen.how !== "url") {
      await this.#step("databases", async () => {
        await Databases.createDatabases(MariaDb.rootUrl(port), secrets.mysqlPasswords)
        return `${databases.join(", ")}, a user each`
      })
    }
    if (needed.size === 0) return
    await this.#step("migrations", async () => {
      const urls = Object.fromEntries([...needed].map((name) => [name, this.#migrationUrl(name)]))
      const running = Databases.migrate(this.#options.root, urls)
      this.#migrating = running.catch(() => {})
      const ran = await running
      if (chosen.how !== "url") await Databases.grant(MariaDb.rootUrl(port), needed)
      return ran.length === 0 ? "nothing new" : `${ran.length} run`
    })
  }

  #migrationUrl(name: Database): string {
    return (
      given(this.#options.env, `MYSQL_URL_${name.toUpperCase()}`) ??
      Databases.withDatabase(MariaDb.rootUrl(this.#port("mysql")), name)
    )
  }

  async #bringRedis(chosen: Plan): Promise<void> {
    const nodes = this.#redisNodes
    await Promise.all(
      nodes.map(({ name, port, gossipPort }) =>
        this.#engine(name, chosen, RedisServer.url(port), () =>
          RedisServer.prepare(chosen, {
            name,
            ...this.#place(name),
            port,
            appendFsync: "everysec",
            extra: nodes.length === 1 ? [] : RedisCluster.settings(gossipPort),
          }),
        ),
      ),
    )
    if (nodes.length === 1 || chosen.how === "url") return
    if (chosen.how === "docker") throw new StackError("A Redis cluster needs redis-server on this machine.")
    await this.#step("redis cluster", async () => {
      await RedisCluster.form(nodes)
      return "three primaries, a replica each"
    })
  }

  get #redisNodes(): ReadonlyArray<{
    readonly name: string
    readonly port: number
    readonly gossipPort: number
  }> {
    const count = this.#options.shape.redis === "cluster" ? Shape.CLUSTER_NODES : 1
    return Array.from({ length: count }, (_, i) => ({
      name: engineName("redis", i + 1),
      port: this.#port("redis", i + 1),
      gossipPort: this.#port("redisGossip", i + 1),
    }))
  }

  /** What services are told of Redis. */
  get #redisUrl(): string {
    const ports = this.#redisNodes.map(({ port }) => port)
    return ports.length === 1
      ? RedisServer.url(this.#options.shape.via.redis ?? ports[0]!)
      : RedisCluster.url(ports)
  }

  get #brokerNumbers(): ReadonlyArray<number> {
    return Array.from({ length: this.#options.shape.brokers }, (_, i) => i + 1)
  }

  /** What services are told of Kafka. */
  get #kafkaBrokers(): string {
    return this.#brokerNumbers.map((number) => Kafka.brokers(this.#advertised(number))).join(",")
  }

  #advertised(broker: number): number {
    return (broker === 1 ? this.#options.shape.via.kafka : undefined) ?? this.#port("kafka", broker)
  }

  async #bringBus(chosen: EnginePlans["bus"]): Promise<void> {
    const { root } = this.#options
    if (chosen.kind === "kafka") {
      const numbers = this.#brokerNumbers
      const controllerPorts = numbers.map((number) => this.#port("kafkaController", number))
      await Promise.all(
        numbers.map((number) => {
          const name = engineName("kafka", number)
          const port = this.#port("kafka", number)
          return this.#engine(name, chosen, Kafka.brokers(port), () =>
            Kafka.prepare(chosen, {
              ...this.#place(name),
              port,
              controllerPort: controllerPorts[number - 1]!,
              advertisedPort: this.#advertised(number),
              root,
              ...(numbers.length === 1
                ? {}
                : {
                    member: { id: number, controllerPorts, clusterDir: this.#place("kafka-cluster").dataDir },
                  }),
            }),
          )
        }),
      )
    } else {
      const port = this.#port("redisBus")
      this.#say(chosen.why)
      await this.#engine("bus", chosen, RedisServer.url(port), () =>
        RedisServer.prepare(chosen, { name: "bus", ...this.#place("bus"), port, appendFsync: "always" }),
      )
    }
    await this.#step("topics", async () => {
      const Topics = await import("../Topics.ts")
      await Topics.ensure(this.#environment())
      return "as the contracts say"
    })
  }

  /** The services to start: those asked for that exist here. */
  get #chosen(): ReadonlyArray<Service> {
    return services.filter(
      (name) => this.#options.selection.services.has(name) && (this.#isDev || !facts[name].devOnly),
    )
  }

  /** As many of each service as the shape says. */
  get #instances(): ReadonlyArray<Instance> {
    return this.#chosen.flatMap((service) =>
      Array.from({ length: Shape.instancesOf(this.#options.shape, service) }, (_, i) => ({
        service,
        number: i + 1,
      })),
    )
  }

  /** Fails before anything is started when a service couldn't run anyway. */
  #checkServices(): void {
    if (this.#chosen.length > 0 && this.#build.problem !== undefined)
      throw new StackError(this.#build.problem)
    for (const name of this.#chosen) {
      if (!fs.existsSync(path.join(this.#options.root, facts[name].entry))) {
        throw new StackError(`${name} can't be started: ${facts[name].entry} is missing.`)
      }
    }
  }

  /**
   * Builds the web pages where their sources have changed, beside everything else. An edge without them still sells, so
   * a build that fails is said and stops nothing.
   */
  async #buildWeb(): Promise<void> {
    const { env, root } = this.#options
    if (given(env, "WEB_DIR") !== undefined || !this.#chosen.includes("edge")) return
    const began = Date.now()
    try {
      this.#webDir = await Web.build(root)
      this.#options.report({ type: "done", step: "web pages", ms: Date.now() - began, detail: "as built" })
    } catch (cause) {
      this.#say(`The web pages can't be built, so none are served: ${describe(cause)}`)
    }
  }

  /** Starts the chosen services side by side; those that use the bus once it is there. */
  async #startServices(bus: Promise<void>, web: Promise<void>): Promise<void> {
    await Promise.all(
      this.#instances.map(async (instance) => {
        if (facts[instance.service].needsBus) await bus
        if (instance.service === "edge") await web
        const name = instanceName(instance)
        await this.#step(name, async () => {
          const child = new Child(this.#serviceSpec(instance))
          this.#children.set(name, child)
          await this.#launch(child)
          return this.#serviceUrl(instance.service, instance.number)
        })
      }),
    )
  }

  async #seed(): Promise<void> {
    const { selection, dataDir, env } = this.#options
    const needed: ReadonlyArray<Service> = ["edge", "identity", "inventory"]
    if (this.#secrets === undefined || !needed.every((name) => selection.services.has(name))) return
    const target = {
      edge: this.#serviceUrl("edge"),
      identity: `127.0.0.1:${this.#port("identity")}`,
      serviceKey: Secrets.serviceKey(this.#secrets),
    }
    await this.#step("demo data", async () => {
      const Seed = await import("../Seed.ts")
      // Signing in seven people costs a second of password hashing; in a database of ours they don't go away.
      const marker = path.join(dataDir, "accounts-seeded")
      const ours = given(env, "MYSQL_URL_IDENTITY") === undefined
      let created = 0
      if (!ours || !fs.existsSync(marker)) {
        created = await Seed.accounts(target)
        fs.writeFileSync(marker, new Date().toISOString())
      }
      const published = await Seed.products(target)
      const started = await Seed.experiments(target)
      return created + published + started === 0
        ? "was there"
        : `${created} accounts, ${published} products, ${started} experiments`
    })
  }

  /** Runs one named step and reports its time; does nothing once a stop has begun. */
  async #step(name: string, work: () => Promise<string>): Promise<void> {
    if (this.#stopping !== undefined) throw new StackError("stopped while starting")
    const began = Date.now()
    const detail = await work()
    this.#options.report({ type: "done", step: name, ms: Date.now() - began, detail })
  }

  #engine(name: string, chosen: Plan, url: string, prepare: () => Promise<LaunchSpec>): Promise<void> {
    if (chosen.how === "url") {
      this.#external.set(name, {
        state: "external",
        ...(chosen.target === undefined ? {} : { url: hidePassword(chosen.target) }),
      })
      return Promise.resolve()
    }
    return this.#step(name, async () => {
      const child = new Child(await prepare())
      this.#children.set(name, child)
      await this.#launch(child)
      return `${url.replace(/^\w+:\/\/(\w+@)?/, "")} · ${chosen.why}`
    })
  }

  async #launch(child: Child): Promise<void> {
    if (this.#stopping !== undefined) throw new StackError("stopped while starting")
    await child.start()
    this.#watch(child)
  }

  #watch(child: Child): void {
    if (this.#watched.has(child)) return
    this.#watched.add(child)
    void child.exited.then(() => {
      this.#watched.delete(child)
      if (child.state !== "exited") return
      const { name, logFile } = child.spec
      this.#options.report({ type: "lost", name, how: child.lastExit ?? "unknown", logFile })
    })
  }

  #say(lineOfText: string): void {
    this.#options.report({ type: "say", line: lineOfText })
  }

  #place(name: string): { dataDir: string; logFile: string; say: (text: string) => void } {
    return {
      dataDir: path.join(this.#options.dataDir, "engines", name),
      logFile: path.join(this.#options.dataDir, "logs", `${name}.log`),
      say: (text) => this.#say(text),
    }
  }

  /** The port of a name: `<NAME>_PORT` in the environment, for a first instance; else the base plus its offset. */
  #port(name: PortTable.PortName, instance = 1): number {
    const said = instance === 1 ? given(this.#options.env, PortTable.envName(name)) : undefined
    return said === undefined ? PortTable.portOf(this.#options.portBase, name, instance) : Number(said)
  }

  #jaegerPorts(): Jaeger.Ports {
    return {
      otlpHttp: this.#port("jaegerOtlpHttp"),
      otlpGrpc: this.#port("jaegerOtlpGrpc"),
      query: this.#port("jaegerQuery"),
      thriftHttp: this.#port("jaegerThriftHttp"),
      admin: this.#port("jaegerAdmin"),
    }
  }

  /** The ports of everything that this stack is going to start. */
  #wantedPorts(): ReadonlyArray<readonly [name: PortTable.PortName, instance: number]> {
    const { selection } = this.#options
    const wanted: Array<PortTable.PortName> = []
    const engines: Array<readonly [PortTable.PortName, number]> = []
    const ofServices = this.#instances.flatMap(({ service, number }) =>
      [facts[service].port, facts[service].opsPort].map((name) => [name, number] as const),
    )
    if (this.#plans === undefined) return ofServices
    const { mysql, redis, bus, jaeger } = this.#plans
    const starts = (name: "mysql" | "redis" | "bus" | "jaeger", chosen: Plan) =>
      selection.engines.has(name) && chosen.how !== "url" && chosen.how !== "none"
    if (starts("redis", redis)) {
      const { length } = this.#redisNodes
      for (let i = 1; i <= length; i++) {
        engines.push(["redis", i])
        if (length > 1) engines.push(["redisGossip", i])
      }
    }
    if (starts("mysql", mysql)) wanted.push("mysql")
    if (starts("bus", bus)) {
      if (bus.kind === "bus") wanted.push("redisBus")
      else for (const i of this.#brokerNumbers) engines.push(["kafka", i], ["kafkaController", i])
    }
    if (starts("jaeger", jaeger)) {
      wanted.push("jaegerOtlpHttp", "jaegerOtlpGrpc", "jaegerQuery", "jaegerThriftHttp", "jaegerAdmin")
    }
    if (this.#options.wishes.observe) wanted.push("prometheus", "alertmanager", "grafana")
    return [...ofServices, ...engines, ...wanted.map((name) => [name, 1] as const)]
  }

  async #checkPorts(): Promise<void> {
    const names = this.#wantedPorts()
    const taken = async (ports: ReadonlyArray<number>) => {
      const free = await Promise.all(ports.map(Ports.isFree))
      return ports.find((_, index) => !free[index])
    }
    const port = await taken(names.map(([name, instance]) => this.#port(name, instance)))
    if (port === undefined) return
    const holder = Ports.holder(port)
    const who = holder === undefined ? "another process" : `pid ${holder.pid} (${holder.name})`
    let advice = ""
    for (const base of [9000, 10_000, 11_000, 12_000, 21_000, 31_000]) {
      if (base === this.#options.portBase) continue
      if (
        (await taken(names.map(([name, instance]) => PortTable.portOf(base, name, instance)))) === undefined
      ) {
        advice = `; try \`pnpm start --port-base ${base}\``
        break
      }
    }
    throw new StackError(`${port} is held by ${who}${advice}`)
  }

  /** Where an instance shows its figures: its own port, and those of the processes that share its public one. */
  #opsPorts({ number, service }: Instance): ReadonlyArray<number> {
    const own = this.#port(facts[service].opsPort, number)
    const { edgeProcesses } = this.#options.shape
    if (service !== "edge" || edgeProcesses === 1) return [own]
    const first = this.#port("edgeWorkerOps", number)
    return [own, ...Array.from({ length: edgeProcesses }, (_, i) => first + i)]
  }

  #serviceUrl(name: Service, instance = 1): string {
    return `${facts[name].scheme}://127.0.0.1:${this.#port(facts[name].port, instance)}`
  }

  /** Where the other services find one that runs more than once, or that is reached by way of somebody else. */
  #peers(): Record<string, string> {
    const { shape } = this.#options
    return Object.fromEntries(
      (["identity", "inventory", "ordering", "payment"] as const)
        .filter((name) => Shape.instancesOf(shape, name) > 1 || shape.via[name] !== undefined)
        .map((name) => {
          const ports = Array.from({ length: Shape.instancesOf(shape, name) }, (_, i) =>
            i === 0 ? (shape.via[name] ?? this.#port(name)) : this.#port(name, i + 1),
          )
          return [`${name.toUpperCase()}_URL`, ports.map((port) => `127.0.0.1:${port}`).join(",")]
        }),
    )
  }

  /** What a service of this stack is told, unless the environment says otherwise. */
  #environment(service?: Service): Record<string, string | undefined> {
    const { env, root, portBase, dataDir, shape } = this.#options
    const fixed = {
      FLOODGATE_ROOT: root,
      PORT_BASE: String(portBase),
      ...(this.#webDir === undefined ? undefined : { WEB_DIR: this.#webDir }),
    }
    const secrets = this.#secrets
    if (secrets === undefined || this.#plans === undefined) return { ...env, ...fixed }
    const { mysqlPasswords, ...settings } = secrets
    const { mysql, redis, bus, jaeger } = this.#plans
    const defaults: Record<string, string | undefined> = {
      APP_ENV: "dev",
      ...settings,
      SANDBOX_DATA: path.join(dataDir, "sandbox"),
      AUDIT_HEAD_FILE: auditHeadFile(dataDir),
      MEDIA_DIR: path.join(dataDir, "media"),
      PUBLIC_URL: this.#serviceUrl("edge"),
      SANDBOX_URL: this.#serviceUrl("sandbox"),
      ...this.#peers(),
    }
    if (redis.how !== "url") defaults["REDIS_URL"] = this.#redisUrl
    if (bus.how !== "url") {
      if (bus.kind === "kafka") {
        defaults["KAFKA_BROKERS"] = this.#kafkaBrokers
        defaults["KAFKA_REPLICATION_FACTOR"] = String(shape.brokers)
      } else defaults["REDIS_BUS_URL"] = RedisServer.url(shape.via.redisBus ?? this.#port("redisBus"))
    }
    if (jaeger.how === "none" || !this.#options.selection.engines.has("jaeger")) {
      defaults["OTEL_TRACES_EXPORTER"] = "none"
    } else if (jaeger.how !== "url") {
      const ports = this.#jaegerPorts()
      defaults["OTEL_EXPORTER_OTLP_ENDPOINT"] = `http://127.0.0.1:${ports.otlpHttp}`
      defaults["OTEL_EXPORTER_JAEGER_ENDPOINT"] = `http://127.0.0.1:${ports.thriftHttp}/api/traces`
    }
    const database = service === undefined ? undefined : facts[service].database
    if (mysql.how !== "url" && database !== undefined) {
      const url = Databases.serviceUrl(
        shape.via.mysql ?? this.#port("mysql"),
        database,
        mysqlPasswords[database],
      )
      defaults[`MYSQL_URL_${database.toUpperCase()}`] = url
    }
    // What is set but empty counts as absent everywhere else, so it doesn't override here either.
    const said = Object.fromEntries(Object.entries(env).filter(([key]) => given(env, key) !== undefined))
    const told = shape.told.filter((each) => each.service === undefined || each.service === service)
    return {
      ...defaults,
      ...said,
      ...fixed,
      ...Object.fromEntries(told.map(({ key, value }) => [key, value])),
    }
  }

  #serviceSpec(instance: Instance, env: Readonly<Record<string, string>> = {}): LaunchSpec {
    const { service, number } = instance
    const name = instanceName(instance)
    const { niceness, opsPort, port } = facts[service]
    const ops = this.#port(opsPort, number)
    const { edgeProcesses } = this.#options.shape
    const named: ReadonlyArray<PortTable.PortName> =
      service === "edge" ? [port, opsPort, "edgeWorkerOps"] : [port, opsPort]
    const ownPorts =
      number === 1
        ? {}
        : Object.fromEntries(named.map((each) => [PortTable.envName(each), String(this.#port(each, number))]))
    const sharing =
      service === "edge" && edgeProcesses > 1 ? { EDGE_PROCESSES: String(edgeProcesses) } : undefined
    return {
      name,
      command: process.execPath,
      args: [...NODE_OPTIONS, path.join(this.#build.folder, `${service}.js`)],
      cwd: this.#options.root,
      env: { ...this.#environment(service), ...ownPorts, ...sharing, ...env },
      logFile: path.join(this.#options.dataDir, "logs", `${name}.log`),
      isReady: () => answersOk(ops, "/readyz"),
      readyTimeoutMs: serviceReadyMs,
      stopTimeoutMs: serviceStopMs,
      ...(niceness === undefined ? {} : { niceness }),
    }
  }

  /** Which component is meant; a StackError that lists the names where there is none. */
  #find(name: string): Child {
    const child = this.#children.get(name)
    if (child !== undefined) return child
    const why = this.#external.has(name)
      ? `${name} isn't run by this stack.`
      : `There is no "${name}" in this stack.`
    throw new StackError(`${why} It runs: ${[...this.#children.keys()].join(", ")}.`)
  }

  /**
   * Stops it politely if it runs, starts it again, and returns when it is ready. A service takes a newer build along,
   * and `env` over everything else that it is told, for this one life.
   */
  async restart(
    name: string,
    { build, env }: { readonly build?: Build; readonly env?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    let child = this.#find(name)
    const instance = instanceOf(name)
    if (build !== undefined && instance !== undefined) {
      if (build.problem !== undefined) throw new StackError(build.problem)
      this.#build = build
      if (instance.service === "edge") await this.#buildWeb()
    }
    await child.stop()
    if (instance !== undefined) {
      child = new Child(this.#serviceSpec(instance, env))
      this.#children.set(name, child)
    }
    await this.#launch(child)
  }

  /** Stops one component politely; it stays down until `restart`. */
  stopOne(name: string): Promise<void> {
    return this.#find(name).stop()
  }

  /** SIGKILL to one component; returns when it is gone. It stays down until `restart`. */
  async killOne(name: string): Promise<void> {
    const child = this.#find(name)
    child.kill()
    await child.exited
  }

  /** Edge first, so that nobody new comes in; then the other services; then what they stand on. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      await this.#migrating
      const group = (wanted: (name: string) => boolean) =>
        Promise.all([...this.#children].filter(([name]) => wanted(name)).map(([, child]) => child.stop()))
      await group((name) => instanceOf(name)?.service === "edge")
      await group((name) => instanceOf(name) !== undefined)
      await group(() => true)
    })()
    return this.#stopping
  }

  /** SIGKILL to everything, for someone who presses Ctrl-C twice. */
  killAll(): void {
    for (const child of this.#children.values()) child.kill()
  }

  /** Asks every component, at most 2 s. */
  async status(): Promise<Status> {
    const entries = await Promise.all(
      [...this.#children].map(async ([name, child]): Promise<readonly [string, ComponentStatus]> => {
        const state =
          child.state === "ready" && !(await child.spec.isReady().catch(() => false))
            ? "unready"
            : child.state
        const pid = processId(child)
        const instance = instanceOf(name)
        return [
          name,
          {
            state,
            ...(pid === undefined ? {} : { pid }),
            url:
              instance === undefined
                ? this.#engineUrl(name)
                : this.#serviceUrl(instance.service, instance.number),
            ...(instance === undefined
              ? {}
              : {
                  ops_url: `http://127.0.0.1:${this.#port(facts[instance.service].opsPort, instance.number)}`,
                }),
            ...(child.lastExit === undefined ? {} : { last_exit: child.lastExit }),
            ...(name === "sandbox" && this.#secrets !== undefined
              ? { callback_secret: this.#callbackSecret() }
              : {}),
          },
        ]
      }),
    )
    const all = new Map<string, ComponentStatus>([...entries, ...this.#external])
    const engines = [
      ...["redis", "mysql", "kafka", "bus", "jaeger"].flatMap((kind) =>
        [1, 2, 3, 4, 5, 6].map((number) => engineName(kind, number)),
      ),
      ...["prometheus", "alertmanager", "grafana"],
    ]
    const order = [...this.#instances.map(instanceName), ...engines]
    return Object.fromEntries(
      order.flatMap((name) => (all.has(name) ? [[name, all.get(name)]] : [])),
    ) as Status
  }

  #callbackSecret(): string {
    const list = this.#environment("sandbox")["PAYMENT_CALLBACK_SECRETS_SANDBOX"] ?? ""
    return list.split(",")[0]?.trim() ?? ""
  }

  #engineUrl(name: string): string {
    const [kind = name, number = "1"] = name.split("-")
    if (kind === "redis" && number !== "1") return RedisServer.url(this.#port("redis", Number(number)))
    if (kind === "kafka" && number !== "1") return Kafka.brokers(this.#port("kafka", Number(number)))
    switch (kind) {
      case "mysql":
        return MariaDb.rootUrl(this.#port("mysql"))
      case "redis": {
        const ports = this.#redisNodes.map(({ port }) => port)
        return ports.length === 1 ? RedisServer.url(ports[0]!) : RedisCluster.url(ports)
      }
      case "kafka":
        return this.#brokerNumbers.map((each) => Kafka.brokers(this.#port("kafka", each))).join(",")
      case "bus":
        return RedisServer.url(this.#port("redisBus"))
      case "prometheus":
      case "alertmanager":
      case "grafana":
        return `http://127.0.0.1:${this.#port(kind)}`
      default:
        return `http://127.0.0.1:${this.#port("jaegerQuery")}`
    }
  }
}

/** The first of a kind has its name, the second is `redis-2`. */
const engineName = (kind: string, number: number): string => (number === 1 ? kind : `${kind}-${number}`)

const hidePassword = (text: string): string => text.replace(/:\/\/([^:@/]*):[^@/]*@/, "://$1:…@")

const processId = (child: Child): number | undefined => {
  const { container } = child.spec
  if (container === undefined || child.pid === undefined) return child.pid
  try {
    const text = execFileSync("docker", ["inspect", "--format", "{{.State.Pid}}", container], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 2000,
    })
    return Number(text.trim()) || child.pid
  } catch {
    return child.pid
  }
}

/** GET on loopback; true for 200. A connection of its own each time, so that a frozen process can't hold others up. */
const answersOk = (port: number, pathname: string): Promise<boolean> =>
  new Promise((resolve) => {
    const request = http.get(
      { host: "127.0.0.1", port, path: pathname, agent: false, timeout: 1500 },
      (response) => {
        response.resume()
        resolve(response.statusCode === 200)
      },
    )
    request.once("timeout", () => request.destroy())
    request.once("error", () => resolve(false))
  })
