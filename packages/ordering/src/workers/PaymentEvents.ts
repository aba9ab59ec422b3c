/**
 * Applies what payment tells to the orders. Events of one order stay in order; those of different orders don't wait for
 * each other. An event whose order isn't there yet is parked by the store and tried again here.
 */
import { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import { type BusFailed, EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import { retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as Settled from "@floodgate/runtime/resilience/Settled"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { type DeadLetter, DeadLetterStore } from "../store/DeadLetterStore.ts"
import { type Applied, PaymentStore } from "../store/PaymentStore.ts"
import * as DeadLetterMetrics from "./DeadLetterMetrics.ts"
import * as OrderMetrics from "./OrderMetrics.ts"
import { isPoison, reasonOf } from "./Poison.ts"
import * as ReservationMessage from "./ReservationMessage.ts"

export const GROUP = "ordering"

/** Orders whose events are applied at once. */
const CONCURRENCY = 8

const PARKED_PAGE = 100
const PARKED_MAX_PAGES = 20
const PARKED_EVERY_MS = 1_000
/** After this long without its order, a parked event is somebody's business, ms. */
const PARKED_ALERT_MS = 600_000

const decode = Schema.decodeUnknownEither(Schema.parseJson(PaymentEvent))

/** What is wrong, without the schema that it was held against. */
const wordsOf = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .map(({ message, path }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
    .join("; ")

const isTime = (text: string): boolean => Number.isFinite(Date.parse(text))

/** What the schema leaves open and the columns don't take. */
const implausible = (event: PaymentEvent): string | undefined => {
  if (event.type === "payment.captured" && event.capture_id === undefined) return "a capture without its id"
  if (event.type === "refund.updated" && event.refund === undefined)
    return "a refund's event without the refund"
  const { refund } = event
  if (
    refund !== undefined &&
    !(isTime(refund.created_at) && (refund.succeeded_at === null || isTime(refund.succeeded_at)))
  ) {
    return "a refund's time is not a time"
  }
  return undefined
}

/** Reads one message's text; what is wrong with it otherwise. */
export const read = (text: string): Either.Either<PaymentEvent, string> =>
  Either.flatMap(Either.mapLeft(decode(text), wordsOf), (event) => {
    const why = implausible(event)
    return why === undefined ? Either.right(event) : Either.left(why)
  })

const say = (event: PaymentEvent, applied: Applied): Effect.Effect<void> => {
  const log =
    applied._tag === "parked"
      ? Effect.logWarning("a payment's event came before its order; it is kept")
      : applied._tag === "known" || applied.capture === undefined
        ? Effect.void
        : applied.capture._tag === "pay"
          ? Effect.logInfo("order paid")
          : applied.capture._tag === "refuse"
            ? Effect.logWarning(`a capture was refused and goes back: ${applied.capture.reason}`)
            : Effect.void
  return Effect.annotateLogs(log, { order_num: event.order_num, payment_id: event.payment_id })
}

const applyOne = (event: PaymentEvent) =>
  Effect.flatMap(Effect.all([PaymentStore, OutboxRelay]), ([payments, relay]) =>
    retryConflicts(payments.apply(event)).pipe(
      Effect.tap((applied) =>
        applied._tag === "applied" && (applied.moved === true || applied.capture !== undefined)
          ? relay.nudge
          : Effect.void,
      ),
      Effect.tap((applied) => {
        OrderMetrics.applied(applied, event.refund?.status)
        return say(event, applied)
      }),
      Effect.withSpan("payment_event.apply", {
        kind: "consumer",
        captureStackTrace: false,
        attributes: {
          "messaging.operation.type": "process",
          "messaging.destination.name": Topic.PaymentEvents,
          "messaging.consumer.group.name": GROUP,
          order_num: event.order_num,
          type: event.type,
        },
      }),
      // Like everything that carries no sampled click: no spans.
      event.traceparent === undefined
        ? Effect.withTracerEnabled(false)
        : TraceContext.withParent(event.traceparent),
    ),
  )

/** What handles one batch. Fails only where the engine did; the bus brings the same batch again. */
export const makeHandler = Effect.gen(function* () {
  const payments = yield* PaymentStore
  const deadLetters = yield* DeadLetterStore
  const relay = yield* OutboxRelay

  const bury = (message: IncomingMessage, reason: string): Effect.Effect<void, MysqlError> => {
    const letter: DeadLetter = {
      topic: message.topic,
      partition: message.partition,
      offset: message.offset,
      key: message.key,
      payload: message.value,
      reason,
      attempts: 1,
      claimedNum: ReservationMessage.claimOf(message.value)?.orderNum,
      orderNum: undefined,
      // An order has many of these, so the number doesn't tell one from another.
      oneForNumber: false,
    }
    return Effect.zipRight(
      Effect.tap(deadLetters.put(letter), () => DeadLetterMetrics.buried(letter.topic)),
      Effect.logError("a payment's event can't be applied and is a dead letter").pipe(
        Effect.annotateLogs({ reason, partition: message.partition, offset: message.offset }),
      ),
    )
  }

  return (batch: ReadonlyArray<IncomingMessage>): Effect.Effect<void, MysqlError> =>
    Effect.gen(function* () {
      const lines = new Map<string, Array<readonly [IncomingMessage, PaymentEvent]>>()
      for (const message of batch) {
        const event = read(Buffer.from(message.value).toString("utf8"))
        if (Either.isLeft(event)) {
          yield* bury(message, event.left)
          continue
        }
        const line = lines.get(event.right.order_num)
        if (line === undefined) lines.set(event.right.order_num, [[message, event.right]])
        else line.push([message, event.right])
      }
      // Each line to its end: who is turned away by MySQL's breaker must not interrupt those that find out.
      yield* Settled.forEach(
        lines.values(),
        (line) =>
          Effect.forEach(
            line,
            ([message, event]) =>
              Effect.catchAllCause(Effect.asVoid(applyOne(event)), (cause) =>
                isPoison(cause)
                  ? Effect.zipRight(
                      Effect.logWarning("a payment event failed by itself", cause),
                      bury(message, reasonOf(cause)),
                    )
                  : Effect.failCause(cause),
              ),
            { discard: true },
          ),
        { concurrency: CONCURRENCY },
      )
    }).pipe(Effect.provideService(PaymentStore, payments), Effect.provideService(OutboxRelay, relay))
})

/** Consumes until interrupted. */
export const run: Effect.Effect<never, BusFailed, EventBus | PaymentStore | DeadLetterStore | OutboxRelay> =
  Effect.gen(function* () {
    const bus = yield* EventBus
    const handle = yield* makeHandler
    return yield* bus.consume({ group: GROUP, topics: [Topic.PaymentEvents], handle })
  })

/** One page of parked events; true where there may be more. Fails as its stores do. */
export const parkedPage = Effect.gen(function* () {
  const payments = yield* PaymentStore
  const parked = yield* payments.claimParked(PARKED_PAGE)
  for (const row of parked) {
    const event = read(row.payload)
    // It was read before it was parked; another version of this service may have written it.
    if (Either.isLeft(event)) {
      yield* Effect.logError(`a parked payment event can't be read: ${event.left}`).pipe(
        Effect.annotateLogs({ event_id: row.event_id }),
      )
      continue
    }
    const applied = yield* applyOne(event.right)
    if (applied._tag !== "parked") yield* payments.unpark(row.id)
    else if (row.age_ms > PARKED_ALERT_MS) {
      yield* Effect.logError("a payment's event has been waiting for its order too long").pipe(
        Effect.annotateLogs({ order_num: event.right.order_num, event_id: row.event_id, age_ms: row.age_ms }),
      )
    }
  }
  return parked.length === PARKED_PAGE
})

/** The sweep over parked events. */
export const parkedLayer: Layer.Layer<never, never, PaymentStore | OutboxRelay> = Layer.scopedDiscard(
  Sweep.make({
    name: "parked payment events",
    everyMs: PARKED_EVERY_MS,
    maxPages: PARKED_MAX_PAGES,
    page: Effect.suspend(() => parkedPage),
  }),
)
