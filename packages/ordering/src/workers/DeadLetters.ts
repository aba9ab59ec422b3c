/**
 * Settles dead letters: replays them, or gives them up. Either is one transaction with its effect, so that a letter has
 * one end, whoever asks and however often.
 *
 * An open letter of a reservation holds stock in Redis, and its buyer waits. So one that nobody minds is discarded after
 * a while by itself. A payment's letter holds nothing, and giving money up is for a person to decide: it stays.
 */
import { NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import { retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { OrderingConfig } from "../OrderingConfig.ts"
import { DeadLetterStore, type StoredLetter, type Wish } from "../store/DeadLetterStore.ts"
import { type BatchResult, OrderStore, type Unpaid } from "../store/OrderStore.ts"
import { PaymentStore } from "../store/PaymentStore.ts"
import { Timers } from "../timers/Timers.ts"
import * as OrderMetrics from "./OrderMetrics.ts"
import * as PaymentEvents from "./PaymentEvents.ts"
import { isPoison, reasonOf } from "./Poison.ts"
import * as ReservationMessage from "./ReservationMessage.ts"

/** The whole of any payload. */
const WHOLE = 16 * 1024 * 1024

const EVERY_MS = 1_000
const PAGE = 100
const MAX_PAGES = 10

/** The message can't be applied yet; `reason` says why. */
class StillFails extends Data.TaggedError("StillFails")<{ readonly reason: string }> {}

export class DeadLetters extends Context.Tag("@floodgate/ordering/workers/DeadLetters")<
  DeadLetters,
  {
    /**
     * Applies the message after all, and answers the letter. NotFound: there is none. WrongState: it was settled before
     * (`state` says how), or its message still fails (`open`; the try is counted).
     */
    readonly replay: (
      wish: Omit<Wish, "by" | "openForMs">,
    ) => Effect.Effect<StoredLetter, NotFound | WrongState | MysqlError>
    /**
     * Gives the message up: a reservation that was really made gets its tombstone, and its stock goes back, unless the
     * number has a row by now. Fails as `replay`.
     */
    readonly discard: (
      wish: Omit<Wish, "by">,
    ) => Effect.Effect<StoredLetter, NotFound | WrongState | MysqlError>
    /** Discards a page of letters that nobody minded in time; true where there may be more. */
    readonly discardOverdue: Effect.Effect<boolean, MysqlError>
  }
>() {}

const make = Effect.gen(function* () {
  const letters = yield* DeadLetterStore
  const orders = yield* OrderStore
  const payments = yield* PaymentStore
  const relay = yield* OutboxRelay
  const timers = yield* Timers
  const { deadLetterDiscardMs, orderNumKey } = yield* OrderingConfig
  const key = Redacted.value(orderNumKey)

  const reserve = (
    letter: StoredLetter,
    unpaid: Array<Unpaid>,
    decided: Array<BatchResult["decided"][number]>,
  ) =>
    Effect.gen(function* () {
      const read = ReservationMessage.read(letter.payload)
      if (read._tag === "unreadable") return yield* new StillFails({ reason: read.reason })
      if (read._tag === "barrier") return yield* new StillFails({ reason: "a barrier" })
      const why = ReservationMessage.implausible(key, read.event)
      if (why !== undefined) return yield* new StillFails({ reason: why })
      const result = yield* orders.createWithin([read.event])
      if (result.orphans.length > 0) return yield* new StillFails({ reason: "there is no such product" })
      if (result.impostors.length > 0) {
        return yield* new StillFails({ reason: "the number has a row of another buyer or product" })
      }
      unpaid.push(...result.unpaid)
      decided.push(...result.decided)
      const verdict = result.decided[0]?.verdict
      return {
        order_num: read.event.order_num,
        outcome: verdict === undefined ? "known" : verdict === "fits" ? "unpaid" : `rejected(${verdict})`,
      }
    })

  const pay = (letter: StoredLetter) =>
    Effect.gen(function* () {
      const event = PaymentEvents.read(letter.payload.toString("utf8"))
      if (Either.isLeft(event)) return yield* new StillFails({ reason: event.left })
      const applied = yield* payments.applyWithin(event.right)
      return { order_num: event.right.order_num, outcome: applied._tag }
    })

  /** Runs a settlement; answers the letter as it is afterwards. */
  const settle = <E>(
    letter: StoredLetter,
    wish: Wish,
    effect: Effect.Effect<Readonly<Record<string, unknown>>, E>,
  ) =>
    Effect.gen(function* () {
      const settled = yield* retryConflicts(letters.settle(wish, effect))
      if (settled === "done") {
        yield* relay.nudge
        yield* Effect.logInfo(`a dead letter was settled: ${wish.by}`).pipe(
          Effect.annotateLogs({
            dead_letter: wish.id,
            ...(letter.claimed_num === null ? {} : { order_num: letter.claimed_num }),
          }),
        )
      }
      const after = yield* letters.find(wish.id, WHOLE)
      if (after === undefined) return yield* new NotFound()
      return settled === "not open" ? yield* new WrongState({ state: after.state }) : after
    })

  const found = (id: number) =>
    Effect.flatMap(letters.find(id, WHOLE), (letter) =>
      letter === undefined ? new NotFound() : Effect.succeed(letter),
    )

  const replay = Effect.fn("DeadLetters.replay")(function* (wish: Omit<Wish, "by" | "openForMs">) {
    const letter = yield* found(wish.id)
    const unpaid: Array<Unpaid> = []
    const decided: Array<BatchResult["decided"][number]> = []
    const effect = Effect.suspend(() => {
      unpaid.length = 0
      decided.length = 0
      return letter.topic === Topic.PaymentEvents ? pay(letter) : reserve(letter, unpaid, decided)
    })
    const stillFails = (reason: string) =>
      Effect.zipRight(
        letters.triedAgain(letter.id, reason),
        Effect.zipRight(
          Effect.logWarning("a dead letter was replayed and failed again").pipe(
            Effect.annotateLogs({ dead_letter: letter.id, reason }),
          ),
          new WrongState({ state: "open" }),
        ),
      )
    const after = yield* settle(letter, { ...wish, by: "replay" }, effect).pipe(
      Effect.catchTag("StillFails", ({ reason }) => stillFails(reason)),
      Effect.catchAllCause((cause) => {
        const typed = Cause.failureOption(cause)
        const expected =
          typed._tag === "Some" && (typed.value._tag === "NotFound" || typed.value._tag === "WrongState")
        return !expected && isPoison(cause) ? stillFails(reasonOf(cause)) : Effect.failCause(cause)
      }),
    )
    OrderMetrics.decided(decided)
    yield* timers.arm(unpaid)
    return after
  })

  const discard = Effect.fn("DeadLetters.discard")(function* (wish: Omit<Wish, "by">) {
    const letter = yield* found(wish.id)
    const givenUp =
      letter.topic === Topic.Reservations ? ReservationMessage.salvage(key, letter.payload) : undefined
    let released = false
    const effect =
      givenUp === undefined
        ? Effect.succeed({ released: false })
        : Effect.map(orders.rejectWithin(givenUp), (standing) => {
            released = standing === undefined
            return {
              order_num: givenUp.order_num,
              // An order that a copy made meanwhile is none of this letter's business.
              outcome: standing ?? "rejected(lost)",
              released,
            }
          })
    const after = yield* settle(letter, { ...wish, by: "discard" }, effect)
    if (released) OrderMetrics.givenUp()
    return after
  })

  const discardOverdue = Effect.gen(function* () {
    const overdue = yield* letters.overdue(Topic.Reservations, deadLetterDiscardMs, PAGE)
    for (const id of overdue) {
      yield* discard({
        id,
        actorId: Audit.SYSTEM,
        reason: `nobody settled it within ${deadLetterDiscardMs / 1000} s`,
        requestId: "",
        openForMs: deadLetterDiscardMs,
      }).pipe(
        // Somebody else was quicker.
        Effect.catchTags({ NotFound: () => Effect.void, WrongState: () => Effect.void }),
        Effect.catchAllCause((cause) =>
          isPoison(cause)
            ? Effect.annotateLogs(Effect.logError("a dead letter can't be discarded", cause), {
                dead_letter: id,
              })
            : Effect.failCause(cause),
        ),
      )
    }
    return overdue.length === PAGE
  })

  return DeadLetters.of({ replay, discard, discardOverdue })
})

export const layer: Layer.Layer<
  DeadLetters,
  never,
  DeadLetterStore | OrderStore | PaymentStore | OutboxRelay | Timers | OrderingConfig
> = Layer.effect(DeadLetters, make)

/** The sweep that discards what nobody minds. */
export const sweepLayer: Layer.Layer<never, never, DeadLetters> = Layer.scopedDiscard(
  Effect.flatMap(DeadLetters, ({ discardOverdue }) =>
    Sweep.make({ name: "dead letters", everyMs: EVERY_MS, maxPages: MAX_PAGES, page: discardOverdue }),
  ),
)
