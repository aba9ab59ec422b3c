/** Which engine comes from where, for the supervisor to act on and for `stack doctor` to tell. */
import type { Plan } from "./engines/Install.ts"
import * as Jaeger from "./engines/Jaeger.ts"
import * as Kafka from "./engines/Kafka.ts"
import * as MariaDb from "./engines/MariaDb.ts"
import * as RedisServer from "./engines/RedisServer.ts"
import { databases } from "./Services.ts"
import { StackError } from "./StackError.ts"

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The plan of each engine. Nothing has been installed or started yet. */
export interface EnginePlans {
  readonly mysql: Plan
  readonly redis: Plan
  /** The event bus: Kafka, or Redis Streams in its place. */
  readonly bus: Plan & { readonly kind: "kafka" | "bus" }
  readonly jaeger: Plan
}

/** What the command line says about engines. */
export interface EngineWishes {
  /** Build Jaeger where there is no other road to it. */
  readonly jaeger: boolean
  /** Run Prometheus, Alertmanager and, where there is one, Grafana beside the stack. */
  readonly observe: boolean
  /** `redis`: the Redis-Streams bus even where Kafka could be had. */
  readonly bus: "kafka" | "redis"
}

/** The value of a variable that says something: an empty one counts as absent. */
export const given = (env: Environment, key: string): string | undefined => {
  const value = env[key]
  return value === undefined || value.trim() === "" ? undefined : value
}

/** Decides for every engine. Fails with a StackError where the environment names half of a thing. */
export const plan = async (env: Environment, wishes: EngineWishes): Promise<EnginePlans> => {
  const [mysql, redis, bus, jaeger] = await Promise.all([
    planMysql(env),
    planRedis(env),
    planBus(env, wishes.bus),
    planJaeger(env, wishes.jaeger),
  ])
  return { mysql, redis, bus, jaeger }
}

const planMysql = async (env: Environment): Promise<Plan> => {
  const keys = databases.map((name) => `MYSQL_URL_${name.toUpperCase()}`)
  const missing = keys.filter((key) => given(env, key) === undefined)
  if (missing.length === 0) return { how: "url", why: "MYSQL_URL_<SERVICE> in the environment" }
  if (missing.length < keys.length) {
    throw new StackError(
      `The environment names some databases but not all. Give ${missing.join(", ")}, too, or none of them.`,
    )
  }
  return MariaDb.plan()
}

const planRedis = async (env: Environment): Promise<Plan> => {
  const url = given(env, "REDIS_URL")
  return url === undefined
    ? RedisServer.plan()
    : { how: "url", target: url, why: "REDIS_URL in the environment" }
}

const planBus = async (env: Environment, wish: EngineWishes["bus"]): Promise<EnginePlans["bus"]> => {
  const brokers = given(env, "KAFKA_BROKERS")
  if (brokers !== undefined) {
    return { kind: "kafka", how: "url", target: brokers, why: "KAFKA_BROKERS in the environment" }
  }
  const busUrl = given(env, "REDIS_BUS_URL")
  if (busUrl !== undefined)
    return { kind: "bus", how: "url", target: busUrl, why: "REDIS_BUS_URL in the environment" }
  const kafka: Plan = wish === "kafka" ? await Kafka.plan() : { how: "none", why: "asked for by --bus redis" }
  if (kafka.how !== "none") return { kind: "kafka", ...kafka }
  const redis = await RedisServer.plan()
  return { kind: "bus", ...redis, why: `Redis Streams instead of Kafka (${kafka.why}); ${redis.why}` }
}

const planJaeger = async (env: Environment, wanted: boolean): Promise<Plan> => {
  const endpoint = given(env, "OTEL_EXPORTER_OTLP_ENDPOINT")
  if (endpoint !== undefined) {
    return { how: "url", target: endpoint, why: "OTEL_EXPORTER_OTLP_ENDPOINT in the environment" }
  }
  const exporter = given(env, "OTEL_TRACES_EXPORTER")
  if (exporter === "none") return { how: "none", why: "OTEL_TRACES_EXPORTER=none: no traces" }
  return Jaeger.plan(wanted)
}
