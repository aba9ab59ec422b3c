import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import * as Errors from "@floodgate/contracts/errors/Errors"
import {
  GetProductRequestSchema,
  InventoryService,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "@floodgate/contracts/gen/grpc/health/v1/health_pb"
import { CallDeadline } from "@floodgate/contracts/rpc/CallDeadline"
import { defineRpc } from "@floodgate/contracts/rpc/defineRpc"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js"
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as GrpcServer from "./GrpcServer.ts"

const key = Redacted.make("a-service-key-that-only-tests-know")
const otherKey = Redacted.make("a-service-key-that-nobody-may-have")
const credential = ServiceCredential.make({ service: "tester", keys: [key] })
const alice = { user_id: 7, username: "alice", roles: ["customer", "operator"] }

const all = Object.values(Errors.errorClasses)
type Others = Exclude<keyof typeof InventoryService.method, "getProduct">
const others = Object.keys(InventoryService.method).filter((name) => name !== "getProduct")
const TestRpc = defineRpc(InventoryService, {
  ...(Object.fromEntries(others.map((name) => [name, []])) as unknown as Record<Others, []>),
  getProduct: all,
})
type TestRpc = typeof TestRpc

const unused = () => Effect.dieMessage("not a method of this test")
const nothing = Object.fromEntries(
  Object.keys(InventoryService.method).map((name) => [name, unused]),
) as unknown as GrpcServer.Handlers<TestRpc, never>

/** A server on a free port, in the test's scope, and its address. */
const serve = (
  handlers: Partial<GrpcServer.Handlers<TestRpc, never>>,
  options?: { readonly drainMs?: number; readonly maxConcurrentCalls?: number },
) =>
  GrpcServer.make({
    port: Config.succeed(0),
    host: Config.succeed("127.0.0.1"),
    services: [GrpcServer.service(TestRpc, { ...nothing, ...handlers })],
    ...options,
  }).pipe(
    Effect.map(({ port }) => `127.0.0.1:${port}`),
    Effect.provideService(ServiceCredential.ServiceCredential, credential),
  )

const client = (url: string, options?: Partial<GrpcClient.ClientOptions>) =>
  GrpcClient.make(TestRpc, { url, credential, ...options })

const served = (
  handlers: Partial<GrpcServer.Handlers<TestRpc, never>>,
  options?: { readonly drainMs?: number; readonly maxConcurrentCalls?: number },
) => Effect.flatMap(serve(handlers, options), client)

/** A call as any gRPC library could make it: what comes back is the status itself. */
const raw = (
  url: string,
  path: string,
  request: Uint8Array,
  headers: Record<string, string>,
): Effect.Effect<{ readonly error: ServiceError | null; readonly answer: Buffer | undefined }> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Client(url, credentials.createInsecure())),
    (channel) =>
      Effect.async((resume) => {
        const metadata = new Metadata()
        for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
        channel.makeUnaryRequest(
          path,
          (bytes: Buffer) => bytes,
          (bytes: Buffer) => bytes,
          Buffer.from(request),
          metadata,
          { deadline: Date.now() + 5_000 },
          (error, answer) => resume(Effect.succeed({ error, answer })),
        )
      }),
    (channel) => Effect.sync(() => channel.close()),
  )

const getProductPath = "/floodgate.inventory.v1.InventoryService/GetProduct"
const getProduct = toBinary(GetProductRequestSchema, create(GetProductRequestSchema, { productId: 1n }))
const authorized = () => ({ authorization: credential.authorization() })

const eventually = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry(Schedule.spaced(10).pipe(Schedule.upTo(10_000))),
    Effect.orDieWith(() => new Error("the condition never held")),
  )

