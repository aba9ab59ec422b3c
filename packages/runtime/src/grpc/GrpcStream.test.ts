import { assert, describe, it } from "@effect/vitest"
import * as Errors from "@floodgate/contracts/errors/Errors"
import { IdentityService } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { defineRpc } from "@floodgate/contracts/rpc/defineRpc"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as GrpcServer from "./GrpcServer.ts"

const credential = ServiceCredential.make({
  service: "tester",
  keys: [Redacted.make("a-service-key-that-only-tests-know")],
})
const stranger = ServiceCredential.make({
  service: "tester",
  keys: [Redacted.make("a-service-key-that-nobody-may-have")],
})

const errors = Object.fromEntries(
  IdentityService.methods.map(({ localName }) => [localName, [Errors.NotFound]]),
) as unknown as Record<keyof typeof IdentityService.method, readonly [typeof Errors.NotFound]>
const TestRpc = defineRpc(IdentityService, errors)
type Handlers = GrpcServer.Handlers<typeof TestRpc, never>

const unused = Object.fromEntries(
  IdentityService.methods.map(({ localName }) => [
    localName,
    () => Effect.dieMessage("not a method of this test"),
  ]),
) as unknown as Handlers

const serve = (
  handlers: Partial<Handlers>,
  options?: { readonly drainMs?: number; readonly maxStreams?: number; readonly maxStallMs?: number },
) =>
  GrpcServer.make({
    port: Config.succeed(0),
    host: Config.succeed("127.0.0.1"),
    services: [GrpcServer.service(TestRpc, { ...unused, ...handlers })],
    ...options,
  }).pipe(
    Effect.map(({ port }) => `127.0.0.1:${port}`),
    Effect.provideService(ServiceCredential.ServiceCredential, credential),
  )

const served = (
  watchRevocations: Handlers["watchRevocations"],
  options?: { readonly drainMs?: number; readonly maxStreams?: number; readonly maxStallMs?: number },
) =>
  Effect.flatMap(serve({ watchRevocations }, options), (url) => GrpcClient.make(TestRpc, { url, credential }))

const eventually = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry(Schedule.spaced(10).pipe(Schedule.upTo(10_000))),
    Effect.orDieWith(() => new Error("the condition never held")),
  )

const revisions = (count: number) =>
  Stream.map(Stream.range(1, count), (revision) => ({ revision: BigInt(revision) }))

