import { copyFileSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import { BusUnavailable } from "../event-bus/BusError.ts"
import { EventBus, guarded } from "../event-bus/EventBus.ts"
import type { EventBusService, OutgoingMessage } from "../event-bus/Message.ts"
import { Mysql } from "../mysql/Mysql.ts"
import * as Breakers from "../resilience/Breakers.ts"
import * as TestBus from "../testing/TestBus.ts"
import * as TestMysql from "../testing/TestMysql.ts"
import * as Inbox from "./Inbox.ts"
import * as Outbox from "./Outbox.ts"

const dir = mkdtempSync(join(tmpdir(), "floodgate-outbox-"))
copyFileSync(new URL("./outbox.sql", import.meta.url), join(dir, "0001_outbox.sql"))

const database = TestMysql.layer({ migrations: [{ name: "outbox", dir }], main: "outbox" })

/** A bus that writes down what it gets, and can be told to fail, to hold a publish, or to begin another life. */
const makeBus = Effect.gen(function* () {
  const open = yield* Effect.makeLatch(true)
  const state = { sent: [] as Array<OutgoingMessage>, down: false, life: "first", calls: 0, passes: true }
  const service: EventBusService = {
    publish: (topic, messages) =>
      Effect.gen(function* () {
        state.calls++
        yield* open.await
        if (state.down) {
          return yield* new BusUnavailable({ operation: `publish ${topic}`, reason: "down" })
        }
        state.sent.push(...messages)
      }),
    consume: () => Effect.never,
    lag: () => Effect.succeed(0),
    ensureTopics: () => Effect.void,
    incarnation: Effect.sync(() => state.life),
    checkpoint: Effect.succeed(Effect.sync(() => state.passes)),
  }
  return { open, state, layer: Layer.succeed(EventBus, service) }
})

const relay = (name: string, bus: Layer.Layer<EventBus>) =>
  Effect.map(Layer.build(Outbox.relayLayer({ name }).pipe(Layer.provide(bus))), (context) => context)

const row = (number: number, aggregate = `order-${number % 5}`) => ({
  event_id: `event-${number}`,
  topic: "order.events",
  aggregate,
  type: "order.created",
  payload: JSON.stringify({ number }),
})

const rows = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => row(from + index))

const commit = (from: number, to: number) =>
  Effect.flatMap(Mysql, (mysql) => mysql.transaction("test", Outbox.append(rows(from, to))))

const numberOf = (message: OutgoingMessage): number => JSON.parse(String(message.value)).number

const numbers = (messages: ReadonlyArray<OutgoingMessage>) => messages.map(numberOf)

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

const expectInOrder = (messages: ReadonlyArray<OutgoingMessage>) => {
  for (const key of new Set(messages.map((message) => message.key))) {
    const own = numbers(messages.filter((message) => message.key === key))
    expect(own).toEqual([...own].sort((a, b) => a - b))
  }
}

class NotYet extends Data.TaggedError("NotYet")<{ readonly cause: unknown }> {}

/** Tries until the assertions hold; the last failure is the test's. */
const eventually = (check: () => void, seconds = 30) =>
  Effect.try({ try: check, catch: (cause) => new NotYet({ cause }) }).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: seconds * 50 }),
    Effect.catchAll(({ cause }) => Effect.die(cause)),
  )

const unsent = Effect.flatMap(Mysql, ({ run, sql }) =>
  run("unsent", sql<{ id: number }>`SELECT id FROM outbox WHERE sent_at IS NULL`),
).pipe(Effect.map((found) => found.length))

const eventuallyUnsent = (count: number) =>
  unsent.pipe(
    Effect.filterOrFail(
      (left) => left === count,
      (left) => new NotYet({ cause: `${left} rows are unsent, not ${count}` }),
    ),
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 1_000 }),
  )

const holders = Effect.flatMap(Mysql, ({ run, sql }) =>
  run(
    "holders",
    sql<{ owner: string; buckets: number }>`
      SELECT owner, CAST(COUNT(*) AS SIGNED) AS buckets FROM outbox_lease
      WHERE expires_at > UTC_TIMESTAMP(3) GROUP BY owner`,
  ),
)

const steal = Effect.flatMap(Mysql, ({ run, sql }) =>
  run(
    "steal",
    sql`UPDATE outbox_lease SET owner = 'thief', epoch = epoch + 1, expires_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR`,
  ),
)

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