const samples: ReadonlyArray<Errors.FloodgateError> = [
  Errors.InvalidInput.at("items.0.id", "must be positive"),
  new Errors.Unauthenticated(),
  new Errors.Forbidden({ permission: "product:write" }),
  new Errors.NotFound(),
  new Errors.MethodNotAllowed({ allow: ["GET"] }),
  new Errors.RequestTimeout(),
  new Errors.BodyTooLarge({ limit_bytes: 65_536 }),
  new Errors.UnsupportedMediaType(),
  new Errors.RateLimited({ retry_after_ms: 1_500 }),
  new Errors.Internal(),
  new Errors.UsernameTaken(),
  new Errors.WrongCredentials(),
  new Errors.SoldOut({ left: 2 }),
  new Errors.AlreadyBought({ order_num: "b", order_nums: ["a", "b"], limit: 2 }),
  new Errors.NotStarted({ start_time: "2026-01-01T00:00:00.000Z" }),
  new Errors.Ended({ end_time: "2026-01-01T00:00:00.000Z" }),
  new Errors.NotOnSale(),
  new Errors.WrongState({ state: "paid" }),
  new Errors.IdempotencyMismatch(),
  new Errors.InFlight({ id: 12 }),
  new Errors.PaymentMismatch(),
  new Errors.PaymentDeclined({ payment_id: "p1" }),
  new Errors.StaleVersion({ version: 3 }),
  new Errors.Busy({ retry_after_ms: 200, order_num: "n1", id: "x", status: "draft" }),
  new Errors.Banned(),
  new Errors.FrequencyLimited({ retry_after_ms: 10 }),
  new Errors.AddressBlocked(),
  new Errors.ChallengeRequired({ kind: "pow", product_id: 9 }),
  new Errors.WaitingRoom({ state: "waiting", position: 4, ahead: 3, retry_after_ms: 900 }),
]

