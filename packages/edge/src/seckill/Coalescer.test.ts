import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Busy } from "@floodgate/contracts/errors/Errors"
import {
  InventoryService,
  ReserveBatchesResponseSchema,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import type { CallOptions } from "@floodgate/contracts/rpc/GrpcClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as Coalescer from "./Coalescer.ts"
import type { ReserveOutcome } from "./ReserveAnswer.ts"
import * as ServerClock from "./ServerClock.ts"
import * as SoldOutMarks from "./SoldOutMarks.ts"

interface Call {
  /** Batches of one call have the same number. */
  readonly call: number
  readonly productId: bigint
  readonly userId: ReadonlyArray<bigint>
  readonly requestId: ReadonlyArray<string>
  readonly notAfterMs: ReadonlyArray<bigint>
  readonly tracedItem: ReadonlyArray<number>
  readonly traceparent: ReadonlyArray<string>
  readonly deadlineMs: number
  readonly span: boolean
  readonly reply: Deferred.Deferred<ReturnType<typeof Messages.reserved>, Busy>
}

/** Inventory whose calls the test answers by hand, batch by batch. */
const makeInventory = () => {
  const calls: Array<Call> = []
  let sent = 0
  const answered = (request: unknown, options: CallOptions | undefined, call: number) =>
    Effect.gen(function* () {
      const reply = yield* Deferred.make<ReturnType<typeof Messages.reserved>, Busy>()
      calls.push({
        ...(request as Call),
        call,
        deadlineMs: options!.deadlineMs!,
        span: options!.span!,
        reply,
      })
      return yield* Deferred.await(reply)
    })
  const peers = FakePeers.inventory({
    reserveBatch: (request, options) => Effect.suspend(() => answered(request, options, ++sent)),
    reserveBatches: ({ batches }, options) =>
      Effect.suspend(() => {
        const call = ++sent
        return Effect.map(
          Effect.forEach(batches!, (request) => answered(request, options, call), {
            concurrency: "unbounded",
          }),
          (replies) => create(ReserveBatchesResponseSchema, { batches: replies }),
        )
      }),
  })
  const layer = Coalescer.layer.pipe(
    Layer.provide(peers),
    Layer.provideMerge(ServerClock.layer),
    Layer.provide(SoldOutMarks.layer),
  )
  return { calls, layer }
}

const reserveAll = (call: Call, code: number = ReserveCode.RESERVED) =>
  Deferred.succeed(
    call.reply,
    Messages.reserved(
      call.userId.map((id) => [code, `num-${id}`] as const),
      { serverTimeMs: 0n },
    ),
  )

/** Submits for a user, and keeps what it is answered. */
const submit = (
  coalescer: Coalescer.Coalescer["Type"],
  answers: Map<number, ReserveOutcome>,
  userId: number,
  options: { readonly productId?: number; readonly traceparent?: string } = {},
) =>
  coalescer.submit(options.productId ?? 42, {
    userId,
    quantity: 1,
    requestId: `request-${userId}`,
    traceparent: options.traceparent,
    answer: (outcome) => {
      assert.isFalse(answers.has(userId), "answered twice")
      answers.set(userId, outcome)
    },
  })

/** Lets the event loop turn, so that what waits for its end goes on. */
const turn = Effect.zipRight(
  Effect.promise(() => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))),
  Effect.yieldNow(),
)

