/**
 * Tries reservations again that failed by themselves: one consumer a retry topic, which lets each message rest until its
 * delay is over. While one rests, those behind it in its partition have to rest anyway, as theirs is over later; other
 * partitions, other topics and the main line don't notice. The bus keeps the heartbeat going meanwhile.
 */
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { type BusFailed, EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { OrderingConfig } from "../OrderingConfig.ts"
import { RETRY_TOPICS } from "./FailedMessages.ts"
import * as OrderWorker from "./OrderWorker.ts"

/** Messages of one batch at most: it comes again as a whole when this process loses its partition in between. */
const MAX_BATCH = 50

/**
 * How long a message has still to rest, ms: never longer than the whole delay, whatever the clock of whoever sent it
 * said.
 */
export const restMs = (sentAtMs: number, nowMs: number, delayMs: number): number =>
  Math.min(delayMs, Math.max(0, sentAtMs + delayMs - nowMs))

/** Consumes one retry topic until interrupted. An interruption doesn't wait for messages that rest. */
const run = (
  topic: (typeof RETRY_TOPICS)[number],
  delayMs: number,
): Effect.Effect<never, BusFailed, EventBus | OrderWorker.Needs> =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const handle = yield* OrderWorker.makeHandler
    const stopping = yield* Deferred.make<never>()
    const consume = bus.consume({
      group: topic,
      topics: [topic],
      maxBatch: MAX_BATCH,
      handle: (batch: ReadonlyArray<IncomingMessage>) =>
        Effect.forEach(
          batch,
          (message) =>
            Effect.gen(function* () {
              const rest = restMs(message.timestampMs, yield* Clock.currentTimeMillis, delayMs)
              if (rest > 0) yield* Effect.raceFirst(Effect.sleep(rest), Deferred.await(stopping))
              yield* handle([message])
            }),
          { discard: true },
        ),
    })
    // A fiber of its own, so that the rests end before the consumer is told to: it would wait for them.
    return yield* Effect.acquireUseRelease(
      Effect.forkDaemon(Effect.interruptible(consume)),
      Fiber.join,
      (consumer) => Effect.zipRight(Deferred.interrupt(stopping), Fiber.interrupt(consumer)),
    )
  })

/** All of them, while the scope is open. */
export const layer: Layer.Layer<never, never, EventBus | OrderWorker.Needs> = Layer.unwrapEffect(
  Effect.map(OrderingConfig, ({ retryDelaysMs }) =>
    Layer.mergeAll(
      ...(RETRY_TOPICS.map((topic, i) => Consumer.layer(topic, run(topic, retryDelaysMs[i]!))) as [
        Layer.Layer<never, never, EventBus | OrderWorker.Needs>,
      ]),
    ),
  ),
)
