import { randomBytes } from "node:crypto"
import { describe, expect, it, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { Redis } from "ioredis"
import * as TestBus from "../testing/TestBus.ts"
import * as EventBus from "./EventBus.ts"
import * as KafkaBus from "./KafkaBus.ts"
import type { IncomingMessage } from "./Message.ts"
import * as RedisStreamsBus from "./RedisStreamsBus.ts"
import * as Scripts from "./RedisStreamsScripts.ts"
import { placeOf } from "./StableHash.ts"

const PARTITIONS = 4

class NotYet extends Data.TaggedError("NotYet")<{ readonly cause: unknown }> {}

/** Tries until the assertions hold; the last failure is the test's. */
const eventually = (check: () => void, seconds = 30) =>
  Effect.try({ try: check, catch: (cause) => new NotYet({ cause }) }).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: seconds * 50 }),
    Effect.catchAll(({ cause }) => Effect.die(cause)),
  )

const text = (message: IncomingMessage): string => Buffer.from(message.value).toString("utf8")

const unique = (name: string): string => `${name}-${randomBytes(4).toString("hex")}`

const newTopic = Effect.gen(function* () {
  const bus = yield* EventBus.EventBus
  const topic = unique("topic")
  yield* bus.ensureTopics({ [topic]: PARTITIONS })
  return { bus, topic, group: unique("group") }
})

const newRedis = Effect.flatMap(TestBus.TestBusServer, ({ url }) =>
  Effect.acquireRelease(
    Effect.sync(() => new Redis(url)),
    (client) => Effect.sync(() => client.disconnect()),
  ),
)

/** A message to every partition, `from` ≤ number < `to`. */
const numbered = (from: number, to: number, partition?: number) =>
  Array.from({ length: to - from }, (_, index) => ({
    key: `key-${from + index}`,
    value: String(from + index),
    partition: partition ?? (from + index) % PARTITIONS,
  }))

const range = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from }, (_, index) => String(from + index))

const byNumber = (values: ReadonlyArray<string>) => [...values].sort((a, b) => Number(a) - Number(b))

