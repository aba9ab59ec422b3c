import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import { Busy, NotFound } from "@floodgate/contracts/errors/Errors"
import {
  type Reservation,
  ReservationSchema,
  ReservationState,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import {
  CancelReason,
  DeadLetterState,
  OrderState,
  RejectReason,
} from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { CloseOutcome } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { OrderingRpc } from "@floodgate/contracts/rpc/Services"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { NOT_AFTER_HORIZON_MS } from "./domain/Answer.ts"
import * as Rpc from "./rpc.ts"
import { OrderStore } from "./store/OrderStore.ts"
import {
  assertConserved,
  DISCARD_MS,
  KEY,
  message,
  payment,
  product,
  query,
  reservation,
  stores,
} from "./testing/Fixture.ts"
import * as Canceller from "./workers/Canceller.ts"
import { FailedMessages } from "./workers/FailedMessages.ts"

interface RedisAnswer {
  readonly state: ReservationState
  readonly quantity?: number
  readonly serverTimeMs?: number
}

/** What the inventory of this file says of a number; runs before it says it. */
const reservations = new Map<string, Effect.Effect<RedisAnswer | "busy" | "unknown", never, OrderStore>>()
const closings = new Map<string, CloseOutcome | "down">()

const inventory = Layer.effect(
  InventoryClient,
  Effect.map(
    OrderStore,
    (orders) =>
      ({
        getReservation: ({ orderNum = "" }: { readonly orderNum?: string }) =>
          (
            reservations.get(orderNum) ?? Effect.succeed({ state: ReservationState.NONE } as RedisAnswer)
          ).pipe(
            Effect.provideService(OrderStore, orders),
            Effect.flatMap(
              (answer): Effect.Effect<Reservation, Busy | NotFound> =>
                answer === "busy"
                  ? Effect.fail(new Busy({}))
                  : answer === "unknown"
                    ? Effect.fail(new NotFound())
                    : Effect.succeed(
                        create(ReservationSchema, {
                          orderNum,
                          state: answer.state,
                          quantity: answer.quantity ?? 0,
                          price: 9800n,
                          serverTimeMs: BigInt(answer.serverTimeMs ?? Date.now()),
                        }),
                      ),
            ),
          ),
      }) as unknown as InventoryClient["Type"],
  ),
)

class Stub extends Context.Tag("test/Stub")<Stub, GrpcClient.Client<typeof OrderingRpc>>() {}

const credential = ServiceCredential.make({
  service: "tester",
  keys: [Redacted.make("a-service-key-that-only-tests-know")],
})

/** The handlers behind a real server, called by the real client. */
const served = Layer.scoped(
  Stub,
  Effect.gen(function* () {
    const { port } = yield* GrpcServer.make({
      port: Config.succeed(0),
      host: Config.succeed("127.0.0.1"),
      services: [yield* Rpc.service],
    })
    return yield* GrpcClient.make(OrderingRpc, {
      url: `127.0.0.1:${port}`,
      credential,
      deadlineMs: () => 20_000,
    })
  }),
).pipe(
  Layer.orDie,
  Layer.provide(Canceller.layer),
  Layer.provide(
    Layer.merge(
      inventory,
      payment((orderNum) => Effect.sync(() => closings.get(orderNum) ?? CloseOutcome.CLOSED)),
    ),
  ),
  Layer.provideMerge(stores),
  Layer.provide(Readiness.layer),
  Layer.provide(Layer.succeed(ServiceCredential.ServiceCredential, credential)),
)

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

describe("OrderingService", () => {
  layer(served, { excludeTestServices: true })((it) => {
    it.effect("GetOrder answers the owner's order, and nobody else's", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const orders = yield* OrderStore
        const id = yield* product({ stock: 1, name: "a lamp" })
        const [mine, late] = [reservation(id, 7), reservation(id, 8)]
        yield* orders.createBatch([mine, late], [])
        const order = yield* stub.getOrder({ orderNum: mine.order_num, userId: 7n })
        assert.strictEqual(order.state, OrderState.UNPAID)
        assert.strictEqual(order.productName, "a lamp")
        assert.strictEqual(order.amount, 9900n)
        assert.isAbove(Number(order.id), 0)
        assert.isUndefined(order.payment)
        assert.isUndefined(order.refund)
        assert.deepStrictEqual(yield* stub.getOrder({ orderNum: mine.order_num, userId: 0n }), order)
        const rejected = yield* stub.getOrder({ orderNum: late.order_num, userId: 8n })
        assert.strictEqual(rejected.state, OrderState.REJECTED)
        assert.strictEqual(rejected.rejectReason, RejectReason.STOCK)
        for (const request of [
          { orderNum: mine.order_num, userId: 8n },
          { orderNum: "", userId: 7n },
          { orderNum: `${mine.order_num.slice(0, -1)}~`, userId: 7n },
          { orderNum: reservation(id, 9).order_num, userId: 0n },
        ]) {
          assert.strictEqual((yield* Effect.flip(stub.getOrder(request)))._tag, "NotFound")
        }
        assert.strictEqual(
          (yield* Effect.flip(stub.getOrder({ orderNum: mine.order_num, userId: 2n ** 60n })))._tag,
          "InvalidInput",
        )
      }),
    )

    it.effect("GetOrder says of a number without a row: queued, lost, or not reserved, and never 404", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 1, generation: 2, name: "a chair" })
        const ask = (timeMs: number, generation: number, says: RedisAnswer | "busy" | "unknown") => {
          const orderNum = OrderNum.make(KEY, 5, { timeMs, productId: id, generation })
          reservations.set(orderNum, Effect.succeed(says))
          return stub.getOrder({ orderNum, userId: 5n })
        }
        const now = Date.now()
        const old = now - NOT_AFTER_HORIZON_MS - 1_000
        const live = yield* ask(old, 2, { state: ReservationState.LIVE, quantity: 3 })
        assert.strictEqual(live.state, OrderState.QUEUED)
        assert.deepStrictEqual(
          [
            live.id,
            live.quantity,
            live.amount,
            live.currency,
            live.productName,
            live.createdAtMs,
            live.expiresAtMs,
          ],
          [0n, 3, 29_400n, "CNY", "a chair", BigInt(old), 0n],
        )
        assert.strictEqual((yield* ask(old, 2, "busy")).state, OrderState.QUEUED)
        assert.strictEqual(
          (yield* ask(old, 2, { state: ReservationState.UNSPECIFIED })).state,
          OrderState.QUEUED,
        )
        assert.strictEqual((yield* ask(now, 2, { state: ReservationState.NONE })).state, OrderState.QUEUED)
        const never = yield* ask(old, 2, { state: ReservationState.NONE })
        assert.deepStrictEqual(
          [never.state, never.rejectReason],
          [OrderState.REJECTED, RejectReason.NOT_RESERVED],
        )
        for (const says of [
          "busy",
          { state: ReservationState.LIVE },
          { state: ReservationState.NONE },
        ] as const) {
          const lost = yield* ask(now, 1, says)
          assert.deepStrictEqual([lost.state, lost.rejectReason], [OrderState.REJECTED, RejectReason.LOST])
        }
      }),
    )

    it.effect("GetOrder finds the order that was created while it asked Redis", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 1 })
        const entry = reservation(id, 5, { reserved_at_ms: Date.now() - 60_000 })
        reservations.set(
          entry.order_num,
          Effect.flatMap(OrderStore, (orders) =>
            Effect.as(Effect.orDie(orders.createBatch([entry], [])), { state: ReservationState.NONE }),
          ),
        )
        assert.strictEqual(
          (yield* stub.getOrder({ orderNum: entry.order_num, userId: 5n })).state,
          OrderState.UNPAID,
        )
      }),
    )

    it.effect("BatchGetOutcomes names those that have a row, orders and tombstones alike", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 1 })
        const entries = range(1, 5).map((user) => reservation(id, user))
        yield* (yield* OrderStore).createBatch(entries.slice(0, 2), [])
        const { decided } = yield* stub.batchGetOutcomes({ orderNums: entries.map((e) => e.order_num) })
        assert.sameMembers(
          decided,
          entries.slice(0, 2).map((e) => e.order_num),
        )
        assert.deepStrictEqual((yield* stub.batchGetOutcomes({ orderNums: [] })).decided, [])
        const tooMany = yield* Effect.flip(stub.batchGetOutcomes({ orderNums: range(0, 501).map(String) }))
        assert.strictEqual(tooMany._tag, "InvalidInput")
      }),
    )

    it.effect("ListOrders pages through a buyer's orders, newest first, and refuses what isn't a page", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 5, limit: 100 })
        const entries = range(0, 7).map(() => reservation(id, 41))
        yield* (yield* OrderStore).createBatch(entries, [])
        const seen: Array<string> = []
        let pageToken = ""
        do {
          const page = yield* stub.listOrders({ userId: 41n, pageSize: 3, pageToken })
          seen.push(...page.orders.map((order) => order.orderNum))
          pageToken = page.nextPageToken
        } while (pageToken !== "")
        assert.deepStrictEqual(seen, entries.map((e) => e.order_num).toReversed())
        assert.strictEqual((yield* stub.listOrders({ userId: 41n })).orders.length, 7)
        assert.strictEqual((yield* stub.listOrders({ userId: 41n, status: 2 })).orders.length, 2)
        assert.strictEqual((yield* stub.listOrders({ userId: 41n, status: 0 })).orders.length, 5)
        assert.strictEqual(
          (yield* stub.listOrders({ userId: 41n, state: OrderState.REJECTED })).orders.length,
          2,
        )
        assert.strictEqual(
          (yield* stub.listOrders({ userId: 41n, state: OrderState.QUEUED })).orders.length,
          0,
        )
        for (const bad of [
          { pageSize: 101 },
          { pageSize: 4_000_000_000 },
          { pageToken: "x" },
          { pageToken: Buffer.from("1:1e3").toString("base64url") },
          { pageToken: Buffer.from("1:0").toString("base64url") },
          { status: 3 },
          { state: 99 as OrderState },
          { userId: 0n },
        ]) {
          assert.strictEqual(
            (yield* Effect.flip(stub.listOrders({ userId: 41n, ...bad })))._tag,
            "InvalidInput",
          )
        }
      }),
    )

    it.effect("CancelOrder cancels the owner's order, and answers a repetition alike", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 2 })
        const [mine, theirs] = [reservation(id, 1), reservation(id, 2)]
        yield* (yield* OrderStore).createBatch([mine, theirs], [])
        const request = { orderNum: mine.order_num, userId: 1n, reason: CancelReason.USER }
        const order = yield* stub.cancelOrder(request)
        assert.deepStrictEqual([order.state, order.cancelReason], [OrderState.CANCELLED, CancelReason.USER])
        assert.isAbove(Number(order.cancelledAtMs), 0)
        assert.deepStrictEqual(yield* stub.cancelOrder(request), order)
        assert.strictEqual(
          (yield* Effect.flip(stub.cancelOrder({ ...request, orderNum: theirs.order_num })))._tag,
          "NotFound",
        )
        assert.strictEqual(yield* assertConserved(id), 1)
      }),
    )

    it.effect("ListOrders finds everybody's orders for who may read them, and for nobody else", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 5 })
        const entries = range(1, 4).map((user) => reservation(id, user))
        yield* (yield* OrderStore).createBatch(entries, [])
        const finance = { user_id: 60, username: "fay", roles: ["finance"] }
        const request = { anyUser: true, productId: BigInt(id), pageSize: 2 }
        const first = yield* stub.listOrders(request, { caller: finance })
        const second = yield* stub.listOrders(
          { ...request, pageToken: first.nextPageToken },
          { caller: finance },
        )
        assert.deepStrictEqual(
          [...first.orders, ...second.orders].map((order) => order.userId),
          [3n, 2n, 1n],
        )
        assert.strictEqual(second.nextPageToken, "")
        const one = yield* stub.listOrders(
          { anyUser: true, orderNum: entries[1]!.order_num },
          { caller: finance },
        )
        assert.deepStrictEqual(
          one.orders.map((order) => order.orderNum),
          [entries[1]!.order_num],
        )
        assert.deepStrictEqual(
          (yield* stub.listOrders({ anyUser: true, orderNum: "no number" }, { caller: finance })).orders,
          [],
        )
        const customer = { user_id: 1, username: "carl", roles: ["customer"] }
        for (const asked of [request, { ...request, userId: 1n }]) {
          assert.deepInclude(yield* Effect.flip(stub.listOrders(asked, { caller: customer })), {
            _tag: "Forbidden",
            permission: "order:read",
          })
        }
        assert.strictEqual(
          (yield* Effect.flip(stub.listOrders({ ...request, fromMs: -1n }, { caller: finance })))._tag,
          "InvalidInput",
        )
      }),
    )

    it.effect(
      "dead letters are read by queue:read, settled by queue:write, and hold their numbers meanwhile",
      () =>
        Effect.gen(function* () {
          const stub = yield* Stub
          const failed = yield* FailedMessages
          const id = yield* product({ stock: 5 })
          const [wanted, dropped, stolen, away] = [
            reservation(id, 1),
            reservation(id, 2),
            { ...reservation(id, 3), user_id: 33 },
            reservation(id, 4),
          ] as const
          for (const entry of [wanted, dropped, stolen]) {
            yield* failed.bury(message(entry, entry.order_num), "a test wants it so", { oneForNumber: true })
          }
          const asked = [wanted, dropped, stolen, away]
          const outcomes = stub.batchGetOutcomes({
            orderNums: asked.map((e) => e.order_num),
            userIds: asked.map((e) => BigInt(e.user_id)),
          })
          const before = yield* outcomes
          assert.deepStrictEqual(before.decided, [])
          assert.sameMembers(
            before.held,
            [wanted, dropped, stolen].map((e) => e.order_num),
          )

          const operator = { caller: { user_id: 51, username: "olaf", roles: ["operator"] } }
          const admin = { caller: { user_id: 52, username: "ada", roles: ["admin"] } }
          const customer = { caller: { user_id: 1, username: "carl", roles: ["customer"] } }
          const list = (request: object) => stub.listDeadLetters({ fromMs: 1n, ...request }, operator)
          const { deadLetters, nextPageToken } = yield* list({ pageSize: 2 })
          assert.deepStrictEqual(
            deadLetters.map((letter) => letter.orderNum),
            [stolen.order_num, dropped.order_num],
          )
          const rest = yield* list({ pageSize: 2, pageToken: nextPageToken })
          assert.deepStrictEqual(
            rest.deadLetters.map((letter) => letter.orderNum),
            [wanted.order_num],
          )
          const letterOf = (orderNum: string) =>
            Effect.map(list({ orderNum, state: DeadLetterState.OPEN }), (found) => found.deadLetters[0]!)
          const [forWanted, forDropped, forStolen] = [
            yield* letterOf(wanted.order_num),
            yield* letterOf(dropped.order_num),
            yield* letterOf(stolen.order_num),
          ]
          assert.deepStrictEqual(JSON.parse(Buffer.from(forWanted.payload).toString("utf8")), wanted)
          assert.strictEqual(forWanted.discardsAtMs - forWanted.firstAtMs, BigInt(DISCARD_MS))
          assert.deepStrictEqual(yield* stub.getDeadLetter({ id: forWanted.id }, operator), forWanted)

          const wish = { id: forWanted.id, reason: "the cause is mended", requestId: "replay-1" }
          assert.deepInclude(yield* Effect.flip(stub.replayDeadLetter(wish, operator)), {
            _tag: "Forbidden",
            permission: "queue:write",
          })
          assert.deepInclude(yield* Effect.flip(stub.listDeadLetters({}, customer)), { _tag: "Forbidden" })
          assert.strictEqual(
            (yield* Effect.flip(stub.replayDeadLetter({ ...wish, reason: "" }, admin)))._tag,
            "InvalidInput",
          )
          assert.strictEqual(
            (yield* Effect.flip(stub.discardDeadLetter({ ...wish, id: 999_999n }, admin)))._tag,
            "NotFound",
          )
          const replayed = yield* stub.replayDeadLetter(wish, admin)
          assert.deepStrictEqual(
            [replayed.state, replayed.settledBy, replayed.settledReason, replayed.discardsAtMs],
            [DeadLetterState.REPLAYED, 52n, "the cause is mended", 0n],
          )
          assert.deepStrictEqual(yield* stub.replayDeadLetter(wish, admin), replayed)
          assert.deepInclude(
            yield* Effect.flip(stub.discardDeadLetter({ ...wish, requestId: "other" }, admin)),
            { _tag: "WrongState", state: "replayed" },
          )
          for (const { id } of [forDropped, forStolen]) {
            const discarded = yield* stub.discardDeadLetter({ id, reason: "given up" }, admin)
            assert.strictEqual(discarded.state, DeadLetterState.DISCARDED)
          }
          // The order, the tombstone, and what was never issued: the relay may let go of all three.
          const after = yield* outcomes
          assert.sameMembers(
            after.decided,
            [wanted, dropped, stolen].map((e) => e.order_num),
          )
          assert.deepStrictEqual(after.held, [])
          // Without the buyer nobody can tell that a number was never issued.
          assert.deepStrictEqual(
            (yield* stub.batchGetOutcomes({ orderNums: [stolen.order_num] })).decided,
            [],
          )
          const order = yield* stub.getOrder({ orderNum: dropped.order_num, userId: 2n })
          assert.deepStrictEqual([order.state, order.rejectReason], [OrderState.REJECTED, RejectReason.LOST])
        }),
    )

    it.effect("CancelOrder by an operator needs the permission, and keeps who did it and why", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 1 })
        const entry = reservation(id, 1)
        yield* (yield* OrderStore).createBatch([entry], [])
        const request = { orderNum: entry.order_num, reason: CancelReason.OPERATOR, note: "asked by phone" }
        const risk = { user_id: 50, username: "rita", roles: ["risk"] }
        const operator = { user_id: 51, username: "olaf", roles: ["operator"] }
        assert.strictEqual((yield* Effect.flip(stub.cancelOrder(request, { caller: risk })))._tag, "NotFound")
        const order = yield* stub.cancelOrder(request, { caller: operator })
        assert.strictEqual(order.cancelReason, CancelReason.OPERATOR)
        assert.deepStrictEqual(
          yield* query("SELECT actor_id, reason FROM audit WHERE target_id = ?", [entry.order_num]),
          [{ actor_id: 51, reason: "asked by phone" }],
        )
        const target = `order:${entry.order_num}`
        for (const options of [{}, { caller: operator }]) {
          assert.deepInclude(yield* Effect.flip(stub.listAudit({ target }, options)), {
            _tag: "Forbidden",
            permission: "audit:read",
          })
        }
        const auditor = { user_id: 52, username: "aude", roles: ["auditor"] }
        const { entries, nextPageToken } = yield* stub.listAudit({ target }, { caller: auditor })
        assert.deepStrictEqual(
          entries.map((e) => [e.actorId, e.action, e.beforeJson, JSON.parse(e.afterJson), e.reason]),
          [
            [
              51n,
              "order.cancel",
              '{"state":"unpaid"}',
              { state: "cancelled", cancel_reason: "operator", stock_returned: 1 },
              "asked by phone",
            ],
          ],
        )
        assert.strictEqual(nextPageToken, "")
        for (const bad of [
          { reason: CancelReason.TIMEOUT },
          { reason: CancelReason.UNSPECIFIED },
          { reason: CancelReason.USER, userId: 0n },
          { note: "x".repeat(501) },
        ]) {
          assert.strictEqual(
            (yield* Effect.flip(stub.cancelOrder({ ...request, ...bad })))._tag,
            "InvalidInput",
          )
        }
      }),
    )

    it.effect("CancelOrder says the state of an order that it can't cancel", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const id = yield* product({ stock: 2 })
        const [paid, captured, rejected] = [reservation(id, 1), reservation(id, 2), reservation(id, 3)]
        yield* (yield* OrderStore).createBatch([paid, captured, rejected], [])
        yield* query("UPDATE `order` SET state = 'paid' WHERE order_num = ?", [paid.order_num])
        closings.set(captured.order_num, CloseOutcome.CAPTURED)
        const queued = reservation(id, 4)
        reservations.set(queued.order_num, Effect.succeed({ state: ReservationState.LIVE }))
        for (const [entry, state] of [
          [paid, "paid"],
          [captured, "paid"],
          [rejected, "rejected"],
          [queued, "queued"],
        ] as const) {
          const refused = yield* Effect.flip(
            stub.cancelOrder({
              orderNum: entry.order_num,
              userId: BigInt(entry.user_id),
              reason: CancelReason.USER,
            }),
          )
          assert.deepStrictEqual([refused._tag, (refused as { state?: string }).state], ["WrongState", state])
        }
      }),
    )

    it.effect(
      "CancelOrder answers the unpaid order while the provider is silent, and busy without payment",
      () =>
        Effect.gen(function* () {
          const stub = yield* Stub
          const id = yield* product({ stock: 2 })
          const [silent, down] = [reservation(id, 1), reservation(id, 2)]
          yield* (yield* OrderStore).createBatch([silent, down], [])
          closings.set(silent.order_num, CloseOutcome.PENDING)
          closings.set(down.order_num, "down")
          const ask = (entry: typeof silent) =>
            stub.cancelOrder({
              orderNum: entry.order_num,
              userId: BigInt(entry.user_id),
              reason: CancelReason.USER,
            })
          assert.strictEqual((yield* ask(silent)).state, OrderState.UNPAID)
          assert.strictEqual((yield* Effect.flip(ask(down)))._tag, "Busy")
          closings.clear()
          assert.strictEqual((yield* ask(silent)).state, OrderState.CANCELLED)
          assert.strictEqual((yield* ask(down)).state, OrderState.CANCELLED)
          assert.strictEqual(yield* assertConserved(id), 2)
        }),
    )

    it.effect("GetBarrier and ListReservations give recovery what it rebuilds from", () =>
      Effect.gen(function* () {
        const stub = yield* Stub
        const orders = yield* OrderStore
        const id = yield* product({ stock: 3 })
        const entries = range(1, 6).map((user) => reservation(id, user, { request_id: `r${user}` }))
        yield* orders.createBatch(entries, [{ partition: 9, epoch: 12 }])
        assert.deepStrictEqual((yield* stub.getBarrier({ epoch: 12n })).partitions, [9])
        assert.deepStrictEqual((yield* stub.getBarrier({ epoch: 13n })).partitions, [])
        const first = yield* stub.listReservations({ productId: BigInt(id), pageSize: 4 })
        const second = yield* stub.listReservations({
          productId: BigInt(id),
          pageSize: 4,
          pageToken: first.nextPageToken,
        })
        assert.strictEqual(second.nextPageToken, "")
        assert.deepStrictEqual(
          [...first.records, ...second.records].map((r) => [
            r.orderNum,
            Number(r.userId),
            r.quantity,
            r.requestId,
            r.live,
          ]),
          entries.map((e, i) => [e.order_num, e.user_id, 1, e.request_id, i < 3]),
        )
        assert.strictEqual(
          (yield* Effect.flip(stub.listReservations({ productId: BigInt(id), pageSize: 5_001 })))._tag,
          "InvalidInput",
        )
      }),
    )
  })
})