describe("Outbox", () => {
  it.scopedLive("exactly the committed rows leave, each aggregate's in order, with what consumers need", () =>
    Effect.gen(function* () {
      const mysql = yield* Mysql
      const bus = yield* makeBus
      const context = yield* relay("a", bus.layer)
      yield* commit(0, 250)
      yield* mysql
        .transaction("undone", Effect.zipRight(Outbox.append(rows(1_000, 1_100)), Effect.fail("no")))
        .pipe(Effect.flip)
      yield* mysql.transaction(
        "traced",
        Outbox.append([
          { ...row(250), traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
        ]),
      )
      yield* Outbox.nudge().pipe(Effect.provide(context))
      yield* eventuallyUnsent(0)
      expect(numbers(bus.state.sent).sort((a, b) => a - b)).toEqual(range(0, 251))
      expectInOrder(bus.state.sent)
      const traced = bus.state.sent.find((message) => numberOf(message) === 250)
      expect(traced).toEqual({
        key: "order-0",
        value: JSON.stringify({ number: 250 }),
        headers: {
          "event-id": "event-250",
          "event-type": "order.created",
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
      })
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("a nudge sends at once, and without one the relay finds the row soon", () =>
    Effect.gen(function* () {
      const bus = yield* makeBus
      const context = yield* relay("a", bus.layer)
      yield* commit(0, 1)
      yield* eventually(() => expect(bus.state.sent.length).toBe(1))
      const took = (nudged: boolean) =>
        Effect.gen(function* () {
          const took: Array<number> = []
          for (let index = 0; index < 11; index++) {
            const before = bus.state.sent.length
            yield* commit(index, index + 1)
            const committedMs = performance.now()
            if (nudged) yield* Outbox.nudge().pipe(Effect.provide(context))
            yield* Effect.sync(() => bus.state.sent.length > before).pipe(
              Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("1 millis") }),
            )
            took.push(performance.now() - committedMs)
            yield* Effect.sleep("40 millis")
          }
          return took.sort((a, b) => a - b)[5]!
        })
      const [nudged, found] = [yield* took(true), yield* took(false)]
      console.log(`commit → publish: median ${nudged.toFixed(1)} ms nudged, ${found.toFixed(1)} ms found`)
      expect(found).toBeLessThan(1_000)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("rows wait while the bus is down, and leave in order when it is back", () =>
    Effect.gen(function* () {
      const bus = yield* makeBus
      yield* relay("a", bus.layer)
      bus.state.down = true
      yield* commit(0, 120)
      yield* eventually(() => expect(bus.state.calls).toBeGreaterThan(3))
      yield* commit(120, 240)
      expect(yield* unsent).toBe(240)
      bus.state.down = false
      yield* eventuallyUnsent(0)
      expect(numbers(bus.state.sent).sort((a, b) => a - b)).toEqual(range(0, 240))
      expectInOrder(bus.state.sent)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("a breaker that lets one call find out is closed by it, however many buckets wait", () =>
    Effect.gen(function* () {
      const bus = yield* makeBus
      const { gate } = yield* Breakers.make(Breakers.defaults, () => performance.now())
      const plain = yield* EventBus.pipe(Effect.provide(bus.layer))
      // Slow enough that who is turned away knows it long before the call that finds out is answered.
      const slow: EventBusService = {
        ...plain,
        publish: (topic, messages) =>
          Effect.zipRight(Effect.sleep("100 millis"), plain.publish(topic, messages)),
      }
      yield* relay("a", Layer.succeed(EventBus, guarded(slow, gate("bus"))))
      bus.state.down = true
      yield* commit(0, 100)
      const open = Effect.sync(() => gate("bus").waitMs() > 0)
      yield* Effect.repeat(open, { until: (is) => is, schedule: Schedule.spaced("20 millis") })
      bus.state.down = false
      yield* eventually(() => expect(bus.state.sent.length).toBeGreaterThanOrEqual(100), 10)
      yield* eventuallyUnsent(0)
      expectInOrder(bus.state.sent)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("two relays share one outbox without reordering an aggregate or sending twice", () =>
    Effect.gen(function* () {
      const bus = yield* makeBus
      yield* relay("a", bus.layer)
      yield* relay("b", bus.layer)
      for (let from = 0; from < 400; from += 20) yield* commit(from, from + 20)
      yield* eventuallyUnsent(0)
      expect(numbers(bus.state.sent).sort((a, b) => a - b)).toEqual(range(0, 400))
      expectInOrder(bus.state.sent)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive(
    "a relay that lost its lease while it published marks nothing; its successor sends the rows again",
    () =>
      Effect.gen(function* () {
        const { run, sql } = yield* Mysql
        const bus = yield* makeBus
        yield* relay("a", bus.layer)
        yield* commit(0, 1)
        yield* eventuallyUnsent(0)
        yield* bus.open.close
        const calls = bus.state.calls
        yield* commit(1, 11)
        yield* eventually(() => expect(bus.state.calls).toBeGreaterThanOrEqual(calls + 4))
        yield* steal
        yield* bus.open.open
        yield* eventually(() => expect(new Set(numbers(bus.state.sent)).size).toBe(11))
        yield* Effect.sleep("500 millis")
        expect(yield* unsent).toBe(10)
        yield* run("end", sql`UPDATE outbox_lease SET expires_at = UTC_TIMESTAMP(3) WHERE owner = 'thief'`)
        yield* eventuallyUnsent(0)
        expect([...new Set(numbers(bus.state.sent))].sort((a, b) => a - b)).toEqual(range(0, 11))
      }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("a relay that ends gives its buckets back, so that another one goes on at once", () =>
    Effect.gen(function* () {
      const bus = yield* makeBus
      const first = yield* Effect.fork(Effect.scoped(Effect.zipRight(relay("a", bus.layer), Effect.never)))
      yield* commit(0, 10)
      yield* eventuallyUnsent(0)
      expect((yield* holders).map(({ buckets }) => buckets)).toEqual([16])
      yield* Fiber.interrupt(first)
      expect(yield* holders).toEqual([])
      yield* relay("b", bus.layer)
      yield* commit(10, 20)
      yield* eventuallyUnsent(0)
      expect(numbers(bus.state.sent)).toHaveLength(20)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive("another life of the bus gets everything since the last checkpoint again", () =>
    Effect.gen(function* () {
      const { run, sql } = yield* Mysql
      const bus = yield* makeBus
      yield* relay("a", bus.layer)
      yield* commit(0, 50)
      yield* eventuallyUnsent(0)
      // Wait for a checkpoint behind these rows.
      yield* run(
        "checkpoint",
        sql<{ n: number }>`
          SELECT CAST(COUNT(*) AS SIGNED) AS n FROM outbox JOIN outbox_lease USING (bucket)
          WHERE sent_at >= checkpoint_at`,
      ).pipe(
        Effect.filterOrFail(
          ([found]) => found!.n === 0,
          () => new NotYet({ cause: "no checkpoint yet" }),
        ),
        Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 200 }),
      )
      bus.state.passes = false
      yield* commit(50, 350)
      yield* eventuallyUnsent(0)
      bus.state.sent.length = 0
      bus.state.life = "second"
      yield* eventually(() => expect(new Set(numbers(bus.state.sent)).size).toBeGreaterThanOrEqual(300))
      yield* eventuallyUnsent(0)
      expect([...new Set(numbers(bus.state.sent))].sort((a, b) => a - b)).toEqual(range(50, 350))
      expectInOrder(bus.state.sent)
    }).pipe(Effect.provide(database), quiet),
  )

  it.scopedLive(
    "a Redis bus that is emptied loses nothing: its consumers get everything that they hadn't finished",
    () =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const server = yield* TestBus.TestBusServer
        yield* relay("a", Layer.succeed(EventBus, bus))
        yield* commit(0, 50)
        yield* eventuallyUnsent(0)
        // Long enough for a checkpoint, which must not be taken for passed: nobody has read anything yet.
        yield* Effect.sleep("8 seconds")
        yield* commit(50, 100)
        yield* eventuallyUnsent(0)
        yield* server.flushall
        yield* commit(100, 120)
        const got = new Set<number>()
        yield* Effect.fork(
          bus.consume({
            group: "late",
            topics: ["order.events"],
            handle: (batch) =>
              Effect.sync(() => {
                for (const { value } of batch) got.add(JSON.parse(Buffer.from(value).toString()).number)
              }),
          }),
        )
        yield* eventually(() => expect(got.size).toBe(120))
      }).pipe(Effect.provide(Layer.merge(database, TestBus.layerRedisStreams)), quiet),
  )

  it.scopedLive("a payload that could never be sent is refused as a defect", () =>
    Effect.gen(function* () {
      const mysql = yield* Mysql
      const exit = yield* Effect.exit(
        mysql.transaction("big", Outbox.append([{ ...row(0), payload: "x".repeat(600_000) }])),
      )
      expect(exit._tag === "Failure" && exit.cause._tag === "Die").toBe(true)
      expect(yield* unsent).toBe(0)
    }).pipe(Effect.provide(database), quiet),
  )
})

describe("Inbox", () => {
  it.scopedLive("an event is new once for each consumer, and only if its transaction commits", () =>
    Effect.gen(function* () {
      const mysql = yield* Mysql
      const take = (consumer: string, event: string) =>
        mysql.transaction("take", Inbox.firstTime(consumer, event))
      expect(yield* take("inventory", "e1")).toBe(true)
      expect(yield* take("inventory", "e1")).toBe(false)
      expect(yield* take("payment", "e1")).toBe(true)
      yield* mysql
        .transaction("undone", Effect.zipRight(Inbox.firstTime("inventory", "e2"), Effect.fail("no")))
        .pipe(Effect.flip)
      expect(yield* take("inventory", "e2")).toBe(true)
      const both = yield* Effect.all([take("inventory", "e3"), take("inventory", "e3")], {
        concurrency: "unbounded",
      })
      expect(both.filter((first) => first)).toHaveLength(1)
    }).pipe(Effect.provide(database), quiet),
  )
})