/** The promises that every adapter keeps. */
const contract = (bus: Layer.Layer<EventBus.EventBus, unknown>) =>
  layer(bus.pipe(Layer.provide(Logger.minimumLogLevel(LogLevel.None))), {
    excludeTestServices: true,
    timeout: "60 seconds",
  })((it) => {
    it.effect("what was published arrives, in order within its partition, with key, value and headers", () =>
      Effect.gen(function* () {
        const { bus, group, topic } = yield* newTopic
        const got: Array<IncomingMessage> = []
        const value = new Uint8Array([0, 255, 1, 254])
        yield* bus.publish(topic, [
          { key: "binary", value, headers: { traceparent: "00-aa-bb-01", "x-ü": "ß" } },
        ])
        yield* bus.publish(
          topic,
          Array.from({ length: 1_200 }, (_, index) => ({ key: `key-${index % 7}`, value: String(index) })),
        )
        const fiber = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            maxBatch: 50,
            handle: (batch) =>
              Effect.sync(() => {
                expect(batch.length).toBeLessThanOrEqual(50)
                expect(new Set(batch.map(({ partition }) => partition)).size).toBe(1)
                got.push(...batch)
              }),
          }),
        )
        yield* eventually(() => expect(got.length).toBe(1_201))
        const binary = got.find(({ key }) => key === "binary")!
        expect([...binary.value]).toEqual([...value])
        expect(binary.headers).toEqual({ traceparent: "00-aa-bb-01", "x-ü": "ß" })
        expect(binary.topic).toBe(topic)
        expect(binary.partition).toBe(placeOf("binary", PARTITIONS))
        expect(Math.abs(binary.timestampMs - Date.now())).toBeLessThan(60_000)
        for (let key = 0; key < 7; key++) {
          const values = got.filter((message) => message.key === `key-${key}`).map(text)
          expect(values).toEqual(byNumber(values))
          expect(new Set(values).size).toBe(values.length)
        }
        expect(yield* bus.lag(group, topic)).toBe(0)
        yield* Fiber.interrupt(fiber)
        yield* bus.publish(topic, numbered(0, 8))
        expect(yield* bus.lag(group, topic)).toBe(8)
      }),
    )

    it.effect("two consumers of a group share the partitions, and one takes over from the other", () =>
      Effect.gen(function* () {
        const { bus, group, topic } = yield* newTopic
        const got: Record<"a" | "b", Array<IncomingMessage>> = { a: [], b: [] }
        const consumer = (name: "a" | "b") =>
          bus.consume({
            group,
            topics: [topic],
            handle: (batch) => Effect.sync(() => got[name].push(...batch)),
          })
        const places = (messages: ReadonlyArray<IncomingMessage>) =>
          new Set(messages.map(({ partition }) => partition)).size
        const a = yield* Effect.fork(consumer("a"))
        let sent = 0
        const more = Effect.suspend(() => {
          sent += PARTITIONS
          return bus.publish(topic, numbered(sent - PARTITIONS, sent))
        })
        yield* more
        yield* eventually(() => expect(got.a.length).toBe(PARTITIONS))
        const b = yield* Effect.fork(consumer("b"))
        yield* more.pipe(
          Effect.zipRight(Effect.sleep("100 millis")),
          Effect.repeat({ until: () => got.b.length > 0, times: 200 }),
        )
        // Shared: whatever comes now goes to both.
        yield* eventually(() => expect(got.a.length + got.b.length).toBeGreaterThanOrEqual(sent))
        got.a = []
        got.b = []
        const before = sent
        yield* more
        yield* eventually(() => expect(got.a.length + got.b.length).toBe(PARTITIONS))
        expect([places(got.a), places(got.b)]).toEqual([PARTITIONS / 2, PARTITIONS / 2])
        expect(byNumber([...got.a, ...got.b].map(text))).toEqual(range(before, sent))
        yield* Fiber.interrupt(a)
        got.b = []
        yield* more
        yield* eventually(() => expect(got.b.length).toBe(PARTITIONS))
        yield* Fiber.interrupt(b)
        expect(yield* bus.lag(group, topic)).toBe(0)
      }),
    )

    it.effect("a failing batch comes again until it succeeds, while the other partitions go on", () =>
      Effect.gen(function* () {
        const { bus, group, topic } = yield* newTopic
        const got: Array<string> = []
        const failed: Array<ReadonlyArray<string>> = []
        let healed = false
        yield* bus.publish(topic, numbered(0, 40))
        const fiber = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            handle: (batch) =>
              Effect.suspend(() => {
                if (batch[0]!.partition === 2 && !healed) {
                  failed.push(batch.map(text))
                  return failed.length % 2 === 0 ? Effect.die("a defect") : Effect.fail("a failure")
                }
                got.push(...batch.map(text))
                return Effect.void
              }),
          }),
        )
        const others = (to: number) => range(0, to).filter((value) => Number(value) % PARTITIONS !== 2)
        yield* eventually(() => expect(byNumber(got)).toEqual(others(40)))
        yield* bus.publish(topic, numbered(40, 80))
        yield* eventually(() => expect(byNumber(got)).toEqual(others(80)))
        yield* eventually(() => expect(failed.length).toBeGreaterThan(3))
        for (const batch of failed) expect(batch).toEqual(failed[0])
        expect(yield* bus.lag(group, topic)).toBe(20)
        healed = true
        yield* eventually(() => expect(byNumber(got)).toEqual(range(0, 80)))
        const two = got.filter((value) => Number(value) % PARTITIONS === 2)
        expect(two).toEqual(byNumber(two))
        yield* Fiber.interrupt(fiber)
        expect(yield* bus.lag(group, topic)).toBe(0)
      }),
    )

    it.effect("a consumer that ends between handling and success leaves the batch to the next one", () =>
      Effect.gen(function* () {
        const { bus, group, topic } = yield* newTopic
        yield* bus.publish(topic, numbered(0, 10, 1))
        const reached = yield* Deferred.make<ReadonlyArray<string>>()
        const first = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            maxBatch: 4,
            handle: (batch) =>
              Number(text(batch[0]!)) < 4
                ? Effect.void
                : Effect.zipRight(Deferred.succeed(reached, batch.map(text)), Effect.never),
          }),
        )
        const inHand = yield* Deferred.await(reached)
        yield* Fiber.interrupt(first)
        const got: Array<string> = []
        const second = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            handle: (batch) => Effect.sync(() => got.push(...batch.map(text))),
          }),
        )
        yield* eventually(() => expect(got).toEqual(range(4, 10)))
        expect(got.slice(0, inHand.length)).toEqual(inHand)
        yield* Fiber.interrupt(second)
      }),
    )

    it.effect("an interrupted consumer finishes the batch in hand, and nothing of it comes again", () =>
      Effect.gen(function* () {
        const { bus, group, topic } = yield* newTopic
        yield* bus.publish(topic, numbered(0, 10, 3))
        const begun = yield* Deferred.make<void>()
        let finished: ReadonlyArray<string> = []
        const first = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            maxBatch: 5,
            handle: (batch) =>
              Deferred.succeed(begun, undefined).pipe(
                Effect.zipRight(Effect.sleep("700 millis")),
                Effect.zipRight(Effect.sync(() => (finished = [...finished, ...batch.map(text)]))),
              ),
          }),
        )
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(first)
        expect(finished).toEqual(range(0, 5))
        const got: Array<string> = []
        const second = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            handle: (batch) => Effect.sync(() => got.push(...batch.map(text))),
          }),
        )
        yield* eventually(() => expect(got).toEqual(range(5, 10)))
        yield* Fiber.interrupt(second)
      }),
    )

    it.effect("a batch that takes longer than the session keeps its partition", () =>
      Effect.gen(function* () {
        const { bus, group, topic } = yield* newTopic
        yield* bus.publish(topic, numbered(0, 2, 0))
        const got: Array<string> = []
        const fiber = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            maxBatch: 1,
            handle: (batch) =>
              Effect.zipRight(
                Effect.sleep("8 seconds"),
                Effect.sync(() => got.push(...batch.map(text))),
              ),
          }),
        )
        yield* eventually(() => expect(got).toEqual(["0", "1"]), 40)
        yield* Fiber.interrupt(fiber)
        expect(yield* bus.lag(group, topic)).toBe(0)
      }),
    )

    it.effect("a message is there soon when the bus is idle", () =>
      Effect.gen(function* () {
        const { bus, group, topic } = yield* newTopic
        const tookMs: Array<number> = []
        let sentMs = 0
        let arrived = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            handle: () =>
              Effect.suspend(() => {
                tookMs.push(performance.now() - sentMs)
                return Deferred.succeed(arrived, undefined)
              }),
          }),
        )
        for (let index = 0; index < 21; index++) {
          arrived = yield* Deferred.make<void>()
          sentMs = performance.now()
          yield* bus.publish(topic, numbered(index, index + 1))
          yield* Deferred.await(arrived)
          yield* Effect.sleep("130 millis")
        }
        yield* Fiber.interrupt(fiber)
        // The first one waited for the consumer to join.
        const sorted = tookMs.slice(1).sort((a, b) => a - b)
        const median = sorted[Math.floor(sorted.length / 2)]!
        console.log(
          `publish → handle: median ${median.toFixed(1)} ms, worst ${sorted[sorted.length - 1]!.toFixed(1)} ms`,
        )
        expect(median).toBeLessThan(1_000)
      }),
    )

    it.effect("a value that could never be delivered is a defect of its publisher", () =>
      Effect.gen(function* () {
        const { bus, topic } = yield* newTopic
        const exit = yield* Effect.exit(bus.publish(topic, [{ key: "big", value: "x".repeat(800_000) }]))
        expect(Exit.isFailure(exit) && exit.cause._tag === "Die").toBe(true)
        // Larger than one request can carry, but each for itself deliverable.
        yield* bus.publish(
          topic,
          Array.from({ length: 6 }, (_, index) => ({ key: `k${index}`, value: "y".repeat(500_000) })),
        )
        expect(yield* bus.lag("nobody", topic)).toBe(6)
      }),
    )
  })

