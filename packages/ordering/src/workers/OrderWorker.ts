/**
 * Turns reservations into orders: batch by batch, one short transaction each, which batches of several partitions share
 * where they come together. A batch is let go of only when each of its messages has an outcome in MySQL (an order, a
 * tombstone, a dead letter), or failed by itself and waits for its next try in a retry topic.
 */
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Joined from "@floodgate/runtime/batching/Joined"
import { type BusFailed, EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import { retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as SyncLog from "@floodgate/runtime/telemetry/SyncLog"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { OrderingConfig } from "../OrderingConfig.ts"
import { type Barrier, type BatchResult, OrderStore } from "../store/OrderStore.ts"
import { Timers } from "../timers/Timers.ts"
import { FailedMessages } from "./FailedMessages.ts"
import * as OrderMetrics from "./OrderMetrics.ts"
import { isPoison, reasonOf } from "./Poison.ts"
import * as ReservationMessage from "./ReservationMessage.ts"

export const GROUP = "order-worker"

/** Messages of one transaction at most. */
export const MAX_BATCH = 500

/** Transactions of this process at once. What comes meanwhile gathers for the next. */
const TRANSACTIONS_AT_ONCE = 4

interface Item {
  readonly message: IncomingMessage
  readonly event: ReservationEvent
}

/**
 * What handles a batch, of one partition or several, each in its order. Fails only where the engine did; the bus then
 * brings the same messages again, after a pause, for as long as it takes.
 */
export const makeHandler = Effect.gen(function* () {
  const orders = yield* OrderStore
  const failed = yield* FailedMessages
  const timers = yield* Timers
  const relay = yield* OutboxRelay
  const key = Redacted.value((yield* OrderingConfig).orderNumKey)

  const tellOutcome = (
    log: SyncLog.SyncLog,
    { event, verdict }: BatchResult["decided"][number],
  ): Effect.Effect<void> => {
    const words = verdict === "fits" ? "order created" : `order rejected: ${verdict}`
    const fields = { order_num: event.order_num, user_id: event.user_id, product_id: event.product_id }
    if (event.traceparent === undefined) return Effect.sync(() => log(words, fields))
    return Effect.logInfo(words).pipe(Effect.annotateLogs(fields), TraceContext.withParent(event.traceparent))
  }

  /** One transaction; a duplicate key is redone once, since whoever stood against it has a row now. */
  const create = (events: ReadonlyArray<ReservationEvent>, barriers: ReadonlyArray<Barrier>) =>
    retryConflicts(orders.createBatch(events, barriers)).pipe(
      Effect.catchTag("MysqlDuplicateKey", (error) =>
        Effect.logError("a duplicate key while creating orders; the batch is done once more", error).pipe(
          Effect.zipRight(retryConflicts(orders.createBatch(events, barriers))),
        ),
      ),
    )

  /**
   * The same under traces: the transaction's span belongs to the first sampled click and is linked to all of them, and
   * each sampled click gets a span of its own, from the batch's arrival to its commit. A batch without a sampled click
   * has no spans at all.
   */
  const createTraced = (events: ReadonlyArray<ReservationEvent>, barriers: ReadonlyArray<Barrier>) => {
    const sampled = events.filter((event) => event.traceparent !== undefined)
    if (sampled.length === 0) return Effect.withTracerEnabled(create(events, barriers), false)
    const clicks = sampled.map((event) => event.traceparent!)
    return Effect.gen(function* () {
      const tracer = yield* Effect.tracer
      const clock = yield* Effect.clock
      const startNs = clock.unsafeCurrentTimeNanos()
      const { result, transaction } = yield* Effect.currentSpan.pipe(
        Effect.flatMap((transaction) =>
          Effect.map(create(events, barriers), (result) => ({ result, transaction })),
        ),
        Effect.withSpan("orders.create_batch", {
          kind: "consumer",
          captureStackTrace: false,
          links: TraceContext.links(clicks),
          attributes: {
            "messaging.operation.type": "process",
            "messaging.destination.name": Topic.Reservations,
            "messaging.consumer.group.name": GROUP,
            "messaging.batch.message_count": events.length,
          },
        }),
        TraceContext.withParent(clicks[0]),
      )
      const endNs = clock.unsafeCurrentTimeNanos()
      const verdicts = new Map(result.decided.map(({ event, verdict }) => [event.order_num, verdict]))
      for (const event of sampled) {
        const [parent] = TraceContext.links([event.traceparent!])
        const verdict = verdicts.get(event.order_num)
        if (parent === undefined || verdict === undefined) continue
        const span = tracer.span(
          "order create",
          Option.some(parent.span),
          Context.empty(),
          [{ _tag: "SpanLink", span: transaction, attributes: {} }],
          startNs,
          "consumer",
        )
        span.attribute("order_num", event.order_num)
        span.attribute("outcome", verdict)
        span.attribute("db.transaction_ms", Number(endNs - startNs) / 1e6)
        span.end(endNs, Exit.void)
      }
      return result
    }).pipe(Effect.catchTag("NoSuchElementException", Effect.die))
  }

  const settle = (
    items: ReadonlyArray<Item>,
    barriers: ReadonlyArray<Barrier>,
  ): Effect.Effect<void, MysqlError> =>
    createTraced(
      items.map((item) => item.event),
      barriers,
    ).pipe(
      Effect.flatMap((result) => afterwards(items, result)),
      Effect.catchAllCause((cause) => {
        if (!isPoison(cause) || items.length === 0) return Effect.failCause(cause)
        if (items.length === 1) {
          // A barrier says that everything before it is decided. What is tried again isn't, and needs no waiting for: a
          // recovery raises the generation after its barriers, so that the message becomes `rejected(lost)`.
          return Effect.logWarning("a reservation failed by itself", cause).pipe(
            Effect.zipRight(failed.again(items[0]!.message, reasonOf(cause))),
            Effect.zipRight(barriers.length > 0 ? settle([], barriers) : Effect.void),
          )
        }
        const middle = items.length >>> 1
        return Effect.zipRight(settle(items.slice(0, middle), []), settle(items.slice(middle), barriers))
      }),
    )

  const afterwards = (items: ReadonlyArray<Item>, result: BatchResult): Effect.Effect<void, MysqlError> =>
    Effect.gen(function* () {
      if (globalThis.__FLOODGATE_FAULTS__ && result.decided.length > 0)
        yield* CrashPoint.hit("orders.committed")
      OrderMetrics.decided(result.decided)
      if (result.decided.length > 0) yield* relay.nudge
      yield* timers.arm(result.unpaid)
      // Of the handler's fiber: its annotations belong to these lines as well.
      const log = yield* SyncLog.make
      for (const one of result.decided) yield* tellOutcome(log, one)
      if (result.orphans.length === 0 && result.impostors.length === 0) return
      const messages = new Map(items.map(({ event, message }) => [event, message]))
      for (const event of result.orphans) {
        yield* failed.bury(messages.get(event)!, "there is no such product", { oneForNumber: true })
      }
      for (const event of result.impostors) {
        yield* failed.bury(messages.get(event)!, "the number has a row of another buyer or product", {
          oneForNumber: false,
        })
      }
    })

  return Effect.fnUntraced(function* (batch: ReadonlyArray<IncomingMessage>) {
    const items: Array<Item> = []
    const barriers = new Map<number, Barrier>()
    for (const message of batch) {
      const read = ReservationMessage.read(message.value)
      if (read._tag === "unreadable") {
        yield* failed.bury(message, read.reason, { oneForNumber: false })
      } else if (read._tag === "barrier") {
        const epoch = Math.max(read.epoch, barriers.get(message.partition)?.epoch ?? 0)
        barriers.set(message.partition, { partition: message.partition, epoch })
      } else {
        const why = ReservationMessage.implausible(key, read.event)
        // Not by its number: the letter of a forged copy must not hide that of the real one.
        if (why !== undefined) yield* failed.bury(message, why, { oneForNumber: false })
        else items.push({ message, event: read.event })
      }
    }
    if (items.length > 0 || barriers.size > 0) yield* settle(items, [...barriers.values()])
  })
})

/** What a handler needs. */
export type Needs = OrderStore | FailedMessages | Timers | OrderingConfig | OutboxRelay

/** Consumes until interrupted. */
export const run: Effect.Effect<never, BusFailed, EventBus | Needs> = Effect.gen(function* () {
  const bus = yield* EventBus
  const handle = yield* makeHandler
  const joined = yield* Joined.make({
    atOnce: TRANSACTIONS_AT_ONCE,
    most: MAX_BATCH,
    sizeOf: (batch: ReadonlyArray<IncomingMessage>) => batch.length,
    keyOf: (batch) => batch[0]!.partition,
    call: (batches) => Effect.annotateLogs(handle(batches.flat()), { group: GROUP }),
  })
  return yield* bus.consume({
    group: GROUP,
    topics: [Topic.Reservations],
    maxBatch: MAX_BATCH,
    handle: joined,
  })
}).pipe(Effect.scoped)
