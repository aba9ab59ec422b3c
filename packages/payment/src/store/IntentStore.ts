/** Intents in MySQL: opened through their order's gate, moved by what their channel says. */
import { WrongState } from "@floodgate/contracts/errors/Errors"
import { Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlDuplicateKey } from "@floodgate/runtime/mysql/MysqlError"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Intent, type IntentState, isOpen, type Purpose } from "../domain/Intent.ts"
import { Gate, type IntentRow, intentColumns, newId, type Started, toIntent } from "./Gate.ts"
import * as Keys from "./Keys.ts"

export interface OpenRequest {
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly key: Keys.Key
}

/** What a request to pay finds at the gate. */
export type OpenResult =
  | { readonly _tag: "Opened"; readonly intent: Intent }
  /** The same key was used before, or the same channel's intent is still open. */
  | { readonly _tag: "Existing"; readonly intent: Intent; readonly replayed: boolean }
  /** Another channel's intent is open: it has to be closed there first. */
  | { readonly _tag: "OtherChannel"; readonly intent: Intent }

/** An intent whose channel has something to say, or to be told. */
export interface DueIntent {
  readonly intent: Intent
  /** Its gate is shut, or its time is over: the channel is to close it. */
  readonly closing: boolean
  /** How often it was claimed since it last moved, this time included. */
  readonly tries: number
}