describe.skipIf(TestBus.kafkaBrokers() === undefined)("Kafka", () => {
  contract(TestBus.layerKafka)
})

describe("Redis Streams", () => {
  contract(TestBus.layerRedisStreams)

  it.live("a consumer and a publisher go on by themselves after the server was stopped and started", () =>
    Effect.gen(function* () {
      const { bus, group, topic } = yield* newTopic
      const server = yield* TestBus.TestBusServer
      const got: Array<string> = []
      const fiber = yield* Effect.fork(
        bus.consume({
          group,
          topics: [topic],
          handle: (batch) => Effect.sync(() => got.push(...batch.map(text))),
        }),
      )
      yield* bus.publish(topic, numbered(0, 10))
      yield* eventually(() => expect(got.length).toBe(10))
      yield* server.stop
      const startedMs = performance.now()
      expect((yield* Effect.flip(bus.publish(topic, numbered(10, 20))))._tag).toBe("BusUnavailable")
      expect(performance.now() - startedMs).toBeLessThan(10_000)
      yield* server.start
      yield* bus
        .publish(topic, numbered(10, 20))
        .pipe(Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 100 }))
      yield* eventually(() => expect(byNumber([...new Set(got)])).toEqual(range(0, 20)))
      yield* Fiber.interrupt(fiber)
      expect(yield* bus.lag(group, topic)).toBe(0)
    }).pipe(Effect.provide(TestBus.layerRedisStreams), Logger.withMinimumLogLevel(LogLevel.None)),
  )

  it.live("an emptied server is another life: it is noticed, and read from its beginning", () =>
    Effect.gen(function* () {
      const { bus, group, topic } = yield* newTopic
      const server = yield* TestBus.TestBusServer
      const got: Array<string> = []
      const fiber = yield* Effect.fork(
        bus.consume({
          group,
          topics: [topic],
          handle: (batch) => Effect.sync(() => got.push(...batch.map(text))),
        }),
      )
      yield* bus.publish(topic, numbered(0, 10))
      yield* eventually(() => expect(got.length).toBe(10))
      const before = yield* bus.incarnation
      expect(yield* bus.incarnation).toBe(before)
      const passed = yield* bus.checkpoint
      yield* passed.pipe(Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("20 millis") }))
      yield* server.flushall
      expect(yield* bus.incarnation).not.toBe(before)
      expect(yield* passed).toBe(false)
      yield* bus.publish(topic, numbered(0, 20))
      yield* eventually(() => expect(new Set(got.slice(10))).toEqual(new Set(range(0, 20))))
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(TestBus.layerRedisStreams), Logger.withMinimumLogLevel(LogLevel.None)),
  )

  it.scopedLive("a checkpoint isn't passed while nobody reads a topic that has messages", () =>
    Effect.gen(function* () {
      const { bus, group, topic } = yield* newTopic
      const redis = yield* newRedis
      // As if this life had begun long ago.
      yield* Effect.promise(() => redis.set("bus:incarnation", "1-old"))
      yield* bus.publish(topic, numbered(0, 8))
      const passed = yield* bus.checkpoint
      expect(yield* passed).toBe(false)
      yield* Effect.fork(bus.consume({ group, topics: [topic], handle: () => Effect.void }))
      yield* passed.pipe(Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("20 millis") }))
    }).pipe(Effect.provide(TestBus.layerRedisStreams), Logger.withMinimumLogLevel(LogLevel.None)),
  )

  it.scopedLive("a checkpoint isn't passed in a life in which consumers may not have shown up yet", () =>
    Effect.gen(function* () {
      const { bus, group, topic } = yield* newTopic
      const redis = yield* newRedis
      yield* Effect.fork(bus.consume({ group, topics: [topic], handle: () => Effect.void }))
      yield* bus.publish(topic, numbered(0, 8))
      yield* bus
        .lag(group, topic)
        .pipe(Effect.repeat({ until: (lag) => lag === 0, schedule: Schedule.spaced("20 millis") }))
      yield* Effect.promise(() => redis.set("bus:incarnation", `${Date.now() + 60_000}-young`))
      expect(yield* yield* bus.checkpoint).toBe(false)
      yield* Effect.promise(() => redis.set("bus:incarnation", "1-old"))
      expect(yield* yield* bus.checkpoint).toBe(true)
    }).pipe(Effect.provide(TestBus.layerRedisStreams), Logger.withMinimumLogLevel(LogLevel.None)),
  )

  it.live("a checkpoint is passed when every known group has finished what was there", () =>
    Effect.gen(function* () {
      const { bus, topic } = yield* newTopic
      const open = yield* Effect.makeLatch(false)
      const consumer = (group: string, wait: Effect.Effect<void>) =>
        Effect.fork(bus.consume({ group, topics: [topic], handle: () => wait }))
      const quick = yield* consumer("quick", Effect.void)
      const slow = yield* consumer("slow", open.await)
      yield* bus.publish(topic, numbered(0, 8))
      yield* bus
        .lag("quick", topic)
        .pipe(Effect.repeat({ until: (lag) => lag === 0, schedule: Schedule.spaced("20 millis") }))
      const passed = yield* bus.checkpoint
      expect(yield* passed).toBe(false)
      yield* open.open
      yield* passed.pipe(Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("20 millis") }))
      yield* Fiber.interruptAll([quick, slow])
    }).pipe(Effect.provide(TestBus.layerRedisStreams), Logger.withMinimumLogLevel(LogLevel.None)),
  )

  it.live("a consumer that lost its partition stores nothing, and its late batch is the new holder's", () =>
    Effect.gen(function* () {
      const { bus, group, topic } = yield* newTopic
      const redis = yield* newRedis
      const begun = yield* Deferred.make<void>()
      const open = yield* Effect.makeLatch(false)
      yield* bus.publish(topic, numbered(0, 5, 1))
      const fiber = yield* Effect.fork(
        bus.consume({
          group,
          topics: [topic],
          handle: () =>
            Effect.uninterruptible(Effect.zipRight(Deferred.succeed(begun, undefined), open.await)),
        }),
      )
      yield* Deferred.await(begun)
      // As if it had been stopped for longer than its lease, and another one had taken over.
      yield* Effect.promise(() => redis.hset(`bus:leases:${topic}:${group}`, "1", "99999999999999 another"))
      yield* open.open
      yield* Fiber.interrupt(fiber)
      expect(yield* bus.lag(group, topic)).toBe(5)
      expect(yield* Effect.promise(() => redis.hgetall(`bus:leases:${topic}:${group}`))).toEqual({
        "1": "99999999999999 another",
      })
    }).pipe(
      Effect.scoped,
      Effect.provide(TestBus.layerRedisStreams),
      Logger.withMinimumLogLevel(LogLevel.None),
    ),
  )

  it.live("retention deletes what every known group has finished, and never what one hasn't", () =>
    Effect.gen(function* () {
      const { bus, topic } = yield* newTopic
      const redis = yield* newRedis
      const trim = (keep: number, ageMs: number) =>
        Effect.promise(() =>
          redis.eval(
            Scripts.TRIM,
            3,
            `bus:stream:${topic}:0`,
            `bus:counter:${topic}:0`,
            `bus:groups:${topic}`,
            0,
            keep,
            ageMs,
            60_000,
            `bus:cursors:${topic}:`,
          ),
        )
      const left = Effect.promise(async () =>
        (await redis.xrange(`bus:stream:${topic}:0`, "-", "+")).map(([, fields]) => fields[3]),
      )
      const consumer = (group: string, until: number) =>
        Effect.fork(
          bus.consume({
            group,
            topics: [topic],
            maxBatch: 1,
            handle: (batch) => (Number(text(batch[0]!)) < until ? Effect.void : Effect.fail("stuck")),
          }),
        )
      yield* bus.publish(topic, numbered(0, 20, 0))
      yield* trim(0, -60_000)
      expect(yield* left).toEqual(range(0, 20))
      const quick = yield* consumer("quick", 20)
      const slow = yield* consumer("slow", 12)
      const finished = (group: string, lag: number) =>
        bus
          .lag(group, topic)
          .pipe(Effect.repeat({ until: (is) => is === lag, schedule: Schedule.spaced("20 millis") }))
      yield* finished("quick", 0)
      yield* finished("slow", 8)
      yield* trim(15, 60_000)
      expect(yield* left).toEqual(range(5, 20))
      yield* trim(0, 60_000)
      expect(yield* left).toEqual(range(12, 20))
      yield* trim(0, -60_000)
      expect(yield* left).toEqual(range(12, 20))
      yield* Fiber.interruptAll([quick, slow])
    }).pipe(
      Effect.scoped,
      Effect.provide(TestBus.layerRedisStreams),
      Logger.withMinimumLogLevel(LogLevel.None),
    ),
  )
})