describe("Coalescer", () => {
  it.scoped("what arrives in one turn of the loop leaves in one call, each with its own answer", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      for (let user = 1; user <= 50; user++) submit(coalescer, answers, user)
      submit(coalescer, answers, 99, { productId: 43 })
      yield* turn
      assert.deepStrictEqual(
        calls.map((call) => [call.productId, call.userId.length]),
        [
          [42n, 50],
          [43n, 1],
        ],
      )
      assert.strictEqual(calls[0]!.call, calls[1]!.call)
      yield* reserveAll(calls[0]!)
      yield* reserveAll(calls[1]!)
      yield* turn
      assert.strictEqual(answers.size, 51)
      for (let user = 1; user <= 50; user++) assert.strictEqual(answers.get(user)?.orderNum, `num-${user}`)
      assert.strictEqual(coalescer.pending(), 0)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("a batch has at most 128 items, and a full one doesn't wait", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      for (let user = 1; user <= 300; user++) submit(coalescer, answers, user)
      assert.deepStrictEqual(
        calls.map((call) => call.userId.length),
        [128, 128],
      )
      yield* TestClock.adjust(Coalescer.GATHER_MS)
      yield* turn
      assert.deepStrictEqual(
        calls.map((call) => call.userId.length),
        [128, 128, 44],
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("whoever comes after a pause leaves at once, those behind it together 4 ms later", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      submit(coalescer, answers, 1)
      yield* turn
      assert.lengthOf(calls, 1)
      submit(coalescer, answers, 2)
      yield* TestClock.adjust(2)
      // Not even an answer makes the next call leave earlier: at a few hundred a second each would carry one.
      yield* reserveAll(calls[0]!)
      submit(coalescer, answers, 3)
      yield* TestClock.adjust(1)
      yield* turn
      assert.lengthOf(calls, 1)
      yield* TestClock.adjust(1)
      yield* turn
      assert.lengthOf(calls, 2)
      assert.deepStrictEqual([...calls[1]!.userId], [2n, 3n])
      yield* TestClock.adjust(Coalescer.GATHER_MS)
      submit(coalescer, answers, 4)
      yield* turn
      assert.lengthOf(calls, 3)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("too many that wait are answered at once, and those that were taken keep their place", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      const inFlight = Coalescer.MAX_IN_FLIGHT * 128
      const room = inFlight + Coalescer.MAX_PENDING
      for (let user = 1; user <= room + 10; user++) submit(coalescer, answers, user)
      assert.lengthOf(calls, Coalescer.MAX_IN_FLIGHT)
      assert.strictEqual(coalescer.pending(), Coalescer.MAX_PENDING)
      assert.strictEqual(answers.size, 10)
      assert.strictEqual(answers.get(room + 1)?.code, ReserveCode.NOT_EXECUTED)
      for (let i = 0; i < calls.length; i++) {
        yield* reserveAll(calls[i]!)
        yield* turn
      }
      yield* TestClock.adjust(Coalescer.GATHER_MS)
      yield* turn
      for (let i = 0; i < calls.length; i++) yield* reserveAll(calls[i]!)
      yield* turn
      assert.strictEqual(answers.size, room + 10)
      assert.strictEqual(coalescer.pending(), 0)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("what can't be sent in its time is answered as not done when that is over", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      const inFlight = Coalescer.MAX_IN_FLIGHT * 128
      for (let user = 1; user <= inFlight + 1; user++) submit(coalescer, answers, user)
      assert.lengthOf(calls, Coalescer.MAX_IN_FLIGHT)
      yield* TestClock.adjust(Coalescer.ITEM_MS - 1)
      assert.isUndefined(answers.get(inFlight + 1))
      yield* TestClock.adjust(1)
      assert.strictEqual(answers.get(inFlight + 1)?.code, ReserveCode.NOT_EXECUTED)
      assert.lengthOf(calls, Coalescer.MAX_IN_FLIGHT)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("not_after is 800 ms from the request in the server's time, also on a second attempt", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const clock = yield* ServerClock.ServerClock
      yield* TestClock.setTime(10_000)
      clock.learn(1_010_000, 10_000, 10_000)
      const answers = new Map<number, ReserveOutcome>()
      submit(coalescer, answers, 1)
      yield* turn
      assert.deepStrictEqual([...calls[0]!.notAfterMs], [1_010_800n])
      assert.strictEqual(calls[0]!.deadlineMs, 950)
      yield* TestClock.adjust(100)
      yield* Deferred.fail(calls[0]!.reply, new Busy({}))
      yield* TestClock.adjust(60)
      yield* turn
      assert.lengthOf(calls, 2)
      assert.deepStrictEqual([...calls[1]!.requestId], [...calls[0]!.requestId])
      assert.deepStrictEqual([...calls[1]!.notAfterMs], [1_010_800n])
    }).pipe(Effect.provide(layer))
  })

  it.scoped(
    "after an attempt without an answer, one that wasn't executed doesn't say that nothing was done",
    () => {
      const { calls, layer } = makeInventory()
      return Effect.gen(function* () {
        const coalescer = yield* Coalescer.Coalescer
        const answers = new Map<number, ReserveOutcome>()
        submit(coalescer, answers, 1)
        yield* turn
        yield* Deferred.fail(calls[0]!.reply, new Busy({}))
        for (const at of [1, 2]) {
          yield* TestClock.adjust(60)
          yield* turn
          yield* reserveAll(calls[at]!, ReserveCode.NOT_EXECUTED)
          yield* turn
        }
        assert.lengthOf(calls, 3)
        assert.strictEqual(answers.get(1)?.code, ReserveCode.UNKNOWN)
      }).pipe(Effect.provide(layer))
    },
  )

  it.scoped(
    "what was not executed is asked for again while there is time, the rest of its batch is not",
    () => {
      const { calls, layer } = makeInventory()
      return Effect.gen(function* () {
        const coalescer = yield* Coalescer.Coalescer
        const answers = new Map<number, ReserveOutcome>()
        submit(coalescer, answers, 1)
        submit(coalescer, answers, 2)
        yield* turn
        yield* Deferred.succeed(
          calls[0]!.reply,
          Messages.reserved([[ReserveCode.RESERVED, "num-1"], [ReserveCode.NOT_EXECUTED]], {
            serverTimeMs: 0n,
          }),
        )
        yield* TestClock.adjust(60)
        yield* turn
        assert.strictEqual(answers.get(1)?.orderNum, "num-1")
        assert.deepStrictEqual([...calls[1]!.userId], [2n])
        yield* TestClock.adjust(700)
        yield* reserveAll(calls[1]!, ReserveCode.NOT_EXECUTED)
        yield* turn
        assert.strictEqual(answers.get(2)?.code, ReserveCode.NOT_EXECUTED)
        assert.lengthOf(calls, 2)
      }).pipe(Effect.provide(layer))
    },
  )

  it.scoped("an answer that never came is unknown", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      submit(coalescer, answers, 1)
      yield* turn
      yield* TestClock.adjust(950)
      yield* Deferred.fail(calls[0]!.reply, new Busy({}))
      yield* turn
      assert.strictEqual(answers.get(1)?.code, ReserveCode.UNKNOWN)
      assert.lengthOf(calls, 1)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("live numbers reach the buyers that they belong to", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      for (const user of [1, 2, 3]) submit(coalescer, answers, user)
      yield* turn
      yield* Deferred.succeed(
        calls[0]!.reply,
        Messages.reserved(
          [
            [ReserveCode.ALREADY_BOUGHT, "b", 2],
            [ReserveCode.SOLD_OUT, "", 0],
            [ReserveCode.ALREADY_BOUGHT, "c", 1],
          ],
          { liveOrderNums: ["a,b", "c"], serverTimeMs: 0n },
        ),
      )
      yield* turn
      assert.deepStrictEqual(answers.get(1)?.liveOrderNums, ["a", "b"])
      assert.deepStrictEqual(answers.get(2)?.liveOrderNums, [])
      assert.deepStrictEqual(answers.get(3)?.liveOrderNums, ["c"])
    }).pipe(Effect.provide(layer))
  })

  it.scoped("a call carries 128 items of all its products, and no batch is cut for it", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      for (const [productId, items] of [
        [1, 100],
        [2, 28],
        [3, 60],
        [4, 69],
      ] as const) {
        for (let i = 0; i < items; i++) submit(coalescer, answers, productId * 1_000 + i, { productId })
      }
      yield* turn
      assert.deepStrictEqual(
        calls
          .map(({ call, productId, userId }) => [call, Number(productId), userId.length])
          .sort((a, b) => a[1]! - b[1]!),
        [
          [1, 1, 100],
          [1, 2, 28],
          [2, 3, 60],
          [3, 4, 69],
        ],
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("a product whose shard is silent holds up nobody but those of the call that found out", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      /** Both products ask; answers the numbers of the calls that they are in. */
      const both = (user: number, code: number) =>
        Effect.gen(function* () {
          const from = calls.length
          yield* TestClock.adjust(Coalescer.GATHER_MS)
          submit(coalescer, answers, user, { productId: 1 })
          submit(coalescer, answers, user + 1, { productId: 2 })
          yield* turn
          const [silent, healthy] = calls.slice(from).sort((a, b) => Number(a.productId - b.productId))
          yield* reserveAll(healthy!)
          yield* turn
          const waited = !answers.has(user + 1)
          yield* reserveAll(silent!, code)
          yield* turn
          return { together: silent!.call === healthy!.call, waited }
        })
      assert.deepStrictEqual(yield* both(10, ReserveCode.UNKNOWN), { together: true, waited: true })
      assert.deepStrictEqual(yield* both(20, ReserveCode.UNKNOWN), { together: false, waited: false })
      assert.deepStrictEqual(yield* both(30, ReserveCode.RESERVED), { together: false, waited: false })
      assert.deepStrictEqual(yield* both(40, ReserveCode.RESERVED), { together: true, waited: true })
      assert.strictEqual(answers.size, 8)
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive("an inventory of the release before is asked product by product", () => {
    const key = Redacted.make("a-service-key-that-only-tests-know")
    const credential = ServiceCredential.make({ service: "edge", keys: [key] })
    const older = {
      ...InventoryRpc,
      service: {
        ...InventoryService,
        methods: InventoryService.methods.filter(({ localName }) => localName !== "reserveBatches"),
      },
    } as typeof InventoryRpc
    const asked: Array<bigint> = []
    const served = Layer.unwrapScoped(
      Effect.map(
        GrpcServer.make({
          port: Config.succeed(0),
          host: Config.succeed("127.0.0.1"),
          services: [
            GrpcServer.service(older, {
              reserveBatch: ({ productId, userId }: { productId: bigint; userId: Array<bigint> }) =>
                Effect.sync(() => {
                  asked.push(productId)
                  return Messages.reserved(userId.map((id) => [ReserveCode.RESERVED, `num-${id}`]))
                }),
            } as unknown as GrpcServer.Handlers<typeof InventoryRpc, never>),
          ],
        }),
        ({ port }) => InventoryClient.layer({ url: `127.0.0.1:${port}`, credential }),
      ),
    ).pipe(Layer.provide([Layer.succeed(ServiceCredential.ServiceCredential, credential), Readiness.layer]))
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      for (const productId of [1, 2, 3]) submit(coalescer, answers, productId, { productId })
      yield* Effect.repeat(Effect.sleep(10), { until: () => answers.size === 3, times: 500 })
      assert.deepStrictEqual(
        [...answers.values()].map(({ code }) => code),
        [ReserveCode.RESERVED, ReserveCode.RESERVED, ReserveCode.RESERVED],
      )
      assert.deepStrictEqual(asked.sort(), [1n, 2n, 3n])
    }).pipe(
      Effect.provide(
        Coalescer.layer.pipe(
          Layer.provide(served),
          Layer.provide(ServerClock.layer),
          Layer.provide(SoldOutMarks.layer),
          Layer.orDie,
        ),
      ),
    )
  })

  it.scoped("only recorded requests carry their trace, and only they make a span", () => {
    const { calls, layer } = makeInventory()
    return Effect.gen(function* () {
      const coalescer = yield* Coalescer.Coalescer
      const answers = new Map<number, ReserveOutcome>()
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      submit(coalescer, answers, 1)
      submit(coalescer, answers, 2, { traceparent })
      yield* turn
      assert.deepStrictEqual([...calls[0]!.tracedItem], [1])
      assert.deepStrictEqual([...calls[0]!.traceparent], [traceparent])
      assert.isTrue(calls[0]!.span)
      yield* reserveAll(calls[0]!)
      yield* TestClock.adjust(Coalescer.GATHER_MS)
      submit(coalescer, answers, 3, { productId: 43 })
      yield* turn
      assert.isFalse(calls[1]!.span)
    }).pipe(Effect.provide(layer))
  })
})