/** How long a person has to pay a top-up. */
const TOP_UP_MINUTES = 30

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const relay = yield* OutboxRelay
  const gate = yield* Gate
  const { sql } = mysql
  const keys = Keys.make(sql)

  const columns = sql.literal(intentColumns)

  const find = Effect.fn("IntentStore.find")(function* (paymentId: string) {
    return yield* mysql.run("payment.find", gate.find(paymentId))
  })

  const insert = Effect.fnUntraced(function* (request: OpenRequest, purpose: Purpose) {
    const paymentId = newId("pay_")
    yield* sql`INSERT INTO intent ${sql.insert({
      payment_id: paymentId,
      purpose,
      order_num: request.orderNum,
      user_id: request.userId,
      channel: request.channel,
      amount: request.amount,
      currency: request.currency,
      state: "created",
    })}`
    // The worker takes over if this process dies before the channel has answered.
    yield* sql`UPDATE intent SET next_try_at = UTC_TIMESTAMP(3) + INTERVAL 10 SECOND WHERE payment_id = ${paymentId}`
    yield* sql`UPDATE order_gate SET active_payment_id = ${paymentId} WHERE order_num = ${request.orderNum}`
    return (yield* gate.find(paymentId))!
  })

  const open = Effect.fn("IntentStore.open")(function* (request: OpenRequest) {
    const { key, orderNum } = request
    return yield* mysql
      .transaction(
        "payment.open",
        Effect.gen(function* () {
          const { active_payment_id, state } = yield* gate.lock(orderNum)
          const subject = yield* keys.seen(key)
          if (subject !== undefined) {
            const intent = (yield* gate.find(subject))!
            return { _tag: "Existing", intent, replayed: true } satisfies OpenResult
          }
          if (active_payment_id !== null) {
            const active = (yield* gate.find(active_payment_id))!
            if (active.channel !== request.channel)
              return { _tag: "OtherChannel", intent: active } satisfies OpenResult
            yield* keys.remember(key, active.paymentId)
            return { _tag: "Existing", intent: active, replayed: false } satisfies OpenResult
          }
          const paid = yield* sql<{ state: IntentState }>`
            SELECT state FROM intent WHERE order_num = ${orderNum}
              AND state IN ('captured', 'applied', 'refunding', 'refunded')`
          if (paid.length > 0) return yield* new WrongState({ state: "paid" })
          if (state === "closed") return yield* new WrongState({ state: "cancelled" })
          const intent = yield* insert(request, "order")
          yield* keys.remember(key, intent.paymentId)
          yield* gate.tell("payment.updated", intent)
          return { _tag: "Opened", intent } satisfies OpenResult
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))
  })

  /** A payment into a wallet; its gate is its own, so that whatever moves it moves it in turn. */
  const openTopUp = Effect.fn("IntentStore.openTopUp")(function* (request: Omit<OpenRequest, "orderNum">) {
    const orderNum = newId("topup_")
    return yield* mysql
      .transaction(
        "payment.openTopUp",
        Effect.gen(function* () {
          const subject = yield* keys.seen(request.key, "FOR UPDATE")
          if (subject !== undefined) {
            const intent = (yield* gate.find(subject))!
            return { _tag: "Existing", intent, replayed: true } satisfies OpenResult
          }
          yield* gate.lock(orderNum)
          const intent = yield* insert({ ...request, orderNum }, "topup")
          yield* keys.rememberFirst(request.key, intent.paymentId)
          return { _tag: "Opened", intent } satisfies OpenResult
        }),
      )
      .pipe(
        retryConflicts,
        // Another request with the same key was first; asked again, its payment is found.
        Effect.retry({
          times: 1,
          while: (error) => (error as unknown as MysqlDuplicateKey)._tag === "MysqlDuplicateKey",
        }),
      )
  })

  /** The intent that an answered key stands for, whatever has become of its order since. */
  const replay = Effect.fn("IntentStore.replay")(function* (key: Keys.Key) {
    return yield* mysql.run(
      "payment.replay",
      Effect.gen(function* () {
        const subject = yield* keys.seenAtWork(key)
        return subject === undefined ? undefined : yield* gate.find(subject)
      }),
    )
  })

  const answered = Effect.fn("IntentStore.answered")(function* (key: Keys.Key) {
    yield* mysql.run("payment.answered", keys.answered(key))
  })

  const moved = Effect.fnUntraced(function* (
    op: string,
    intent: Intent,
    event: "started" | "declined" | "closed",
    started?: Started,
  ) {
    return yield* gate.holding(op, intent, (current) =>
      Effect.gen(function* () {
        const after = yield* gate.move(current, event, started)
        if (after === undefined) return current
        yield* gate.tell("payment.updated", after)
        return after
      }),
    )
  })

  /** The channel has it, or has been asked and hasn't answered. */
  const started = Effect.fn("IntentStore.started")(function* (intent: Intent, how: Started) {
    if (intent.state === "created" || !how.accepted || intent.accepted)
      return yield* moved("payment.started", intent, "started", how)
    // It was asked before without an answer; the state is the same, but now there is something to show.
    return yield* gate.holding("payment.accepted", intent, (current) =>
      Effect.gen(function* () {
        if (current.state !== "processing" || current.accepted) return current
        yield* sql`UPDATE intent SET pay_url = ${how.payUrl}, client_params = ${JSON.stringify(how.clientParams)},
            provider_ref = ${how.providerRef}, accepted = 1, version = version + 1, tries = 0,
            next_try_at = UTC_TIMESTAMP(3) + INTERVAL 5 SECOND
          WHERE payment_id = ${current.paymentId}`
        const after: Intent = { ...current, ...how, version: current.version + 1 }
        yield* gate.tell("payment.updated", after)
        return after
      }),
    )
  })

  /** A final no from the channel: declined, or closed before any money came. */
  const ended = Effect.fn("IntentStore.ended")(function* (intent: Intent, how: "declined" | "closed") {
    return yield* moved("payment.ended", intent, how)
  })

  /** Money arrived; ordering is asked what to do with it. Once per (channel, provider_txn_id). */
  const captured = Effect.fn("IntentStore.captured")(function* (
    intent: Intent,
    providerTxnId: string,
    amount: number,
  ) {
    return yield* gate.holding("payment.captured", intent, (current) =>
      gate.capture(current, providerTxnId, amount),
    )
  })

  /** Shuts the order's gate for good. Answers what is open there, and whether money has come. */
  const shut = Effect.fn("IntentStore.shut")(function* (orderNum: string) {
    return yield* mysql
      .transaction(
        "payment.shut",
        Effect.gen(function* () {
          const { state } = yield* gate.lock(orderNum)
          if (state === "open")
            yield* sql`UPDATE order_gate SET state = 'closed', closed_at = UTC_TIMESTAMP(3) WHERE order_num = ${orderNum}`
          const rows = yield* sql<IntentRow>`SELECT ${columns} FROM intent WHERE order_num = ${orderNum}`
          const intents = rows.map(toIntent)
          // Whoever closes may give up; then the worker goes on.
          yield* sql`UPDATE intent SET next_try_at = UTC_TIMESTAMP(3) + INTERVAL 10 SECOND, tries = 0
            WHERE order_num = ${orderNum} AND state IN ('created', 'processing')`
          return {
            // Money that ordering has refused is on its way back: it doesn't hold the order.
            captured: intents.some((i) => i.state === "captured" || i.state === "applied"),
            open: intents.filter((i) => isOpen(i.state)),
          }
        }),
      )
      .pipe(retryConflicts)
  })

  /** Intents of this channel that are due: undecided, waiting for a person, or to be closed. */
  const claimDue = Effect.fn("IntentStore.claimDue")(function* (channel: string, limit: number) {
    return yield* gate.claim(
      "payment.claimDue",
      "intent",
      "payment_id",
      limit,
      sql`channel = ${channel}`,
      (ids: ReadonlyArray<string>) =>
        sql<IntentRow & { closing: number; tries: number }>`
          SELECT ${columns}, tries,
            (purpose = 'topup' AND created_at < UTC_TIMESTAMP(3) - INTERVAL ${sql.literal(String(TOP_UP_MINUTES))} MINUTE)
            OR EXISTS (SELECT 1 FROM order_gate g WHERE g.order_num = intent.order_num AND g.state = 'closed') AS closing
          FROM intent WHERE ${sql.in("payment_id", ids)} AND state IN ('created', 'processing')`.pipe(
          Effect.map((rows) =>
            rows.map(
              (row): DueIntent => ({ intent: toIntent(row), closing: row.closing === 1, tries: row.tries }),
            ),
          ),
        ),
    )
  })

  /** Due again after so long. */
  const postpone = (paymentId: string, seconds: number) =>
    gate.postpone("intent", "payment_id", paymentId, seconds)

  /**
   * Ordering took the money of a capture, or a wallet was credited with it. The gate shuts: what else is open for the
   * order is closed at its channel.
   */
  const applied = Effect.fn("IntentStore.applied")(function* (paymentId: string, captureId: string) {
    const intent = yield* find(paymentId)
    if (intent === undefined) return
    yield* gate.holding("payment.applied", intent, (current) =>
      Effect.gen(function* () {
        yield* sql`UPDATE capture SET state = 'applied', next_try_at = NULL
          WHERE capture_id = ${captureId} AND state = 'new'`
        yield* gate.move(current, "applied")
        yield* sql`UPDATE order_gate SET state = 'closed', closed_at = UTC_TIMESTAMP(3)
          WHERE order_num = ${current.orderNum} AND state = 'open'`
        yield* sql`UPDATE intent SET next_try_at = UTC_TIMESTAMP(3)
          WHERE order_num = ${current.orderNum} AND state IN ('created', 'processing')`
      }),
    )
  })

  return {
    find,
    open,
    openTopUp,
    replay,
    answered,
    started,
    ended,
    captured,
    shut,
    claimDue,
    postpone,
    applied,
  } as const
})

export class IntentStore extends Context.Tag("@floodgate/payment/store/IntentStore")<
  IntentStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(IntentStore, make)
}