describe("streams", () => {
  it.scopedLive("all messages come, in their order, with the calling service and user known", () =>
    Effect.gen(function* () {
      let seen: GrpcServer.CallContext | undefined
      const client = yield* served((_, context) => {
        seen = context
        return revisions(1_000)
      })
      const caller = { user_id: 7, username: "alice", roles: ["customer"] }
      const got = yield* Stream.runCollect(client.watchRevocations({}, { caller }))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(got).map(({ revision }) => Number(revision)),
        Array.from({ length: 1_000 }, (_, i) => i + 1),
      )
      assert.deepStrictEqual(seen, { peer: "tester", caller, deadlineMs: Number.POSITIVE_INFINITY })
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a declared error comes out typed after what came before it, a defect as Internal", () =>
    Effect.gen(function* () {
      const client = yield* served(() => Stream.concat(revisions(3), Stream.fail(new Errors.NotFound())))
      const got: Array<bigint> = []
      const error = yield* client.watchRevocations({}).pipe(
        Stream.runForEach(({ revision }) => Effect.sync(() => got.push(revision))),
        Effect.flip,
      )
      assert.deepStrictEqual([error._tag, got], ["NotFound", [1n, 2n, 3n]])
      const broken = yield* served(() => Stream.dieMessage("a secret"))
      const defect = yield* Effect.flip(Stream.runDrain(broken.watchRevocations({})))
      assert.strictEqual(defect._tag, "Internal")
      assert.notInclude(JSON.stringify(defect), "secret")
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("without a credential there is no stream, and no handler runs", () =>
    Effect.gen(function* () {
      let ran = false
      const url = yield* serve({
        watchRevocations: () => {
          ran = true
          return Stream.empty
        },
      })
      const client = yield* GrpcClient.make(TestRpc, { url, credential: stranger })
      const error = yield* Effect.flip(Stream.runDrain(client.watchRevocations({})))
      assert.strictEqual(error._tag, "Unauthenticated")
      const bare = yield* Effect.acquireUseRelease(
        Effect.sync(() => new Client(url, credentials.createInsecure())),
        (channel) =>
          Effect.async<number>((resume) => {
            channel
              .makeServerStreamRequest(
                "/floodgate.identity.v1.IdentityService/WatchRevocations",
                (bytes: Buffer) => bytes,
                (bytes: Buffer) => bytes,
                Buffer.alloc(0),
                new Metadata(),
              )
              .on("error", (failure: ServiceError) => resume(Effect.succeed(failure.code)))
              .resume()
          }),
        (channel) => Effect.sync(() => channel.close()),
      )
      assert.strictEqual(bare, status.UNAUTHENTICATED)
      assert.isFalse(ran)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a listener that leaves ends the handler", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      const client = yield* served(() =>
        Stream.concat(revisions(1), Stream.never).pipe(Stream.ensuring(Deferred.succeed(ended, undefined))),
      )
      assert.lengthOf(yield* Stream.runCollect(Stream.take(client.watchRevocations({}), 1)), 1)
      yield* Deferred.await(ended)
      // The same where nothing has come yet, so that the listener is in the middle of waiting.
      const started = yield* Deferred.make<void>()
      const endedToo = yield* Deferred.make<void>()
      const silent = yield* served(() =>
        Stream.fromEffect(Deferred.succeed(started, undefined)).pipe(
          Stream.drain,
          Stream.concat(Stream.never),
          Stream.ensuring(Deferred.succeed(endedToo, undefined)),
        ),
      )
      const listener = yield* Effect.fork(Stream.runDrain(silent.watchRevocations({})))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(listener)
      yield* Deferred.await(endedToo)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a listener that doesn't read holds the handler back, then loses its stream", () =>
    Effect.gen(function* () {
      let produced = 0
      const client = yield* served(
        () =>
          Stream.tap(revisions(10_000_000), () =>
            Effect.sync(() => {
              produced += 1
            }),
          ),
        { maxStallMs: 200 },
      )
      const reading = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const listener = yield* client.watchRevocations({}).pipe(
        Stream.tap(() => Effect.zipRight(Deferred.succeed(reading, undefined), Deferred.await(go))),
        Stream.runDrain,
        Effect.fork,
      )
      yield* Deferred.await(reading)
      let last = -1
      yield* eventually(() => {
        const still = produced === last
        last = produced
        return still && produced > 0
      })
      // What fits into HTTP/2's windows and the two streams' buffers.
      assert.isBelow(produced, 50_000)
      yield* Effect.sleep(400)
      yield* Deferred.succeed(go, undefined)
      const exit = yield* Fiber.await(listener)
      assert.isTrue(Exit.isFailure(exit))
      assert.isBelow(produced, 50_000)
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("one stream too many is turned away, and its place is free again", () =>
    Effect.gen(function* () {
      const client = yield* served(() => Stream.concat(revisions(1), Stream.never), { maxStreams: 1 })
      const open = yield* Deferred.make<void>()
      const first = yield* client.watchRevocations({}).pipe(
        Stream.tap(() => Deferred.succeed(open, undefined)),
        Stream.runDrain,
        Effect.fork,
      )
      yield* Deferred.await(open)
      const error = yield* Effect.flip(Stream.runDrain(client.watchRevocations({})))
      assert.strictEqual(error._tag, "Busy")
      yield* Fiber.interrupt(first)
      yield* Effect.retry(
        Stream.runDrain(Stream.take(client.watchRevocations({}), 1)),
        Schedule.spaced(20).pipe(Schedule.upTo(5_000)),
      )
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scopedLive("a server that stops ends its streams at once, with Busy", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const url = yield* serve(
        { watchRevocations: () => Stream.concat(revisions(1), Stream.never) },
        { drainMs: 20_000 },
      ).pipe(Scope.extend(scope))
      const client = yield* GrpcClient.make(TestRpc, { url, credential })
      const open = yield* Deferred.make<void>()
      const listener = yield* client.watchRevocations({}).pipe(
        Stream.tap(() => Deferred.succeed(open, undefined)),
        Stream.runDrain,
        Effect.flip,
        Effect.fork,
      )
      yield* Deferred.await(open)
      const startedAt = performance.now()
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(listener))._tag, "Busy")
      assert.isBelow(performance.now() - startedAt, 10_000)
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(client.watchRevocations({}))))._tag, "Busy")
    }).pipe(Effect.provide(Readiness.layer)),
  )
})