describe("answers", () => {
  it.scopedLive("a request and its answer cross unchanged, with the calling service and user", () =>
    Effect.gen(function* () {
      const seen: Array<GrpcServer.CallContext> = []
      const stub = yield* served({
        getProduct: (request, context) => {
          seen.push(context)
          return Effect.succeed({ id: request.productId, name: "相机", price: 9_007_199_254_740_993n })
        },
      })
      const product = yield* stub.getProduct({ productId: 18_446_744_073_709_551_615n }, { caller: alice })
      assert.strictEqual(product.id, 18_446_744_073_709_551_615n)
      assert.strictEqual(product.name, "相机")
      assert.strictEqual(product.price, 9_007_199_254_740_993n)
      assert.deepStrictEqual(seen[0]?.caller, alice)
      assert.strictEqual(seen[0]?.peer, "tester")
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("every error of the catalogue comes out as the same tagged error, with its data", () =>
    Effect.gen(function* () {
      assert.strictEqual(new Set(samples.map((each) => each._tag)).size, all.length)
      const stub = yield* served({ getProduct: ({ productId }) => Effect.fail(samples[Number(productId)]!) })
      for (const [index, sent] of samples.entries()) {
        const got = yield* Effect.flip(stub.getProduct({ productId: BigInt(index) }))
        assert.isTrue(got instanceof Errors.errorClasses[Errors.reasonOf(sent)], sent._tag)
        assert.deepStrictEqual(Errors.dataOf(got), Errors.dataOf(sent))
      }
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("an error that the method doesn't declare comes out as Internal", () =>
    Effect.gen(function* () {
      const stub = yield* served({ listProducts: () => Effect.fail(new Errors.Banned()) as never })
      assert.instanceOf(yield* Effect.flip(stub.listProducts({})), Errors.Internal)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a defect is INTERNAL and tells nothing of its cause", () =>
    Effect.gen(function* () {
      const url = yield* serve({ getProduct: () => Effect.die(new Error("password=hunter2")) })
      const { error } = yield* raw(url, getProductPath, getProduct, authorized())
      assert.strictEqual(error?.code, status.INTERNAL)
      assert.strictEqual(error?.details, "internal")
      assert.notInclude(JSON.stringify(error?.metadata.toJSON()), "hunter2")
      const stub = yield* client(url)
      assert.instanceOf(yield* Effect.flip(stub.getProduct({ productId: 1n })), Errors.Internal)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a handler that throws, or answers what can't be encoded, is a defect too", () =>
    Effect.gen(function* () {
      const stub = yield* served({
        getProduct: () => {
          throw new Error("before any Effect")
        },
        listProducts: () => Effect.succeed({ products: [{ id: -1n }] }),
      })
      assert.instanceOf(yield* Effect.flip(stub.getProduct({ productId: 1n })), Errors.Internal)
      assert.instanceOf(yield* Effect.flip(stub.listProducts({})), Errors.Internal)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("an interrupted handler is CANCELLED, and Busy to the caller", () =>
    Effect.gen(function* () {
      const url = yield* serve({ getProduct: () => Effect.interrupt })
      const { error } = yield* raw(url, getProductPath, getProduct, authorized())
      assert.strictEqual(error?.code, status.CANCELLED)
      const stub = yield* client(url)
      assert.instanceOf(yield* Effect.flip(stub.getProduct({ productId: 1n })), Errors.Busy)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("bytes that are no message are refused as invalid input", () =>
    Effect.gen(function* () {
      const url = yield* serve({}, { maxConcurrentCalls: 1 })
      // Twice with room for one: a refused call gives its place back.
      for (let i = 0; i < 2; i++) {
        const { error } = yield* raw(url, getProductPath, Uint8Array.of(0xff, 0xff, 0xff), authorized())
        assert.strictEqual(error?.code, status.INVALID_ARGUMENT)
      }
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive(
    "one call more than the bound is answered Busy at once, and a place that is free again is given",
    () =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const entered = yield* Deferred.make<void>()
        const url = yield* serve(
          {
            getProduct: () =>
              Effect.as(Effect.zipRight(Deferred.succeed(entered, undefined), Deferred.await(gate)), {
                id: 1n,
              }),
          },
          { maxConcurrentCalls: 1 },
        )
        const stub = yield* client(url)
        const held = yield* Effect.fork(stub.getProduct({ productId: 1n }))
        yield* Deferred.await(entered)
        const { error } = yield* raw(url, getProductPath, getProduct, authorized())
        assert.strictEqual(error?.code, status.RESOURCE_EXHAUSTED)
        const busy = yield* Effect.flip(stub.getProduct({ productId: 1n }))
        assert.deepStrictEqual(Errors.dataOf(busy), { retry_after_ms: 1_000 })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(held)
        yield* stub.getProduct({ productId: 1n })
      }).pipe(Effect.provide(Readiness.layer)),
  )
})

describe("credentials", () => {
  const now = Date.now
  const attempts: ReadonlyArray<readonly [string, () => Record<string, string>]> = [
    ["no credential", () => ({})],
    ["another scheme", () => ({ authorization: credential.authorization().replace("Bearer", "Basic") })],
    ["a malformed one", () => ({ authorization: "Bearer x" })],
    [
      "one signed with another key",
      () => ({
        authorization: ServiceCredential.make({ service: "tester", keys: [otherKey] }).authorization(),
      }),
    ],
    [
      "an expired one",
      () => ({
        authorization: ServiceCredential.make({
          service: "tester",
          keys: [key],
          nowMs: () => now() - 61_500,
        }).authorization(),
      }),
    ],
    ["a user's token in its place", () => ({ authorization: `Bearer ${credential.callerToken(alice)}` })],
    [
      "a forged user's token beside a good credential",
      () => ({
        ...authorized(),
        "x-floodgate-caller": ServiceCredential.make({ service: "tester", keys: [otherKey] }).callerToken(
          alice,
        ),
      }),
    ],
    [
      "a user's token whose claims were changed",
      () => {
        const [payload, mac] = credential.callerToken(alice).split(".") as [string, string]
        const claims = JSON.parse(Buffer.from(payload, "base64url").toString())
        const forged = Buffer.from(JSON.stringify({ ...claims, roles: ["admin"] })).toString("base64url")
        return { ...authorized(), "x-floodgate-caller": `${forged}.${mac}` }
      },
    ],
    [
      "an expired user's token",
      () => ({
        ...authorized(),
        "x-floodgate-caller": ServiceCredential.make({
          service: "tester",
          keys: [key],
          nowMs: () => now() - 61_500,
        }).callerToken(alice),
      }),
    ],
  ]
  for (const [name, headers] of attempts) {
    it.scopedLive(`${name} is UNAUTHENTICATED, and no handler runs`, () =>
      Effect.gen(function* () {
        let ran = false
        const url = yield* serve({
          getProduct: () => {
            ran = true
            return Effect.succeed({})
          },
        })
        const { error } = yield* raw(url, getProductPath, getProduct, headers())
        assert.strictEqual(error?.code, status.UNAUTHENTICATED)
        assert.isFalse(ran)
      }).pipe(Effect.provide(Readiness.layer)),
    )
  }

  it.scopedLive("a service with the wrong key gets Unauthenticated", () =>
    Effect.gen(function* () {
      const url = yield* serve({})
      const stub = yield* client(url, {
        credential: ServiceCredential.make({ service: "tester", keys: [otherKey] }),
      })
      assert.instanceOf(yield* Effect.flip(stub.getProduct({ productId: 1n })), Errors.Unauthenticated)
    }).pipe(Effect.provide(Readiness.layer)),
  )
})

describe("deadlines", () => {
  it.scopedLive("a call ends at its deadline with Busy, and its handler is interrupted", () =>
    Effect.gen(function* () {
      let interrupted = false
      const stub = yield* served({
        getProduct: () =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => {
              interrupted = true
            }),
          ),
      })
      const startedMs = Date.now()
      const error = yield* Effect.flip(stub.getProduct({ productId: 1n }, { deadlineMs: 150 }))
      assert.instanceOf(error, Errors.Busy)
      assert.isBelow(Date.now() - startedMs, 2_000)
      yield* eventually(() => interrupted)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("the time left shrinks from hop to hop, whatever the next hop asks for", () =>
    Effect.gen(function* () {
      const left: Array<number> = []
      const inner = yield* served({
        getProduct: (_, { deadlineMs }) => {
          left.push(deadlineMs - Date.now())
          return Effect.succeed({})
        },
      })
      const outer = yield* served({
        getProduct: (request, { deadlineMs }) => {
          left.push(deadlineMs - Date.now())
          return Effect.delay(inner.getProduct(request, { deadlineMs: 60_000 }), 100)
        },
      })
      yield* outer.getProduct({ productId: 1n }, { deadlineMs: 3_000 })
      const [first, second] = left as [number, number]
      assert.isAtMost(first, 3_000)
      assert.isAtMost(second, first - 95)
      assert.isAbove(second, 0)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("nothing is sent for a caller whose time is over", () =>
    Effect.gen(function* () {
      let ran = false
      const stub = yield* served({
        getProduct: () => {
          ran = true
          return Effect.succeed({})
        },
      })
      const error = yield* stub
        .getProduct({ productId: 1n })
        .pipe(Effect.provideService(CallDeadline, Date.now() - 1), Effect.flip)
      assert.instanceOf(error, Errors.Busy)
      assert.isFalse(ran)
    }).pipe(Effect.provide(Readiness.layer)),
  )
})

describe("a caller that goes away", () => {
  const watched = Effect.gen(function* () {
    const entered = yield* Deferred.make<void>()
    const gate = yield* Deferred.make<void>()
    const ends: Array<string> = []
    const handler = () =>
      Effect.zipRight(Deferred.succeed(entered, undefined), Deferred.await(gate)).pipe(
        Effect.as({}),
        Effect.onExit((exit) =>
          Effect.sync(() => ends.push(Exit.isInterrupted(exit) ? "interrupted" : "done")),
        ),
      )
    return { entered, gate, ends, handler }
  })

  it.scopedLive("takes a read's fiber with it", () =>
    Effect.gen(function* () {
      const { entered, ends, handler } = yield* watched
      const stub = yield* served({ getProduct: handler })
      // A deadline that can't be what ends it.
      const call = yield* Effect.fork(stub.getProduct({ productId: 1n }, { deadlineMs: 60_000 }))
      yield* Deferred.await(entered)
      yield* Fiber.interrupt(call)
      yield* eventually(() => ends.length === 1)
      assert.deepStrictEqual(ends, ["interrupted"])
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("doesn't stop a write half-way, whether it may be repeated or not", () =>
    Effect.gen(function* () {
      for (const method of ["createProduct", "warmUp"] as const) {
        const { entered, gate, ends, handler } = yield* watched
        const stub = yield* served({ [method]: handler, listProducts: () => Effect.succeed({}) })
        const call = yield* Effect.fork(stub[method]({}))
        yield* Deferred.await(entered)
        yield* Fiber.interrupt(call)
        // The server has certainly heard of the cancellation once it answers a call sent after it.
        yield* stub.listProducts({})
        assert.deepStrictEqual(ends, [])
        yield* Deferred.succeed(gate, undefined)
        yield* eventually(() => ends.length === 1)
        assert.deepStrictEqual(ends, ["done"])
      }
    }).pipe(Effect.provide(Readiness.layer)),
  )
})

describe("retries", () => {
  const counting = (counted: { attempts: number }): GrpcClient.RetryHook => {
    return (self, isRetryable) =>
      Effect.suspend(() => {
        counted.attempts += 1
        return self
      }).pipe(Effect.retry({ times: 2, while: isRetryable }))
  }

  it.scopedLive("an unreachable peer is asked again for what is safe to repeat, and only for that", () =>
    Effect.gen(function* () {
      for (const [method, attempts] of [
        ["getProduct", 3],
        ["warmUp", 3],
        ["createProduct", 0],
      ] as const) {
        const counted = { attempts: 0 }
        // Port 1 of the loopback has no listener.
        const stub = yield* client("127.0.0.1:1", { retry: () => counting(counted) })
        assert.instanceOf(yield* Effect.flip(stub[method]({})), Errors.Busy)
        assert.strictEqual(counted.attempts, attempts, method)
      }
    }),
  )

  it.scopedLive("an answer is never asked for twice, not even Busy", () =>
    Effect.gen(function* () {
      const counted = { attempts: 0 }
      const url = yield* serve({ getProduct: () => Effect.fail(new Errors.Busy({ order_num: "n1" })) })
      const stub = yield* client(url, { retry: () => counting(counted) })
      const error = yield* Effect.flip(stub.getProduct({ productId: 1n }))
      assert.deepStrictEqual(Errors.dataOf(error), { order_num: "n1" })
      assert.strictEqual(counted.attempts, 1)
    }).pipe(Effect.provide(Readiness.layer)),
  )
})

describe("traces", () => {
  it.scopedLive("a handler's span is a child of its caller's, in the same trace", () =>
    Effect.gen(function* () {
      const stub = yield* served({
        getProduct: () =>
          Effect.map(Effect.orDie(Effect.currentSpan), (span) => ({
            name: `${span.traceId} ${Option.isSome(span.parent)}`,
          })),
      })
      const [traceId, name] = yield* Effect.gen(function* () {
        const span = yield* Effect.currentSpan
        return [span.traceId, (yield* stub.getProduct({ productId: 1n })).name] as const
      }).pipe(Effect.withSpan("click"))
      assert.strictEqual(name, `${traceId} true`)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a call made without a span has none on either side", () =>
    Effect.gen(function* () {
      const stub = yield* served({
        reserveBatch: () =>
          Effect.map(Effect.option(Effect.withSpan(Effect.currentSpan, "inner")), (span) => ({
            orderNum: [Option.isSome(span) && span.value.sampled ? "traced" : "untraced"],
          })),
      })
      const answer = yield* stub.reserveBatch({}, { span: false }).pipe(Effect.withSpan("click"))
      assert.deepStrictEqual(answer.orderNum, ["untraced"])
    }).pipe(Effect.provide(Readiness.layer)),
  )
})

describe("the server's life", () => {
  it.scopedLive("a taken port is a typed error that names it", () =>
    Effect.gen(function* () {
      const url = yield* serve({})
      const port = Number(url.split(":")[1])
      const error = yield* GrpcServer.make({
        port: Config.succeed(port),
        host: Config.succeed("127.0.0.1"),
        services: [],
      }).pipe(Effect.provideService(ServiceCredential.ServiceCredential, credential), Effect.flip)
      assert.instanceOf(error, GrpcServer.GrpcBindFailed)
      assert.include(error.message, `127.0.0.1:${port}`)
      assert.include(error.message, "EADDRINUSE")
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("closing lets the calls in flight end, and takes no new ones", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const entered = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const url = yield* serve({
        createProduct: () =>
          Effect.as(Effect.zipRight(Deferred.succeed(entered, undefined), Deferred.await(gate)), { id: 5n }),
      }).pipe(Scope.extend(scope))
      const stub = yield* client(url)
      const inFlight = yield* Effect.fork(stub.createProduct({}))
      yield* Deferred.await(entered)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      const late = yield* client(url)
      yield* late
        .createProduct({})
        .pipe(
          Effect.flip,
          Effect.repeat({ until: (error) => error._tag === "Busy", schedule: Schedule.spaced(10) }),
          Effect.timeout(5_000),
        )
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(inFlight)).id, 5n)
      yield* Fiber.join(closing)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("closing waits for a write whose caller has left", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const entered = yield* Deferred.make<void>()
      let done = false
      const scope = yield* Scope.make()
      const url = yield* serve({
        createProduct: () =>
          Deferred.succeed(entered, undefined).pipe(
            Effect.zipRight(Deferred.await(gate)),
            Effect.zipRight(
              Effect.sync(() => {
                done = true
                return {}
              }),
            ),
          ),
      }).pipe(Scope.extend(scope))
      const stub = yield* client(url)
      const call = yield* Effect.fork(stub.createProduct({}))
      yield* Deferred.await(entered)
      yield* Fiber.interrupt(call)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(Fiber.join(closing), 200)))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(closing)
      assert.isTrue(done)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("closing interrupts what hasn't ended by its bound", () =>
    Effect.gen(function* () {
      let interrupted = false
      const entered = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const url = yield* serve(
        {
          createProduct: () =>
            Effect.zipRight(Deferred.succeed(entered, undefined), Effect.never).pipe(
              Effect.onInterrupt(() =>
                Effect.sync(() => {
                  interrupted = true
                }),
              ),
            ),
        },
        { drainMs: 100 },
      ).pipe(Scope.extend(scope))
      const stub = yield* client(url)
      const call = yield* Effect.fork(stub.createProduct({}))
      yield* Deferred.await(entered)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(interrupted)
      assert.instanceOf(yield* Effect.flip(Fiber.join(call)), Errors.Busy)
    }).pipe(Effect.provide(Readiness.layer)),
  )
})

describe("health", () => {
  const check = (url: string, service: string) =>
    raw(
      url,
      "/grpc.health.v1.Health/Check",
      toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })),
      {},
    ).pipe(
      Effect.map(({ error, answer }) =>
        error === null ? fromBinary(HealthCheckResponseSchema, answer!).status : error.code,
      ),
    )

  it.scopedLive("needs no credential, and says SERVING until the process drains", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      const url = yield* serve({})
      assert.strictEqual(yield* check(url, ""), ServingStatus.SERVING)
      assert.strictEqual(yield* check(url, InventoryService.typeName), ServingStatus.SERVING)
      yield* readiness.drain
      assert.strictEqual(yield* check(url, ""), ServingStatus.NOT_SERVING)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("says NOT_SERVING while a dependency is away", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      let up = false
      yield* readiness.register(
        "store",
        Effect.sync(() => up),
      )
      const url = yield* serve({})
      assert.strictEqual(yield* check(url, ""), ServingStatus.NOT_SERVING)
      up = true
      assert.strictEqual(yield* check(url, ""), ServingStatus.SERVING)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("doesn't know a service that isn't here", () =>
    Effect.gen(function* () {
      const url = yield* serve({})
      assert.strictEqual(yield* check(url, "floodgate.nowhere.v1.Nothing"), status.NOT_FOUND)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a watch hears of the drain, and ends with the server", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      const scope = yield* Scope.make()
      const url = yield* serve({}).pipe(Scope.extend(scope))
      const heard: Array<ServingStatus> = []
      let ended = false
      const channel = yield* Effect.acquireRelease(
        Effect.sync(() => new Client(url, credentials.createInsecure())),
        (each) => Effect.sync(() => each.close()),
      )
      const stream = channel.makeServerStreamRequest(
        "/grpc.health.v1.Health/Watch",
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, {}))),
      )
      stream.on("data", (bytes: Buffer) => heard.push(fromBinary(HealthCheckResponseSchema, bytes).status))
      stream.on("end", () => {
        ended = true
      })
      stream.on("error", () => {})
      yield* eventually(() => heard.length > 0)
      assert.deepStrictEqual(heard, [ServingStatus.SERVING])
      yield* readiness.drain
      yield* eventually(() => heard.at(-1) === ServingStatus.NOT_SERVING)
      yield* Scope.close(scope, Exit.void)
      yield* eventually(() => ended)
    }).pipe(Effect.provide(Readiness.layer)),
  )
})
