/**
 * What becomes of reservations that fail by themselves, so that their neighbours never wait for them. What no further
 * try can change (it can't be read, or was never issued) is a dead letter at once. What a statement of ours failed on is
 * tried again from the retry topics, each after a longer while, and is a dead letter after the last of them.
 *
 * The letter in MySQL is the truth; the copy on the bus is for whoever watches the bus.
 */
import { Topic } from "@floodgate/contracts/events/Topic"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import { EventBus, type IncomingMessage } from "@floodgate/runtime/event-bus/EventBus"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { OrderingConfig } from "../OrderingConfig.ts"
import { type DeadLetter, DeadLetterStore } from "../store/DeadLetterStore.ts"
import * as DeadLetterMetrics from "./DeadLetterMetrics.ts"
import * as ReservationMessage from "./ReservationMessage.ts"

/** The topics in the order in which a message passes through them. */
export const RETRY_TOPICS = [
  Topic.ReservationsRetry1,
  Topic.ReservationsRetry2,
  Topic.ReservationsRetry3,
] as const

/** Where a message was first met, carried along through the retry topics and to the copy. */
const HEADER = {
  topic: "first-topic",
  partition: "first-partition",
  offset: "first-offset",
  attempts: "attempts",
  reason: "reason",
} as const

const MAX_REASON = 500
const MAX_ATTEMPTS = 1_000_000
/** A copy larger than this stays in MySQL alone: the bus takes no more. */
const MAX_COPY_BYTES = 700 * 1024

export class FailedMessages extends Context.Tag("@floodgate/ordering/workers/FailedMessages")<
  FailedMessages,
  {
    /** A dead letter, durable when this succeeds. `oneForNumber`: copies of its number are the same letter. */
    readonly bury: (
      message: IncomingMessage,
      reason: string,
      options: { readonly oneForNumber: boolean },
    ) => Effect.Effect<void, MysqlError>
    /** To the next retry topic; a dead letter after the last of them, and where the bus doesn't take it. */
    readonly again: (message: IncomingMessage, reason: string) => Effect.Effect<void, MysqlError>
  }
>() {}

const whole = (text: string | undefined): number | undefined => {
  const n = Number(text)
  return text !== undefined && /^\d{1,15}$/.test(text) ? n : undefined
}

/** Where the message was first met, and how often it was tried before now. Headers of anybody else's mean nothing. */
const originOf = (
  message: IncomingMessage,
): {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly attempts: number
} => {
  const { headers } = message
  const partition = whole(headers[HEADER.partition])
  const offset = headers[HEADER.offset]
  const isRetry = (RETRY_TOPICS as ReadonlyArray<string>).includes(message.topic)
  return isRetry &&
    headers[HEADER.topic] === Topic.Reservations &&
    partition !== undefined &&
    offset !== undefined
    ? {
        topic: Topic.Reservations,
        partition,
        offset,
        attempts: Math.min(whole(headers[HEADER.attempts]) ?? 0, MAX_ATTEMPTS),
      }
    : { topic: message.topic, partition: message.partition, offset: message.offset, attempts: 0 }
}

const make = Effect.gen(function* () {
  const bus = yield* EventBus
  const deadLetters = yield* DeadLetterStore
  const key = Redacted.value((yield* OrderingConfig).orderNumKey)

  const headersOf = (letter: Pick<DeadLetter, "topic" | "partition" | "offset" | "attempts" | "reason">) => ({
    [HEADER.topic]: letter.topic,
    [HEADER.partition]: String(letter.partition),
    [HEADER.offset]: letter.offset,
    [HEADER.attempts]: String(letter.attempts),
    [HEADER.reason]: letter.reason.slice(0, MAX_REASON),
  })

  const copy = (letter: DeadLetter): Effect.Effect<void> =>
    (letter.payload.byteLength > MAX_COPY_BYTES
      ? Effect.logWarning("a dead letter is too large for the bus; it is in the database alone")
      : bus.publish(Topic.ReservationsDlq, [
          { key: letter.key, value: letter.payload, headers: headersOf(letter) },
        ])
    ).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterrupted(cause)
          ? Effect.failCause(cause as Cause.Cause<never>)
          : Effect.logWarning(
              "a dead letter's copy didn't get to the bus; the letter is in the database",
              cause,
            ),
      ),
      Effect.annotateLogs({ topic: letter.topic, partition: letter.partition, offset: letter.offset }),
    )

  const bury = Effect.fn("FailedMessages.bury")(function* (
    message: IncomingMessage,
    reason: string,
    { oneForNumber }: { readonly oneForNumber: boolean },
  ) {
    const { attempts, offset, partition, topic } = originOf(message)
    const claim = ReservationMessage.claimOf(message.value)
    const isGenuine = claim !== undefined && OrderNum.verify(key, claim.orderNum, claim.userId) !== undefined
    const letter: DeadLetter = {
      topic,
      partition,
      offset,
      key: message.key,
      payload: message.value,
      reason,
      attempts: attempts + 1,
      claimedNum: claim?.orderNum,
      orderNum: isGenuine ? claim.orderNum : undefined,
      oneForNumber,
    }
    yield* deadLetters.put(letter)
    yield* DeadLetterMetrics.buried(letter.topic)
    yield* Effect.logError("a reservation can't be applied and is a dead letter").pipe(
      Effect.annotateLogs({
        reason,
        topic,
        partition,
        offset,
        ...(claim === undefined ? {} : { order_num: claim.orderNum }),
      }),
    )
    yield* copy(letter)
  })

  const again = Effect.fn("FailedMessages.again")(function* (message: IncomingMessage, reason: string) {
    const next = RETRY_TOPICS[(RETRY_TOPICS as ReadonlyArray<string>).indexOf(message.topic) + 1]
    if (next === undefined) return yield* bury(message, reason, { oneForNumber: true })
    const origin = originOf(message)
    const traceparent = message.headers["traceparent"]
    yield* bus
      .publish(next, [
        {
          key: message.key,
          value: message.value,
          headers: {
            ...headersOf({ ...origin, attempts: origin.attempts + 1, reason }),
            ...(traceparent === undefined ? {} : { traceparent }),
          },
        },
      ])
      .pipe(
        Effect.zipRight(
          Effect.logWarning(`a reservation failed and is tried again from ${next}`).pipe(
            Effect.annotateLogs({
              reason,
              topic: message.topic,
              partition: message.partition,
              offset: message.offset,
            }),
          ),
        ),
        // A retry topic that is missing, or a bus that is away, must not hold up the line.
        Effect.catchTag("BusUnavailable", (error) =>
          Effect.zipRight(
            Effect.logWarning("a retry topic could not be reached", error),
            bury(message, reason, { oneForNumber: true }),
          ),
        ),
      )
  })

  return FailedMessages.of({ again, bury })
})

export const layer: Layer.Layer<FailedMessages, never, EventBus | DeadLetterStore | OrderingConfig> =
  Layer.effect(FailedMessages, make)
