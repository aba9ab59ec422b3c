/** How large a stack is, and how its parts find each other: one of everything, unless said. */
import { offsets, type PortName } from "@floodgate/runtime/config/Ports"
import { isService, type Service, services } from "./Services.ts"
import { StackError } from "./StackError.ts"

/** A value that services are told, all of them or those of one name. */
export interface Told {
  readonly service: Service | undefined
  readonly key: string
  readonly value: string
}

export interface Shape {
  /** How many of each service; one where nothing is said. */
  readonly instances: Partial<Readonly<Record<Service, number>>>
  /** How many processes share the port of each edge. */
  readonly edgeProcesses: number
  /** `cluster`: three primaries with a replica each. */
  readonly redis: "single" | "cluster"
  /** How many Kafka brokers. Three hold three copies of everything, two of which must confirm. */
  readonly brokers: 1 | 3
  /** Over everything that the stack and the environment say. */
  readonly told: ReadonlyArray<Told>
  /** Ports of this machine at which services find these instead of at their own: somebody listens there, and passes on. */
  readonly via: Partial<Readonly<Record<PortName, number>>>
}

export const single: Shape = {
  instances: {},
  edgeProcesses: 1,
  redis: "single",
  brokers: 1,
  told: [],
  via: {},
}

/** Instances that a service can have. */
export const MOST_INSTANCES = 9

/** The servers of a cluster: the first three are primaries at first. */
export const CLUSTER_NODES = 6

export const instancesOf = (shape: Shape, service: Service): number => shape.instances[service] ?? 1

/** The command line's words for a shape. */
export interface Words {
  readonly edges: string
  readonly "edge-processes": string
  readonly replicas: string
  readonly instances: ReadonlyArray<string>
  readonly redis: string
  readonly brokers: string
  readonly env: ReadonlyArray<string>
  readonly via: ReadonlyArray<string>
}

const count = (option: string, text: string): number => {
  const value = Number(text)
  if (!/^\d$/.test(text) || value < 1) {
    throw new StackError(`--${option} takes a whole number from 1 to ${MOST_INSTANCES}, not "${text}".`)
  }
  return value
}

const parts = (option: string, words: ReadonlyArray<string>): ReadonlyArray<readonly [string, string]> =>
  words
    .flatMap((word) => word.split(","))
    .map((part) => {
      const [, name, value] = /^([A-Za-z]+)=(\d+)$/.exec(part) ?? []
      if (name === undefined || value === undefined) {
        throw new StackError(`--${option} takes name=number, not "${part}".`)
      }
      return [name, value]
    })

/** Reads the words. Fails with a StackError that names the first wrong one. */
export const parse = (words: Words): Shape => {
  const replicas = count("replicas", words.replicas)
  const instances: Partial<Record<Service, number>> = {}
  // The stand-in of a third party keeps its books in one process.
  for (const service of services) if (service !== "sandbox") instances[service] = replicas
  instances.edge = Math.max(replicas, count("edges", words.edges))
  for (const [name, value] of parts("instances", words.instances)) {
    if (!isService(name) || name === "sandbox") throw new StackError(`--instances doesn't know "${name}".`)
    instances[name] = count("instances", value)
  }
  if (words.redis !== "single" && words.redis !== "cluster")
    throw new StackError("--redis is single or cluster.")
  if (words.brokers !== "1" && words.brokers !== "3") throw new StackError("--brokers is 1 or 3.")
  const told = words.env.map((word): Told => {
    const [, service, key, value] = /^(?:([a-z]+):)?([A-Z][A-Z0-9_]*)=(.*)$/s.exec(word) ?? []
    if (key === undefined || value === undefined || (service !== undefined && !isService(service))) {
      throw new StackError(`--env takes KEY=value or service:KEY=value, not "${word}".`)
    }
    return { service, key, value }
  })
  const via: Partial<Record<PortName, number>> = {}
  for (const [name, port] of parts("via", words.via)) {
    if (!(name in offsets)) throw new StackError(`--via doesn't know "${name}".`)
    via[name as PortName] = Number(port)
  }
  const edgeProcesses = count("edge-processes", words["edge-processes"])
  return { instances, edgeProcesses, redis: words.redis, brokers: words.brokers === "3" ? 3 : 1, told, via }
}
