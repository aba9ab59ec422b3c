/** Breakers before real engines that stop answering. */
import { assert, describe, layer } from "@effect/vitest"
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { BusUnavailable } from "../event-bus/BusError.ts"
import * as EventBus from "../event-bus/EventBus.ts"
import type { EventBusService } from "../event-bus/Message.ts"
import * as GrpcServer from "../grpc/GrpcServer.ts"
import * as Peers from "../grpc/Peers.ts"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as Mysql from "../mysql/Mysql.ts"
import * as Redis from "../redis/Redis.ts"
import * as FreezableProxy from "../testing/FreezableProxy.ts"
import * as TestMysql from "../testing/TestMysql.ts"
import * as TestRedis from "../testing/TestRedis.ts"
import { Breakers, defaults } from "./Breakers.ts"
import { Deadlines } from "./Deadlines.ts"
import { Retries, type RetryName } from "./Retries.ts"

const timed = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.map(self, (value) => ({ value, tookMs: performance.now() - startedAt }))
  })

/** Polls until the effect answers true; gives how long that took (ms). At most 10 s. */
const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    const startedAt = performance.now()
    while (!(yield* condition)) {
      if (performance.now() - startedAt > 10_000)
        return yield* Effect.dieMessage("it didn't happen within 10 s")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 25)))
    }
    return performance.now() - startedAt
  })

const succeeds = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  self.pipe(
    Effect.as(true),
    Effect.orElseSucceed(() => false),
  )

const crowd = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.all(
    Array.from({ length: 20 }, () => Effect.either(call)),
    { concurrency: "unbounded" },
  )

/** Many refusals take as good as no time, where one call to a frozen engine takes its whole deadline. */
const AT_ONCE_MS = 350
/** The most that any breaker lets through at once. */
const PROBES = 3

/**
 * What a crowd before an open breaker is told. A busy machine may be late enough for the pause to be over: then a few of
 * the crowd are let through to find out. All others are told at once.
 */
const turnedAway = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.all(
      Array.from({ length: 20 }, () => timed(Effect.either(call))),
      { concurrency: "unbounded" },
    ),
    (results) => {
      const told = results.filter(({ tookMs }) => tookMs < AT_ONCE_MS)
      assert.isAtLeast(told.length, 20 - PROBES)
      return told.map(({ value }) => value)
    },
  )

const stateOf = (name: string) => Effect.map(Breakers, (breakers) => breakers.states()[name]?.state)

const credential = ServiceCredential.layer({
  service: "edge",
  keys: [Redacted.make("a-service-key-that-only-tests-know")],
})

type InventoryHandlers = GrpcServer.Handlers<typeof InventoryRpc, never>

/** An inventory of a few methods; gives its port. */
const inventoryServer = (handlers: Partial<InventoryHandlers>) =>
  Effect.gen(function* () {
    const unused = () => Effect.dieMessage("not a method of this test")
    const { port } = yield* GrpcServer.make({
      port: Config.succeed(0),
      services: [
        GrpcServer.service(InventoryRpc, {
          ...(Object.fromEntries(
            InventoryRpc.service.methods.map((method) => [method.localName, unused]),
          ) as unknown as InventoryHandlers),
          ...handlers,
        }),
      ],
    })
    return port
  }).pipe(Effect.provide(credential))

/** A client of it, as a process of ours has one. */
const inventoryAt = (
  address: string,
  retries: Layer.Layer<Retries>,
  deadlines: Parameters<typeof Deadlines.layerOf>[0] = {},
) =>
  Effect.map(
    Layer.build(
      Peers.inventory.pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["INVENTORY_URL", address]])))),
        Layer.provide(Layer.mergeAll(credential, retries, Deadlines.layerOf(deadlines))),
      ),
    ),
    Context.get(InventoryClient),
  )

/** What a recovery may cost: the longest pause of 1.5 s, and what a busy machine adds. */
const RECOVERED_MS = 4_000

