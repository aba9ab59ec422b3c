/**
 * Every TCP port of one stack, as an offset from `PORT_BASE`. One table, so that two stacks with bases a few hundred
 * apart can't meet, and so that a second instance of a service is told its port instead of guessing one.
 */
export const offsets = {
  edge: 0,
  identity: 1,
  inventory: 2,
  ordering: 3,
  payment: 4,
  sandbox: 10,
  edgeOps: 20,
  identityOps: 21,
  inventoryOps: 22,
  orderingOps: 23,
  paymentOps: 24,
  sandboxOps: 30,
  redis: 40,
  mysql: 41,
  kafka: 42,
  kafkaController: 43,
  redisBus: 44,
  jaegerOtlpHttp: 45,
  jaegerOtlpGrpc: 46,
  jaegerQuery: 47,
  jaegerThriftHttp: 48,
  jaegerAdmin: 49,
  redisGossip: 50,
  prometheus: 51,
  alertmanager: 52,
  grafana: 53,
  /** Of the first process that shares the edge's port; the next one's is one higher. */
  edgeWorkerOps: 60,
} as const

/** The name of a port; its environment variable is `envName(name)`. */
export type PortName = keyof typeof offsets

/** The base of a development machine. */
export const DEFAULT_BASE = 8080

/** How far the ports of a second, third… instance of a service (`edge-2`) lie from those of the first. */
export const INSTANCE_STRIDE = 100

/** The highest base with room for nine instances of everything. */
export const HIGHEST_BASE = 65_535 - 9 * INSTANCE_STRIDE

/** The port of `name`, in a stack whose first port is `base`; `instance` counts from 1. */
export const portOf = (base: number, name: PortName, instance = 1): number =>
  base + offsets[name] + (instance - 1) * INSTANCE_STRIDE

/** The key that overrides one port: `edgeOps` → `EDGE_OPS_PORT`. */
export const envName = (name: PortName): string =>
  `${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}_PORT`
