/** Event buses for tests, on real engines. */
import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Topic from "@floodgate/contracts/events/Topic"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { Redis } from "ioredis"
import { Kafka, logLevel } from "kafkajs"
import type { BusUnavailable } from "../event-bus/BusError.ts"
import { EventBus } from "../event-bus/EventBus.ts"
import * as KafkaBus from "../event-bus/KafkaBus.ts"
import * as RedisStreamsBus from "../event-bus/RedisStreamsBus.ts"
import { inject } from "./Injected.ts"

/** The brokers that the test run has, or undefined where there is no Kafka. */
export const kafkaBrokers = (): ReadonlyArray<string> | undefined => inject("kafkaBrokers")?.split(",")

/** Kafka with topic and group names of its own, and the contracts' topics in place. They go at the end. */
export const layerKafka: Layer.Layer<EventBus, BusUnavailable> = Layer.scoped(
  EventBus,
  Effect.gen(function* () {
    const brokers = kafkaBrokers()
    if (brokers === undefined) return yield* Effect.dieMessage("this test run has no Kafka")
    const prefix = `t${randomBytes(4).toString("hex")}.`
    yield* Effect.addFinalizer(() => Effect.promise(() => removeTopics(brokers, prefix)))
    const bus = yield* KafkaBus.make({ brokers, replicationFactor: 1, prefix })
    yield* bus.ensureTopics(Topic.partitions)
    return bus
  }),
)

const removeTopics = async (brokers: ReadonlyArray<string>, prefix: string): Promise<void> => {
  const admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin()
  try {
    await admin.connect()
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix))
    if (topics.length > 0) await admin.deleteTopics({ topics })
  } finally {
    await admin.disconnect()
  }
}

/** The redis-server behind a test's bus. */
export interface TestBusServerService {
  readonly url: string
  /** Orderly; what was written stays. */
  readonly stop: Effect.Effect<void>
  /** On the port it had. Returns when it answers. */
  readonly start: Effect.Effect<void>
  readonly flushall: Effect.Effect<void>
}

export class TestBusServer extends Context.Tag("@floodgate/runtime/testing/TestBusServer")<
  TestBusServer,
  TestBusServerService
>() {}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** A redis-server as the bus wants it, of this test alone. */
export const layerServer: Layer.Layer<TestBusServer> = Layer.scoped(
  TestBusServer,
  Effect.gen(function* () {
    const dir = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "floodgate-bus-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
    )
    const port = yield* Effect.promise(freePort)
    const url = `redis://127.0.0.1:${port}`
    let child: ChildProcess | undefined

    const ask = (command: "PING" | "FLUSHALL") =>
      Effect.promise(async () => {
        const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
        client.on("error", () => undefined)
        try {
          await client.connect()
          await client.call(command)
          return true
        } catch {
          return false
        } finally {
          client.disconnect()
        }
      })

    const start = Effect.suspend(() => {
      child = spawn(
        inject("redisServerBinary"),
        [
          ...["--port", String(port), "--bind", "127.0.0.1", "--dir", dir, "--save", ""],
          ...["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"],
        ],
        { argv0: "redis-server", stdio: "ignore" },
      )
      return ask("PING").pipe(
        Effect.flatMap((up) => (up ? Effect.void : Effect.fail("not yet"))),
        Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 500 }),
        Effect.orDie,
      )
    })

    const stop = Effect.promise(async () => {
      const running = child
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
      const gone = new Promise((resolve) => running.once("exit", resolve))
      running.kill("SIGTERM")
      await gone
    })

    yield* Effect.addFinalizer(() => stop)
    yield* start
    return { url, start, stop, flushall: Effect.asVoid(ask("FLUSHALL")) }
  }),
)

/** The bus on a redis-server of its own. */
export const layerRedisStreams: Layer.Layer<EventBus | TestBusServer> = Layer.scoped(
  EventBus,
  Effect.flatMap(TestBusServer, ({ url }) => RedisStreamsBus.make({ url: Redacted.make(url) })),
).pipe(Layer.provideMerge(layerServer))
