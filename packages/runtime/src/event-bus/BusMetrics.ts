/** What a process shows of the event bus, the same for both adapters: it is measured around them. */
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Instrument from "../metrics/Instrument.ts"
import * as Sampler from "../metrics/Sampler.ts"
import type { EventBusService } from "./Message.ts"

const topics = [...Object.values(Topic), "other"] as const

type TopicLabel = (typeof topics)[number]

/** Groups and their topics are declared where they are consumed. */
const groups = { group: Instrument.declared, topic: Instrument.declared } as const

const publishSeconds = Instrument.histogram(
  "floodgate_bus_publish_seconds",
  "Time until the bus has made a publish durable, by topic",
  { topic: topics },
)
const published = Instrument.counter(
  "floodgate_bus_published_messages_total",
  "Messages that the bus has confirmed, by topic",
  { topic: topics },
)
const publishFailures = Instrument.counter(
  "floodgate_bus_publish_failures_total",
  "Publishes that weren't confirmed, by topic",
  { topic: topics },
)
const consumeSeconds = Instrument.histogram(
  "floodgate_bus_consume_seconds",
  "Time of handling one batch, by group and topic",
  groups,
)
const deliverySeconds = Instrument.histogram(
  "floodgate_bus_delivery_seconds",
  "From the bus's taking of a batch's oldest message to the end of its handling, by group and topic",
  groups,
  [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300],
)
const consumed = Instrument.counter(
  "floodgate_bus_consumed_messages_total",
  "Messages that were handled, by group and topic",
  groups,
)
const consumeFailures = Instrument.counter(
  "floodgate_bus_consume_failures_total",
  "Batches whose handling failed, and that come again, by group and topic",
  groups,
)
const lag = Instrument.gauge(
  "floodgate_bus_lag_messages",
  "Messages that a group hasn't finished, by group and topic",
  groups,
)
const members = Instrument.gauge("floodgate_bus_group_members", "Consumers in a group", {
  group: Instrument.declared,
})
const rebalances = Instrument.counter(
  "floodgate_bus_rebalances_total",
  "How often this process got its part of a group's partitions anew",
  { group: Instrument.declared },
)

/** How often lags are asked for. */
const SAMPLE_EVERY_MS = 5_000

/** This process got its part of a group's partitions anew. */
export const rebalanced = (group: string): void => rebalances.inc({ group })

/** The bus, measured. Asks for the lags of what is consumed here, until the scope closes. */
export const metered = (bus: EventBusService): Effect.Effect<EventBusService, never, Scope.Scope> =>
  Effect.gen(function* () {
    /** Topics by the groups that consume them here. */
    const consuming = new Map<string, Set<string>>()

    yield* Sampler.make(
      "the bus's lags",
      Effect.suspend(() =>
        Effect.forEach(
          consuming,
          ([group, groupTopics]) =>
            Effect.zipRight(
              Effect.forEach(
                groupTopics,
                (topic) => Effect.map(bus.lag(group, topic), (count) => lag.set({ group, topic }, count)),
                { discard: true },
              ),
              bus.members === undefined
                ? Effect.void
                : Effect.map(bus.members(group), (count) => members.set({ group }, count)),
            ),
          { discard: true },
        ),
      ),
      SAMPLE_EVERY_MS,
    )

    return {
      ...bus,
      publish: (topic, messages) =>
        Effect.suspend(() => {
          const startedAt = performance.now()
          const label = { topic: topic as TopicLabel }
          return Effect.onExit(bus.publish(topic, messages), (exit) =>
            Effect.sync(() => {
              if (Exit.isSuccess(exit)) {
                publishSeconds.observe(label, (performance.now() - startedAt) / 1_000)
                published.inc(label, messages.length)
              } else publishFailures.inc(label)
            }),
          )
        }),
      consume: (options) =>
        Effect.suspend(() => {
          const { group } = options
          const declared = { group: [group], topic: options.topics }
          for (const one of [consumeSeconds, deliverySeconds, consumed, consumeFailures, lag]) {
            one.declare(declared)
          }
          members.declare({ group: [group] })
          rebalances.declare({ group: [group] })
          consuming.set(group, new Set([...(consuming.get(group) ?? []), ...options.topics]))
          return bus.consume({
            ...options,
            handle: (batch) =>
              Effect.suspend(() => {
                const startedAt = performance.now()
                const label = { group, topic: batch[0]?.topic ?? "other" }
                return Effect.onExit(options.handle(batch), (exit) =>
                  Effect.sync(() => {
                    if (Exit.isSuccess(exit)) {
                      consumeSeconds.observe(label, (performance.now() - startedAt) / 1_000)
                      const oldest = batch[0]
                      if (oldest !== undefined) {
                        deliverySeconds.observe(label, Math.max(0, Date.now() - oldest.timestampMs) / 1_000)
                      }
                      consumed.inc(label, batch.length)
                    } else if (!Cause.isInterruptedOnly(exit.cause)) consumeFailures.inc(label)
                  }),
                )
              }),
          })
        }),
    }
  })
