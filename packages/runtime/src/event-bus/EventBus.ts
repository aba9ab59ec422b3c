/**
 * The event bus between the services: durable, ordered within a partition, at least once. Kafka in every real
 * deployment; Redis Streams where one machine is all there is. Both keep the same promises (one contract test).
 *
 * A service stays ready while the bus is down: what it has to say waits in its outbox or its shard's stream. So nothing
 * here registers with readiness, and the layer comes up without a broker.
 */
import * as Topic from "@floodgate/contracts/events/Topic"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as AppConfig from "../config/AppConfig.ts"
import * as Breakers from "../resilience/Breakers.ts"
import { BusUnavailable } from "./BusError.ts"
import * as BusMetrics from "./BusMetrics.ts"
import * as KafkaBus from "./KafkaBus.ts"
import type { EventBusService } from "./Message.ts"
import * as RedisStreamsBus from "./RedisStreamsBus.ts"

export { BusFailed, BusUnavailable } from "./BusError.ts"
export type { ConsumeOptions, EventBusService, IncomingMessage, OutgoingMessage } from "./Message.ts"

/**
 * - `publish(topic, messages)` succeeds only when all of them are durable (Kafka: all in-sync replicas; Redis: fsync).
 *   `BusUnavailable` within 10 s otherwise; some may have been written then. While the breaker is open it fails at once
 *   and nothing was written. A value over 768 KiB is a defect.
 * - `consume(options)` runs until interrupted; an interruption lets the batch in hand finish (≤ 5 s), stores its
 *   position and leaves the group. `BusFailed` only where waiting can't help.
 * - `lag(group, topic)` counts the messages that the group hasn't finished.
 * - `members(group)` counts the group's consumers.
 * - `ensureTopics(partitions)` creates the topics that don't exist yet.
 * - `incarnation` names the log's present life. Another name than before means that messages may have been lost.
 * - `checkpoint` takes a mark behind everything published so far; the inner effect tells whether every known group has
 *   finished everything before the mark, so that nothing before it is needed again. Never passed while a topic with
 *   messages has no group yet (the dead letters' needs none), nor in a life so young that groups may not be known.
 */
export class EventBus extends Context.Tag("@floodgate/runtime/event-bus/EventBus")<
  EventBus,
  EventBusService
>() {}

const kafkaBrokers = Config.nonEmptyString("KAFKA_BROKERS").pipe(
  Config.map((text) =>
    text
      .split(",")
      .map((address) => address.trim())
      .filter((address) => address !== ""),
  ),
)

/** 3 copies of every partition outside dev, where one broker is all there is. */
const replicationFactor = Config.all({
  env: AppConfig.appEnv,
  factor: Config.option(Config.integer("KAFKA_REPLICATION_FACTOR")),
}).pipe(Config.map(({ env, factor }) => Option.getOrElse(factor, () => (env === "dev" ? 1 : 3))))

/** Kafka when KAFKA_BROKERS is set, else Redis Streams at REDIS_BUS_URL. */
const settings = Config.all({
  brokers: Config.option(kafkaBrokers),
  replicationFactor,
  redisUrl: Config.option(AppConfig.redactedUrl("REDIS_BUS_URL")),
}).pipe(
  Config.mapOrFail((found) =>
    Option.isSome(found.brokers) || Option.isSome(found.redisUrl)
      ? Either.right(found)
      : Either.left(
          ConfigError.MissingData(
            ["KAFKA_BROKERS"],
            "set KAFKA_BROKERS (host:port, comma separated), or REDIS_BUS_URL for the bus of a single machine",
          ),
        ),
  ),
)

/** The bus that the configuration names. `ConfigInvalid` when it names none. Comes up without a broker. */
export const layer: Layer.Layer<EventBus, AppConfig.ConfigInvalid> = Layer.scoped(
  EventBus,
  Effect.gen(function* () {
    const { brokers, redisUrl, replicationFactor } = yield* AppConfig.load(settings)
    const bus = Option.isSome(brokers)
      ? yield* KafkaBus.make({ brokers: brokers.value, replicationFactor })
      : yield* RedisStreamsBus.make({ url: Option.getOrThrow(redisUrl) })
    return guarded(yield* BusMetrics.metered(bus), yield* Breakers.gate("bus"))
  }),
)

/** What a publish may take, ms. */
const PUBLISH_MS = 10_000

/**
 * A bus whose publishers are turned away at once while it is known not to take anything. Consumers have their own way to
 * wait for a broker.
 */
export const guarded = (bus: EventBusService, gate: Breakers.Gate): EventBusService => ({
  ...bus,
  publish: (topic, messages) =>
    bus.publish(topic, messages).pipe(
      Breakers.through(
        gate,
        PUBLISH_MS,
        (): Breakers.Verdict => "failed",
        () => new BusUnavailable({ operation: `publish ${topic}`, reason: "the breaker is open" }),
      ),
    ),
})

/** Creates the topics of the contracts with their partitions; does nothing for those that exist. */
export const ensureTopics: Effect.Effect<void, BusUnavailable, EventBus> = Effect.flatMap(EventBus, (bus) =>
  bus.ensureTopics(Topic.partitions),
)
