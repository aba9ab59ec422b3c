/** The gRPC handlers of OrderingService: thin, they check what was asked and turn rows into messages. */

import { Busy, Forbidden, InvalidInput, NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import { Topic } from "@floodgate/contracts/events/Topic"
import { ReservationState } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import {
  type CancelReason as CancelReasonNumber,
  CancelReason as CancelReasonPb,
  DeadLetterState as DeadLetterStatePb,
  OrderState as OrderStatePb,
  RejectReason as RejectReasonPb,
} from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { permits } from "@floodgate/contracts/Roles"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import type { Caller } from "@floodgate/contracts/rpc/ServiceCredential"
import { OrderingRpc } from "@floodgate/contracts/rpc/Services"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import * as CallerAccess from "@floodgate/runtime/grpc/CallerAccess"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Vitals from "@floodgate/runtime/metrics/Vitals"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Answer from "./domain/Answer.ts"
import type { DeadLetterState } from "./domain/DeadLetterState.ts"
import type { CancelReason, OrderState, RejectReason, StoredState } from "./domain/OrderState.ts"
import { OrderingConfig } from "./OrderingConfig.ts"
import { DriftStore } from "./reconcile/DriftStore.ts"
import * as Reconciliation from "./reconcile/Reconciliation.ts"
import { DeadLetterStore, type StoredLetter } from "./store/DeadLetterStore.ts"
import type { OrderRow } from "./store/OrderRow.ts"
import { OrderStore } from "./store/OrderStore.ts"
import * as SaleFigures from "./store/SaleFigures.ts"
import { Canceller } from "./workers/Canceller.ts"
import { DeadLetters } from "./workers/DeadLetters.ts"

/** Numbers that BatchGetOutcomes takes at most. */
export const MAX_OUTCOMES = 500
const MAX_PAGE = 100
const DEFAULT_PAGE = 20
const MAX_RESERVATIONS_PAGE = 5_000
const MAX_NOTE = 500
const MAX_REQUEST_ID = 64
const RETRY_AFTER_MS = 1_000

/** How much of its message a dead letter shows, in a list and by itself. */
const LISTED_PAYLOAD_BYTES = 2 * 1024
const SHOWN_PAYLOAD_BYTES = 64 * 1024

const stateToPb: Readonly<Record<OrderState, OrderStatePb>> = {
  queued: OrderStatePb.QUEUED,
  unpaid: OrderStatePb.UNPAID,
  paid: OrderStatePb.PAID,
  cancelled: OrderStatePb.CANCELLED,
  rejected: OrderStatePb.REJECTED,
  refunding: OrderStatePb.REFUNDING,
  refunded: OrderStatePb.REFUNDED,
}

const stateFromPb = new Map(
  (Object.entries(stateToPb) as ReadonlyArray<[OrderState, OrderStatePb]>).map(([state, pb]) => [pb, state]),
)

const rejectToPb: Readonly<Record<RejectReason, RejectReasonPb>> = {
  stock: RejectReasonPb.STOCK,
  limit: RejectReasonPb.LIMIT,
  generation: RejectReasonPb.GENERATION,
  lost: RejectReasonPb.LOST,
  not_reserved: RejectReasonPb.NOT_RESERVED,
}

const cancelToPb: Readonly<Record<CancelReason, CancelReasonPb>> = {
  user: CancelReasonPb.USER,
  timeout: CancelReasonPb.TIMEOUT,
  operator: CancelReasonPb.OPERATOR,
}

const letterStateToPb: Readonly<Record<DeadLetterState, DeadLetterStatePb>> = {
  open: DeadLetterStatePb.OPEN,
  replayed: DeadLetterStatePb.REPLAYED,
  discarded: DeadLetterStatePb.DISCARDED,
}

const letterStateFromPb = new Map(
  (Object.entries(letterStateToPb) as ReadonlyArray<[DeadLetterState, DeadLetterStatePb]>).map(
    ([state, pb]) => [pb, state],
  ),
)

const ms = (value: number | null): bigint => BigInt(value ?? 0)

const toOrder = (row: OrderRow) => ({
  id: BigInt(row.id),
  orderNum: row.order_num,
  userId: BigInt(row.user_id),
  productId: BigInt(row.product_id),
  productName: row.product_name,
  quantity: row.quantity,
  amount: BigInt(row.amount),
  currency: row.currency,
  state: stateToPb[row.state],
  rejectReason: row.reject_reason === null ? RejectReasonPb.UNSPECIFIED : rejectToPb[row.reject_reason],
  cancelReason: row.cancel_reason === null ? CancelReasonPb.UNSPECIFIED : cancelToPb[row.cancel_reason],
  expiresAtMs: ms(row.expires_at_ms),
  paidAtMs: ms(row.paid_at_ms),
  cancelledAtMs: ms(row.cancelled_at_ms),
  createdAtMs: ms(row.created_at_ms),
  updatedAtMs: ms(row.updated_at_ms),
  version: BigInt(row.version),
  ...(row.payment_id === null
    ? {}
    : {
        payment: {
          paymentId: row.payment_id,
          channel: row.payment_channel ?? "",
          status: row.payment_status ?? "",
        },
      }),
  ...(row.refund_id === null
    ? {}
    : {
        refund: {
          refundId: row.refund_id,
          amount: BigInt(row.refund_amount ?? 0),
          status: row.refund_status ?? "",
          reason: row.refund_reason ?? "",
          createdAtMs: ms(row.refund_created_at_ms),
          succeededAtMs: ms(row.refund_succeeded_at_ms),
        },
      }),
})

type OrderMessage = ReturnType<typeof toOrder>

/** Ids are numbers everywhere inside; one beyond 2^53 is nobody's. */
const safe = (path: string, id: bigint): Effect.Effect<number, InvalidInput> =>
  id <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Effect.succeed(Number(id))
    : Effect.fail(InvalidInput.at(path, "out of bounds"))

/** A page token is the last id of the page before, wrapped so that nobody builds on it. */
const tokenOf = (id: number): string => Buffer.from(`1:${id}`).toString("base64url")

const TOKEN = /^1:([1-9]\d{0,15})$/

const idOf = (token: string): Effect.Effect<number | undefined, InvalidInput> => {
  if (token === "") return Effect.succeed(undefined)
  const id = Number(TOKEN.exec(Buffer.from(token, "base64url").toString("latin1"))?.[1])
  return Number.isSafeInteger(id) && tokenOf(id) === token
    ? Effect.succeed(id)
    : Effect.fail(InvalidInput.at("page_token", "not a token of this list"))
}

/** The last ms that DATETIME holds. */
const MAX_MS = 253_402_300_799_999n

const timeOf = (path: string, at: bigint): Effect.Effect<number | undefined, InvalidInput> =>
  at === 0n
    ? Effect.succeed(undefined)
    : at > 0n && at <= MAX_MS
      ? Effect.succeed(Number(at))
      : Effect.fail(InvalidInput.at(path, "out of bounds"))

const pageSize = (asked: number, fallback: number, max: number): Effect.Effect<number, InvalidInput> =>
  asked <= max
    ? Effect.succeed(asked === 0 ? fallback : asked)
    : Effect.fail(InvalidInput.at("page_size", `at most ${max}`))

const redisSays = (state: ReservationState): Answer.RedisSays => {
  switch (state) {
    case ReservationState.NONE:
      return "none"
    case ReservationState.LIVE:
      return "live"
    case ReservationState.RELEASED:
      return "released"
    default:
      return "unknown"
  }
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const orders = yield* OrderStore
  const drifts = yield* DriftStore
  const canceller = yield* Canceller
  const inventory = yield* InventoryClient
  const deadLetters = yield* DeadLetterStore
  const settling = yield* DeadLetters
  const figures = yield* SaleFigures.make
  const { deadLetterDiscardMs, orderNumKey } = yield* OrderingConfig
  const key = Redacted.value(orderNumKey)

  /**
   * What the number says, or NotFound for one that was never issued to this user. MySQL, then Redis, then MySQL again:
   * an entry that left Redis' stream between the first two is in MySQL by the third.
   */
  const getOrder = Effect.fn("Ordering.getOrder")(function* (orderNum: string, userId: number) {
    const fields = userId === 0 ? OrderNum.parse(orderNum) : OrderNum.verify(key, orderNum, userId)
    if (fields === undefined) return yield* new NotFound()
    const row = yield* orBusy(orders.find(orderNum))
    if (row !== undefined) {
      return yield* userId === 0 || row.user_id === userId ? Effect.succeed(toOrder(row)) : new NotFound()
    }
    // Without the buyer nothing proves the number, nor finds its reservation.
    if (userId === 0) return yield* new NotFound()
    const reservation = yield* inventory.getReservation({ orderNum, userId: BigInt(userId) }).pipe(
      Effect.catchAll((error) =>
        // Redis that can't be asked, or trusted: the number is a good one, so its answer is on its way.
        Effect.as(Effect.logDebug("inventory could not say what became of a reservation", error), undefined),
      ),
    )
    const found = yield* orBusy(orders.findWithProduct(orderNum, fields.productId))
    if (found === undefined) return yield* new NotFound()
    if (found.order !== undefined) return toOrder(found.order)
    const { product } = found
    const says = Answer.answer({
      generation: fields.generation,
      currentGeneration: product.generation,
      redis: reservation === undefined ? "unknown" : redisSays(reservation.state),
      madeAtMs: fields.timeMs,
      redisTimeMs: reservation === undefined ? 0 : Number(reservation.serverTimeMs),
    })
    const quantity = reservation?.quantity ?? 0
    const price = reservation !== undefined && quantity > 0 ? reservation.price : BigInt(product.price)
    const answer: OrderMessage = {
      id: 0n,
      orderNum,
      userId: BigInt(userId),
      productId: BigInt(fields.productId),
      productName: product.name,
      quantity,
      amount: price * BigInt(quantity),
      currency: product.currency,
      state: says === "queued" ? OrderStatePb.QUEUED : OrderStatePb.REJECTED,
      rejectReason: says === "queued" ? RejectReasonPb.UNSPECIFIED : rejectToPb[says],
      cancelReason: CancelReasonPb.UNSPECIFIED,
      expiresAtMs: 0n,
      paidAtMs: 0n,
      cancelledAtMs: 0n,
      createdAtMs: BigInt(fields.timeMs),
      updatedAtMs: BigInt(fields.timeMs),
      version: 0n,
    }
    return answer
  })

  const stored = (order: OrderMessage): boolean => order.id !== 0n

  const wishOf = (
    request: { readonly userId: bigint; readonly reason: CancelReasonNumber; readonly note: string },
    caller: Caller | undefined,
  ) =>
    Effect.gen(function* () {
      if (request.note.length > MAX_NOTE)
        return yield* InvalidInput.at("note", `at most ${MAX_NOTE} characters`)
      const userId = yield* safe("user_id", request.userId)
      switch (request.reason) {
        case CancelReasonPb.USER:
          if (userId === 0) return yield* InvalidInput.at("user_id", "a buyer cancels an order of their own")
          if (caller !== undefined && caller.user_id !== userId) return yield* new NotFound()
          return { userId, reason: "user" as const, actorId: userId }
        case CancelReasonPb.OPERATOR:
          // Checked by the edge, and here again. What one may not touch isn't there.
          if (caller !== undefined && !permits(caller.roles, "order:write")) return yield* new NotFound()
          return { userId, reason: "operator" as const, actorId: caller?.user_id ?? 0 }
        default:
          return yield* InvalidInput.at("reason", "user or operator")
      }
    })

  const isForged = (orderNum: string, userId: bigint | undefined): boolean =>
    userId !== undefined && OrderNum.verify(key, orderNum, Number(userId)) === undefined

  const toLetter = (row: StoredLetter) => ({
    id: BigInt(row.id),
    topic: row.topic,
    partition: row.partition,
    offset: row.offset,
    key: row.key,
    reason: row.reason,
    attempts: row.attempts,
    payload: row.payload,
    payloadBytes: BigInt(row.payload_bytes),
    orderNum: row.claimed_num ?? "",
    firstAtMs: ms(row.first_at_ms),
    lastAtMs: ms(row.last_at_ms),
    state: letterStateToPb[row.state],
    discardsAtMs:
      row.state === "open" && row.topic === Topic.Reservations
        ? BigInt(row.first_at_ms + deadLetterDiscardMs)
        : 0n,
    settledAtMs: ms(row.settled_at_ms),
    settledBy: BigInt(row.settled_by ?? 0),
    settledReason: row.settled_reason ?? "",
  })

  const letterId = (id: bigint): Effect.Effect<number, NotFound> =>
    id > 0n && id <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Effect.succeed(Number(id))
      : Effect.fail(new NotFound())

  const letterOf = (id: number) =>
    Effect.flatMap(orBusy(deadLetters.find(id, SHOWN_PAYLOAD_BYTES)), (row) =>
      row === undefined ? new NotFound() : Effect.succeed(toLetter(row)),
    )

  const settlementOf = (
    request: { readonly id: bigint; readonly reason: string; readonly requestId: string },
    context: Pick<GrpcServer.CallContext, "caller">,
  ) =>
    Effect.gen(function* () {
      yield* CallerAccess.requirePermission(context, "queue:write")
      const id = yield* letterId(request.id)
      if (request.reason === "" || request.reason.length > MAX_NOTE) {
        return yield* InvalidInput.at("reason", `from 1 to ${MAX_NOTE} characters`)
      }
      if (request.requestId.length > MAX_REQUEST_ID) {
        return yield* InvalidInput.at("request_id", `at most ${MAX_REQUEST_ID} characters`)
      }
      return {
        id,
        actorId: context.caller?.user_id ?? Audit.SYSTEM,
        reason: request.reason,
        requestId: request.requestId,
      }
    })

  return GrpcServer.service(OrderingRpc, {
    getOrder: (request, context) =>
      CallerAccess.requireSelf(context, request.userId, "order:read").pipe(
        Effect.zipRight(safe("user_id", request.userId)),
        Effect.flatMap((userId) => getOrder(request.orderNum, userId)),
      ),

    batchGetOutcomes: (request) =>
      Effect.gen(function* () {
        if (request.orderNums.length > MAX_OUTCOMES) {
          return yield* InvalidInput.at("order_nums", `at most ${MAX_OUTCOMES}`)
        }
        if (request.userIds.length !== 0 && request.userIds.length !== request.orderNums.length) {
          return yield* InvalidInput.at("user_ids", "one for each number, or none")
        }
        if (request.orderNums.length === 0) return { decided: [], held: [] }
        const decided = new Set(yield* orBusy(orders.decided(request.orderNums)))
        const buyers = new Map(request.orderNums.map((orderNum, i) => [orderNum, request.userIds[i]]))
        const rest = [...buyers.keys()].filter((orderNum) => !decided.has(orderNum))
        const held: Array<string> = []
        if (rest.length > 0) {
          for (const [orderNum, letter] of yield* orBusy(deadLetters.named(rest))) {
            if (letter === "open") held.push(orderNum)
            // A number that was never issued to its buyer has no row to wait for, once its letter is settled. A good
            // number has: its tombstone.
            else if (isForged(orderNum, buyers.get(orderNum))) decided.add(orderNum)
          }
        }
        return { decided: [...decided], held }
      }),

    listOrders: (request, context) =>
      Effect.gen(function* () {
        const userId = yield* safe("user_id", request.userId)
        if (request.anyUser) yield* CallerAccess.requirePermission(context, "order:read")
        else {
          yield* CallerAccess.requireSelf(context, request.userId, "order:read").pipe(
            Effect.mapError(() => new Forbidden({ permission: "order:read" })),
          )
          if (userId === 0) return yield* InvalidInput.at("user_id", "whose orders")
        }
        const productId = yield* safe("product_id", request.productId)
        const fromMs = yield* timeOf("from_ms", request.fromMs)
        const toMs = yield* timeOf("to_ms", request.toMs)
        const limit = yield* pageSize(request.pageSize, DEFAULT_PAGE, MAX_PAGE)
        const beforeId = yield* idOf(request.pageToken)
        if (request.status !== undefined && request.status > 2) {
          return yield* InvalidInput.at("status", "0, 1 or 2")
        }
        const state = stateFromPb.get(request.state)
        if (request.state !== OrderStatePb.UNSPECIFIED && state === undefined) {
          return yield* InvalidInput.at("state", "unknown")
        }
        const none = { orders: [], nextPageToken: "" }
        // Queued ones have no row, and the list is of rows.
        if (state === "queued") return none
        // What can't be a number is nobody's.
        if (request.orderNum !== "" && OrderNum.parse(request.orderNum) === undefined) return none
        const rows = yield* orBusy(
          orders.list({
            userId: userId === 0 ? undefined : userId,
            productId: productId === 0 ? undefined : productId,
            orderNum: request.orderNum === "" ? undefined : request.orderNum,
            status: request.status,
            state: state as StoredState | undefined,
            fromMs,
            toMs,
            beforeId,
            limit: limit + 1,
          }),
        )
        const page = rows.slice(0, limit)
        const more = rows.length > limit
        return { orders: page.map(toOrder), nextPageToken: more ? tokenOf(page[page.length - 1]!.id) : "" }
      }),

    cancelOrder: (request, { caller }) =>
      Effect.gen(function* () {
        const wish = yield* wishOf(request, caller)
        const now = yield* getOrder(request.orderNum, wish.userId)
        if (!stored(now)) {
          return yield* new WrongState({ state: now.state === OrderStatePb.QUEUED ? "queued" : "rejected" })
        }
        const { closing, order } = yield* orBusy(
          canceller.cancel({
            orderNum: request.orderNum,
            reason: wish.reason,
            actorId: wish.actorId,
            note: request.note,
          }),
        )
        // The wish is stored and the sweep will see to it, but nobody can say yet how it ends.
        if (closing === "unreachable") return yield* new Busy({ retry_after_ms: RETRY_AFTER_MS })
        return toOrder(order)
      }).pipe(Effect.withSpan("Ordering.cancelOrder")),

    getBarrier: (request) =>
      Effect.gen(function* () {
        const epoch = yield* safe("epoch", request.epoch)
        return { partitions: [...(yield* orBusy(orders.barrier(epoch)))] }
      }),

    listReservations: (request) =>
      Effect.gen(function* () {
        const productId = yield* safe("product_id", request.productId)
        const limit = yield* pageSize(request.pageSize, MAX_RESERVATIONS_PAGE, MAX_RESERVATIONS_PAGE)
        const afterId = (yield* idOf(request.pageToken)) ?? 0
        const rows = yield* orBusy(orders.reservations(productId, afterId, limit + 1))
        const page = rows.slice(0, limit)
        return {
          records: page.map((row) => ({
            orderNum: row.order_num,
            userId: BigInt(row.user_id),
            quantity: row.quantity,
            requestId: row.request_id,
            live: row.live,
          })),
          nextPageToken: rows.length > limit ? tokenOf(page[page.length - 1]!.id) : "",
        }
      }),

    listDeadLetters: (request, context) =>
      Effect.gen(function* () {
        yield* CallerAccess.requirePermission(context, "queue:read")
        const state = letterStateFromPb.get(request.state)
        if (request.state !== DeadLetterStatePb.UNSPECIFIED && state === undefined) {
          return yield* InvalidInput.at("state", "unknown")
        }
        const fromMs = yield* timeOf("from_ms", request.fromMs)
        const toMs = yield* timeOf("to_ms", request.toMs)
        const limit = yield* pageSize(request.pageSize, DEFAULT_PAGE, MAX_PAGE)
        const beforeId = yield* idOf(request.pageToken)
        if (request.orderNum !== "" && OrderNum.parse(request.orderNum) === undefined) {
          return { deadLetters: [], nextPageToken: "" }
        }
        const rows = yield* orBusy(
          deadLetters.list({
            state,
            topic: request.topic === "" ? undefined : request.topic,
            orderNum: request.orderNum === "" ? undefined : request.orderNum,
            fromMs,
            toMs,
            beforeId,
            limit: limit + 1,
            payloadBytes: LISTED_PAYLOAD_BYTES,
          }),
        )
        const page = rows.slice(0, limit)
        return {
          deadLetters: page.map(toLetter),
          nextPageToken: rows.length > limit ? tokenOf(page[page.length - 1]!.id) : "",
        }
      }),

    getDeadLetter: (request, context) =>
      Effect.gen(function* () {
        yield* CallerAccess.requirePermission(context, "queue:read")
        return yield* letterOf(yield* letterId(request.id))
      }),

    replayDeadLetter: (request, context) =>
      Effect.gen(function* () {
        const wish = yield* settlementOf(request, context)
        yield* orBusy(settling.replay(wish))
        return yield* letterOf(wish.id)
      }).pipe(Effect.withSpan("Ordering.replayDeadLetter")),

    discardDeadLetter: (request, context) =>
      Effect.gen(function* () {
        const wish = yield* settlementOf(request, context)
        yield* orBusy(settling.discard(wish))
        return yield* letterOf(wish.id)
      }).pipe(Effect.withSpan("Ordering.discardDeadLetter")),

    getReconciliation: (_request, context) => Reconciliation.get(drifts, context),

    listAudit: (request, context) =>
      AuditList.handler(request, context).pipe(Effect.provideService(Mysql, mysql)),

    getVitals: Vitals.handler,

    getSaleFigures: SaleFigures.handler(figures),
  })
})

/** The service with its handlers, for `GrpcServer.layer`. */
export const service = make
