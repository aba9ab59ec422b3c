/**
 * The one path by which an order is cancelled, whoever asks for it: mark it, have payment shut its gate, give the stock
 * back. Each step may be repeated, and the sweep goes on where a crash left off.
 */
import { NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import { CloseOutcome } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import { retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { next } from "../domain/OrderState.ts"
import { OrderingConfig } from "../OrderingConfig.ts"
import { CancelStore, type CancelWish, type Requested } from "../store/CancelStore.ts"
import type { OrderRow } from "../store/OrderRow.ts"
import { OrderStore } from "../store/OrderStore.ts"
import * as OrderMetrics from "./OrderMetrics.ts"

/** How many orders payment is asked about at once. */
const CLOSE_CONCURRENCY = 16

/** Orders of one product that go into one transaction, at most. */
const MOST_TOGETHER = 200

type Due = Pick<Requested, "order_num" | "product_id">

interface Waiting {
  readonly order: Due
  readonly done: Deferred.Deferred<void, MysqlError>
}

/** What became of asking payment. */
export type Closing =
  | "closed"
  /** Money is there: the order becomes paid. */
  | "captured"
  /** The gate is shut; the provider hasn't answered. */
  | "pending"
  /** Payment itself couldn't be asked, so nothing is known of the gate. */
  | "unreachable"

export interface Settled {
  readonly cancelled: number
  /** True where payment couldn't be asked about any of them: no use in asking about more now. */
  readonly unreachable: boolean
}

export class Canceller extends Context.Tag("@floodgate/ordering/workers/Canceller")<
  Canceller,
  {
    /**
     * Cancels an order of the wish's number and answers it: cancelled, or, while the provider is silent, still unpaid
     * with the cancel under way. An order that is cancelled already is answered as it is, so that a repeated wish has
     * the same answer.
     * WrongState: it can't be cancelled any more (`state` says `paid` where money was found). NotFound: no row.
     */
    readonly cancel: (
      wish: CancelWish,
    ) => Effect.Effect<
      { readonly order: OrderRow; readonly closing: Closing | "done" },
      MysqlError | NotFound | WrongState
    >
    /** Takes orders whose cancel was asked for as far as they go now. */
    readonly settle: (requested: ReadonlyArray<Requested>) => Effect.Effect<Settled, MysqlError>
  }
>() {}

const make = Effect.gen(function* () {
  const orders = yield* OrderStore
  const cancels = yield* CancelStore
  const payment = yield* PaymentClient
  const relay = yield* OutboxRelay
  const { cancelSilenceMs } = yield* OrderingConfig

  const close = Effect.fn("Canceller.close")(function* (orderNum: string, reason: string) {
    if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("cancel.requested")
    const closing = yield* payment.closeOrder({ orderNum, reason }).pipe(
      Effect.map(({ outcome }): Closing => {
        switch (outcome) {
          case CloseOutcome.CLOSED:
            return "closed"
          case CloseOutcome.CAPTURED:
            return "captured"
          case CloseOutcome.PENDING:
            return "pending"
          // An answer of a later version: nothing is known, as if it hadn't come.
          default:
            return "unreachable"
        }
      }),
      Effect.catchAll((error) =>
        Effect.as(
          Effect.logWarning("payment could not be asked to close an order", error).pipe(
            Effect.annotateLogs({ order_num: orderNum }),
          ),
          "unreachable" as const,
        ),
      ),
    )
    if (globalThis.__FLOODGATE_FAULTS__ && closing === "closed") yield* CrashPoint.hit("cancel.closed")
    return closing
  })

  const finish = (due: ReadonlyArray<Due>): Effect.Effect<number, MysqlError> =>
    retryConflicts(cancels.finish(due)).pipe(
      Effect.tap((cancelled) => {
        OrderMetrics.cancelled(cancelled.length)
        return cancelled.length > 0 ? relay.nudge : Effect.void
      }),
      Effect.tap((cancelled) =>
        Effect.forEach(
          cancelled,
          (orderNum) => Effect.logInfo("order cancelled").pipe(Effect.annotateLogs({ order_num: orderNum })),
          { discard: true },
        ),
      ),
      Effect.map((cancelled) => cancelled.length),
      // The stock log says that this order's stock came back before, though it is unpaid: one such order must not hold
      // up its neighbours, and needs a person.
      Effect.catchTag("MysqlDuplicateKey", (error) =>
        due.length === 1
          ? Effect.as(
              Effect.logError(
                "an unpaid order's stock was given back before; its cancel is held",
                error,
              ).pipe(Effect.annotateLogs({ order_num: due[0]!.order_num })),
              0,
            )
          : Effect.map(
              Effect.forEach(due, (order) => finish([order])),
              (counts) => counts.reduce((sum, n) => sum + n, 0),
            ),
      ),
    )

  const scope = yield* Effect.scope
  /** Those who wait, by product; as many as there are calls in hand, which the server bounds. */
  const queues = new Map<number, Array<Waiting>>()

  const finishQueue = (productId: number, queue: Array<Waiting>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const part = queue.splice(0, MOST_TOGETHER)
      if (part.length === 0) {
        queues.delete(productId)
        return Effect.void
      }
      return finish(part.map(({ order }) => order)).pipe(
        Effect.onExit((exit) =>
          Effect.forEach(part, ({ done }) => Deferred.done(done, Exit.asVoid(exit)), { discard: true }),
        ),
        Effect.exit,
        Effect.zipRight(finishQueue(productId, queue)),
      )
    })

  /**
   * Finishes one order, together with the others of its product that come while a transaction of theirs is under way:
   * all of them lock the product's row, so each on its own would only wait for it, with a connection in its hand.
   */
  const finishTogether = (order: Due): Effect.Effect<void, MysqlError> =>
    Effect.gen(function* () {
      const done = yield* Deferred.make<void, MysqlError>()
      const queue = queues.get(order.product_id)
      if (queue === undefined) {
        const begun = [{ order, done }]
        queues.set(order.product_id, begun)
        // Not the caller's own fiber: if it leaves, the others still wait.
        yield* finishQueue(order.product_id, begun).pipe(
          Effect.onInterrupt(() =>
            Effect.forEach(begun, (waiting) => Deferred.interrupt(waiting.done), { discard: true }),
          ),
          Effect.forkIn(scope),
        )
      } else queue.push({ order, done })
      return yield* Deferred.await(done)
    })

  const cancel = Effect.fn("Canceller.cancel")(function* (wish: CancelWish) {
    const order = yield* orders.find(wish.orderNum)
    if (order === undefined) return yield* new NotFound()
    if (order.state === "cancelled") return { order, closing: "done" as const }
    if (next(order.state, "cancel") === undefined) return yield* new WrongState({ state: order.state })
    // False where it was asked for before, or just left unpaid: the steps below tell which.
    yield* retryConflicts(cancels.request(wish))
    const closing = yield* close(order.order_num, wish.reason)
    if (closing === "closed") yield* finishTogether(order)
    const after = yield* orders.find(wish.orderNum)
    if (after === undefined) return yield* new NotFound()
    if (after.state === "cancelled") return { order: after, closing: "done" as const }
    if (next(after.state, "cancel") === undefined) return yield* new WrongState({ state: after.state })
    if (closing === "captured") return yield* new WrongState({ state: "paid" })
    return { order: after, closing }
  })

  const settle = Effect.fn("Canceller.settle")(function* (requested: ReadonlyArray<Requested>) {
    const closings = yield* Effect.forEach(
      requested,
      (order) =>
        order.traceparent === null
          ? close(order.order_num, order.reason)
          : close(order.order_num, order.reason).pipe(
              TraceContext.withParent(order.traceparent),
              Effect.withTracerEnabled(true),
            ),
      { concurrency: CLOSE_CONCURRENCY },
    )
    const due = requested.filter((order, i) => {
      const closing = closings[i]!
      return closing === "closed" || (closing === "pending" && order.age_ms >= cancelSilenceMs)
    })
    yield* Effect.forEach(
      requested.filter((_, i) => closings[i] === "pending" && due.includes(requested[i]!)),
      (order) =>
        Effect.logWarning(
          "the provider stayed silent; the order is cancelled, money that still comes goes back",
        ).pipe(Effect.annotateLogs({ order_num: order.order_num })),
      { discard: true },
    )
    const cancelled = due.length === 0 ? 0 : yield* finish(due)
    return {
      cancelled,
      unreachable: closings.length > 0 && closings.every((closing) => closing === "unreachable"),
    }
  })

  return Canceller.of({ cancel, settle })
})

export const layer: Layer.Layer<
  Canceller,
  never,
  OrderStore | CancelStore | PaymentClient | OutboxRelay | OrderingConfig
> = Layer.scoped(Canceller, make)