describe("the bus away", () => {
  it.live("publishing fails as BusUnavailable in time, also for a caller that can't be interrupted", () =>
    Effect.gen(function* () {
      const buses = [
        yield* KafkaBus.make({ brokers: ["127.0.0.1:1"], replicationFactor: 1 }),
        yield* RedisStreamsBus.make({ url: Redacted.make("redis://127.0.0.1:1") }),
      ]
      for (const bus of buses) {
        const startedMs = performance.now()
        const error = yield* Effect.flip(Effect.uninterruptible(bus.publish("order.events", numbered(0, 3))))
        expect(error._tag).toBe("BusUnavailable")
        expect(performance.now() - startedMs).toBeLessThan(10_500)
      }
    }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None)),
  )

  it.live("a consumer waits for it, and can be interrupted meanwhile", () =>
    Effect.gen(function* () {
      const bus = yield* KafkaBus.make({ brokers: ["127.0.0.1:1"], replicationFactor: 1 })
      const fiber = yield* Effect.fork(
        bus.consume({ group: "g", topics: ["order.events"], handle: () => Effect.void }),
      )
      yield* Effect.sleep("3 seconds")
      expect(fiber.unsafePoll()).toBe(null)
      const startedMs = performance.now()
      yield* Fiber.interrupt(fiber)
      expect(performance.now() - startedMs).toBeLessThan(5_000)
    }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None)),
  )

  it.effect("a configuration without a bus is refused with the keys to set", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(EventBus.layer)))
      expect(error.issues.join()).toContain("REDIS_BUS_URL")
    }).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map()))),
  )
})