describe("BreakerWiring", () => {
  layer(
    Layer.mergeAll(
      Layer.scoped(TestRedis.TestRedisServer, TestRedis.make()),
      TestMysql.databases({ migrations: [], main: "main" }),
    ),
    { timeout: "60 seconds", excludeTestServices: true },
  )((it) => {
    it.scoped("a frozen Redis: answers within the deadline, then at once, and back within two seconds", () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.TestRedisServer
        const readiness = yield* Readiness
        const { run } = Context.get(
          yield* Layer.build(Redis.layer({ url: Config.succeed(Redacted.make(server.url)) })),
          Redis.Redis,
        )
        const incr = run("incr", (c) => c.incr("counted"), { deadlineMs: 400 })
        yield* crowd(incr)
        yield* server.pause
        const { value: first, tookMs } = yield* timed(crowd(incr))
        assert.isBelow(tookMs, 1_500)
        for (const result of first) {
          assert.isTrue(result._tag === "Left" && result.left._tag === "RedisOutcomeUnknown")
        }
        assert.strictEqual(yield* stateOf("redis"), "open")

        for (const result of yield* turnedAway(incr)) {
          // Certainly not executed, and how long to wait.
          assert.isTrue(result._tag === "Left" && result.left._tag === "RedisUnavailable")
          if (result._tag === "Left" && result.left._tag === "RedisUnavailable") {
            assert.isAtMost(result.left.retryAfterMs ?? 0, defaults.redis.open_cap_ms)
            assert.isAbove(result.left.retryAfterMs ?? 0, 0)
          }
        }
        // Readiness asks Redis itself, whatever the breaker thinks.
        assert.isFalse((yield* readiness.status).checks["redis"])
        yield* server.resume
        assert.isBelow(yield* eventually(succeeds(incr)), RECOVERED_MS)
        assert.isBelow(
          yield* eventually(
            Effect.zipRight(
              succeeds(incr),
              Effect.map(stateOf("redis"), (state) => state === "closed"),
            ),
          ),
          RECOVERED_MS,
        )
        assert.isTrue((yield* readiness.status).checks["redis"])
      }).pipe(Effect.provide(Layer.merge(Breakers.layer, Readiness.layer))),
    )

    it.scoped("a frozen MySQL: answers within the deadline, then at once, and back within two seconds", () =>
      Effect.gen(function* () {
        const databases = yield* TestMysql.TestDatabases
        const target = new URL(Redacted.value(databases.url("main")))
        const proxy = yield* FreezableProxy.make({ host: target.hostname, port: Number(target.port) })
        target.port = String(proxy.port)
        const { run, sql, transaction } = yield* Mysql.make({
          url: Config.succeed(Redacted.make(target.href)),
          deadlineMs: 3_000,
        })
        const read = run("read", sql`SELECT 1`)
        // A key that stands already, and a conflict, are answers.
        yield* transaction("make", sql`CREATE TABLE taken (id BIGINT PRIMARY KEY)`)
        yield* run("take", sql`INSERT INTO taken (id) VALUES (1)`)
        yield* crowd(transaction("again", sql`INSERT INTO taken (id) VALUES (1)`))
        assert.strictEqual(yield* stateOf("mysql"), "closed")

        yield* proxy.freeze
        const { tookMs } = yield* timed(crowd(read))
        assert.isBelow(tookMs, 6_000)
        assert.strictEqual(yield* stateOf("mysql"), "open")
        for (const result of yield* turnedAway(
          transaction("write", sql`INSERT INTO taken (id) VALUES (2)`),
        )) {
          if (result._tag !== "Left" || result.left._tag !== "MysqlUnavailable") assert.fail("not refused")
          assert.isFalse(result.left.outcomeUnknown)
          assert.isAtMost(result.left.retryAfterMs ?? 0, defaults.mysql.open_cap_ms)
        }
        yield* proxy.thaw
        assert.isBelow(yield* eventually(succeeds(read)), RECOVERED_MS)
      }).pipe(Effect.provide(Breakers.layer)),
    )

    it.scoped("a MySQL that drips is answered for quickly, and the crowd before it stays bounded", () =>
      Effect.gen(function* () {
        const databases = yield* TestMysql.TestDatabases
        const { run, sql } = yield* Mysql.make({
          url: Config.succeed(databases.url("main")),
          maxConnections: 4,
          maxWaiting: 20,
        })
        const drip = run("drip", sql`SELECT SLEEP(1)`)
        const results = yield* Effect.all(
          Array.from({ length: 200 }, () => timed(Effect.either(drip))),
          { concurrency: "unbounded" },
        )
        // Four at work and twenty in line; all others were told at once.
        const waited = results.filter(({ tookMs }) => tookMs > 800)
        assert.isAtMost(waited.length, 24)
        assert.isBelow(Math.max(...results.map(({ tookMs }) => tookMs)), 4_000)
        assert.strictEqual(yield* stateOf("mysql"), "open")
        yield* turnedAway(drip)
      }).pipe(Effect.provide(Breakers.layer)),
    )

    it.scoped("a peer in a black hole: answers within the deadline, then at once, and found again", () =>
      Effect.gen(function* () {
        const port = yield* inventoryServer({
          getProduct: () => Effect.succeed({}),
          listProducts: () => new Busy({ retry_after_ms: 50 }),
        })
        const proxy = yield* FreezableProxy.make({ host: "127.0.0.1", port })
        const inventory = yield* inventoryAt(`127.0.0.1:${proxy.port}`, Retries.layer, {
          "grpc.unary": 1_500,
        })
        const get = inventory.getProduct({ productId: 1n })
        yield* eventually(succeeds(get))
        // A peer that says it is busy has answered.
        yield* crowd(inventory.listProducts({}))
        assert.strictEqual(yield* stateOf("grpc:inventory"), "closed")

        yield* proxy.freeze
        const { tookMs } = yield* timed(crowd(get))
        assert.isBelow(tookMs, 3_000)
        assert.strictEqual(yield* stateOf("grpc:inventory"), "open")
        for (const result of yield* turnedAway(get)) {
          if (result._tag !== "Left" || result.left._tag !== "Busy") assert.fail("not refused")
          assert.isTrue(GrpcClient.wasNotSent(result.left))
          assert.isAbove(result.left.retry_after_ms ?? 0, 0)
        }
        yield* proxy.thaw
        assert.isBelow(yield* eventually(succeeds(get)), RECOVERED_MS)
      }).pipe(Effect.provide(Layer.mergeAll(Breakers.layer, Readiness.layer))),
    )

    it.scoped("one layer repeats: what a service asked in vain four times, its caller asks once", () =>
      Effect.gen(function* () {
        const real = Context.get(yield* Layer.build(Retries.layerTest), Retries)
        let attempts = 0
        const counting = Layer.succeed(Retries, {
          tokens: real.tokens,
          apply:
            <E>(name: RetryName, target: string, isRetryable: (error: E) => boolean) =>
            <A, R>(self: Effect.Effect<A, E, R>) =>
              real.apply(
                name,
                target,
                isRetryable,
              )(
                Effect.suspend(() => {
                  attempts++
                  return self
                }),
              ),
        })
        // Port 1 of the loopback has no listener.
        const beyond = yield* inventoryAt("127.0.0.1:1", counting)
        let handled = 0
        const port = yield* inventoryServer({
          getProduct: () =>
            Effect.suspend(() => {
              handled++
              return Effect.catchTag(beyond.getProduct({ productId: 1n }), "Unauthenticated", Effect.die)
            }),
        })
        const service = yield* inventoryAt(`127.0.0.1:${port}`, counting)
        assert.strictEqual((yield* Effect.flip(service.getProduct({ productId: 1n })))._tag, "Busy")
        assert.strictEqual(handled, 1)
        assert.strictEqual(attempts, 1 + 4)
      }).pipe(Effect.provide(Readiness.layer)),
    )

    it.scoped("publishers are turned away while the bus takes nothing, and go on when it does", () =>
      Effect.gen(function* () {
        let down = true
        let asked = 0
        const breakers = yield* Breakers
        const bus = EventBus.guarded(
          {
            publish: (topic: string) =>
              Effect.suspend(() => {
                asked++
                return down
                  ? Effect.fail(new BusUnavailable({ operation: topic, reason: "down" }))
                  : Effect.void
              }),
          } as unknown as EventBusService,
          breakers.gate("bus"),
        )
        const publish = bus.publish("t", [])
        yield* crowd(publish)
        assert.strictEqual(asked, defaults.bus.minimum)
        const error = yield* Effect.flip(publish)
        assert.strictEqual(error._tag, "BusUnavailable")
        down = false
        yield* eventually(succeeds(publish))
        yield* eventually(Effect.map(stateOf("bus"), (state) => state === "closed"))
      }).pipe(Effect.provide(Breakers.layer)),
    )
  })
})
