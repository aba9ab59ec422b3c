/** What a stack is made of: its services, their databases, and what each of them needs. */
import type { PortName } from "@floodgate/runtime/config/Ports"

/** The processes of Floodgate, in the order in which a reader meets them. */
export const services = ["edge", "identity", "inventory", "ordering", "payment", "sandbox"] as const
export type Service = (typeof services)[number]

/** What they stand on. `bus` is the Redis-Streams bus, in Kafka's place where there is no Kafka. */
export const engines = ["redis", "mysql", "kafka", "bus", "jaeger"] as const
export type Engine = (typeof engines)[number]

export type Component = Service | Engine

/** Databases, each with a user of its own; the name of the database is that of the service. */
export const databases = ["identity", "inventory", "ordering", "payment", "edge"] as const
export type Database = (typeof databases)[number]

/**
 * How far the broker, what it feeds and the database where that ends up yield to the others on a machine that all share:
 * in a rush, what is behind the queue may take longer. `docs/decisions/0023` has the figures.
 */
export const BEHIND_THE_QUEUE = 7

/** Facts about a service that the supervisor acts on. */
export interface ServiceFacts {
  /** Its entry, from the repository's root. */
  readonly entry: string
  readonly port: PortName
  readonly opsPort: PortName
  /** How `status` writes its address: people open `http`, peers dial `grpc`. */
  readonly scheme: "http" | "grpc"
  readonly database: Database | undefined
  /** False: it never speaks to the event bus, so it starts while the broker still does. */
  readonly needsBus: boolean
  /** How far it yields to the others on a machine that all share: 0 (not at all) unless said. */
  readonly niceness?: number
  /** True for the stand-in of a third party, which exists in dev only. */
  readonly devOnly: boolean
}

export const facts: Record<Service, ServiceFacts> = {
  edge: {
    entry: "packages/edge/src/main.ts",
    port: "edge",
    opsPort: "edgeOps",
    scheme: "http",
    database: "edge",
    needsBus: true,
    devOnly: false,
  },
  identity: {
    entry: "packages/identity/src/main.ts",
    port: "identity",
    opsPort: "identityOps",
    scheme: "grpc",
    database: "identity",
    needsBus: false,
    devOnly: false,
  },
  inventory: {
    entry: "packages/inventory/src/main.ts",
    port: "inventory",
    opsPort: "inventoryOps",
    scheme: "grpc",
    database: "inventory",
    needsBus: true,
    devOnly: false,
  },
  ordering: {
    entry: "packages/ordering/src/main.ts",
    port: "ordering",
    opsPort: "orderingOps",
    scheme: "grpc",
    database: "ordering",
    needsBus: true,
    niceness: BEHIND_THE_QUEUE,
    devOnly: false,
  },
  payment: {
    entry: "packages/payment/src/main.ts",
    port: "payment",
    opsPort: "paymentOps",
    scheme: "grpc",
    database: "payment",
    needsBus: true,
    niceness: BEHIND_THE_QUEUE,
    devOnly: false,
  },
  sandbox: {
    entry: "packages/payment/src/sandbox/main.ts",
    port: "sandbox",
    opsPort: "sandboxOps",
    scheme: "http",
    database: undefined,
    needsBus: false,
    devOnly: true,
  },
}

/** True for the name of something that a stack runs. */
export const isService = (name: string): name is Service => (services as ReadonlyArray<string>).includes(name)

/** A choice of components, as `--only` names it. */
export interface Selection {
  readonly services: ReadonlySet<Service>
  /** Engines to start: those asked for, and those that the chosen services need. Jaeger is decided by its plan. */
  readonly engines: ReadonlySet<"redis" | "mysql" | "bus" | "jaeger">
}

/** Everything. */
export const everything: Selection = {
  services: new Set(services),
  engines: new Set(["redis", "mysql", "bus", "jaeger"]),
}

/**
 * Reads `--only engines,identity`: names of components, `engines` or `services`. A service brings the engines along.
 * Returns the unknown word where there is one.
 */
export const parseSelection = (text: string): Selection | { readonly unknown: string } => {
  const chosen = { services: new Set<Service>(), engines: new Set<"redis" | "mysql" | "bus" | "jaeger">() }
  for (const word of text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")) {
    if (word === "services") for (const service of services) chosen.services.add(service)
    else if (word === "engines") for (const engine of everything.engines) chosen.engines.add(engine)
    else if (isService(word)) chosen.services.add(word)
    // Kafka's place may be taken by the other bus, so both names mean "the bus".
    else if (word === "kafka" || word === "bus") chosen.engines.add("bus")
    else if (word === "redis" || word === "mysql" || word === "jaeger") chosen.engines.add(word)
    else return { unknown: word }
  }
  if (chosen.services.size > 0) for (const engine of everything.engines) chosen.engines.add(engine)
  return chosen
}

/** One process of a service: the first has the service's name, the second is `edge-2`. */
export interface Instance {
  readonly service: Service
  /** Counts from 1. */
  readonly number: number
}

export const instanceName = ({ service, number }: Instance): string =>
  number === 1 ? service : `${service}-${number}`

/** The instance that a component's name stands for; undefined for an engine's. */
export const instanceOf = (name: string): Instance | undefined => {
  const [, service = "", number = "1"] = /^([a-z]+)(?:-([2-9]))?$/.exec(name) ?? []
  return isService(service) ? { service, number: Number(number) } : undefined
}
