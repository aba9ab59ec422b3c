/**
 * Gates, intents, captures, provider events and refunds in MySQL. Every change of an order's payments locks the
 * order's gate first, so the changes of one order have one order; every change of an intent is a compare-and-set
 * on its state, and leaves its event in the outbox of the same transaction.
 */
import { randomUUID } from "node:crypto"
import {
  IdempotencyMismatch,
  InFlight,
  PaymentMismatch,
  WrongState,
} from "@floodgate/contracts/errors/Errors"
import type { PaymentEvent } from "@floodgate/contracts/events/PaymentEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import * as Outbox from "@floodgate/runtime/outbox/Outbox"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  type Intent,
  type IntentEvent,
  type IntentState,
  isOpen,
  next,
  publicStatus,
} from "../domain/Intent.ts"
import { matches, type ProviderEvent } from "../domain/ProviderEvent.ts"

interface IntentRow {
  readonly payment_id: string
  readonly order_num: string
  readonly user_id: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly state: IntentState
  readonly pay_url: string | null
  readonly client_params: string | null
  readonly version: number
  readonly created_at_ms: number
  readonly updated_at_ms: number
}

const toIntent = (row: IntentRow): Intent => ({
  paymentId: row.payment_id,
  orderNum: row.order_num,
  userId: row.user_id,
  channel: row.channel,
  amount: row.amount,
  currency: row.currency,
  state: row.state,
  payUrl: row.pay_url,
  clientParams: row.client_params === null ? {} : JSON.parse(row.client_params),
  version: row.version,
  createdAtMs: row.created_at_ms,
  updatedAtMs: row.updated_at_ms,
})

/** A refund that is owed, as its worker needs it. */
export interface Refund {
  readonly refundId: string
  readonly captureId: string
  readonly paymentId: string
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
}

export interface OpenRequest {
  readonly orderNum: string
  readonly userId: number
  readonly channel: string
  readonly amount: number
  readonly currency: string
  readonly key: { readonly scope: string; readonly keyHash: string; readonly bodyHash: string }
}

/** What a request to pay finds at the gate. */
export type OpenResult =
  | { readonly _tag: "Opened"; readonly intent: Intent }
  /** The same key was used before, or the same channel's intent is still open. */
  | { readonly _tag: "Existing"; readonly intent: Intent; readonly replayed: boolean }
  /** Another channel's intent is open: it has to be closed there first. */
  | { readonly _tag: "OtherChannel"; readonly intent: Intent }

/** How long a key counts as in flight when its request never finished (the process died). Seconds. */
const IN_FLIGHT_S = 10

const newId = (prefix: string) => `${prefix}${randomUUID().replaceAll("-", "")}`

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const relay = yield* Outbox.OutboxRelay
  const { sql } = mysql

  const append = (rows: ReadonlyArray<Outbox.OutboxRow>) =>
    Outbox.append(rows).pipe(Effect.provideService(Mysql, mysql))

  const audit = (row: Audit.AuditRow) => Audit.append([row]).pipe(Effect.provideService(Mysql, mysql))

  const columns = sql.literal(
    `payment_id, order_num, user_id, channel, amount, currency, state, pay_url, client_params, version,
     CAST(ROUND(UNIX_TIMESTAMP(created_at) * 1000) AS SIGNED) AS created_at_ms,
     CAST(ROUND(UNIX_TIMESTAMP(updated_at) * 1000) AS SIGNED) AS updated_at_ms`,
  )

  const find = (paymentId: string) =>
    sql<IntentRow>`SELECT ${columns} FROM intent WHERE payment_id = ${paymentId}`.pipe(
      Effect.map((rows) => (rows[0] === undefined ? undefined : toIntent(rows[0]))),
    )

  /** Locks the order's gate, making it where it is missing. */
  const lockGate = Effect.fnUntraced(function* (orderNum: string) {
    yield* sql`INSERT IGNORE INTO order_gate (order_num, state) VALUES (${orderNum}, 'open')`
    const rows = yield* sql<{ state: "open" | "closed"; active_payment_id: string | null }>`
      SELECT state, active_payment_id FROM order_gate WHERE order_num = ${orderNum} FOR UPDATE`
    return rows[0]!
  })

  const tell = Effect.fnUntraced(function* (
    type: PaymentEvent["type"],
    intent: Intent,
    extra: Partial<Pick<PaymentEvent, "capture_id" | "refund">> = {},
  ) {
    const traceparent = yield* TraceContext.current
    const event: PaymentEvent = {
      event_id: newId("evt_"),
      type,
      version: 1,
      aggregate: intent.orderNum,
      occurred_at: new Date(yield* Clock.currentTimeMillis).toISOString(),
      payment_id: intent.paymentId,
      order_num: intent.orderNum,
      channel: intent.channel,
      status: publicStatus(intent),
      amount: intent.amount,
      currency: intent.currency,
      payment_version: intent.version,
      ...(traceparent === undefined ? {} : { traceparent }),
      ...extra,
    }
    yield* append([
      {
        event_id: event.event_id,
        topic: Topic.PaymentEvents,
        aggregate: intent.orderNum,
        type,
        payload: JSON.stringify(event),
        ...(traceparent === undefined ? {} : { traceparent }),
      },
    ])
  })

  /** Moves an intent by its state machine; undefined where the event changes nothing. Needs the gate's lock. */
  const move = Effect.fnUntraced(function* (
    intent: Intent,
    event: IntentEvent,
    set: { readonly payUrl?: string | null; readonly clientParams?: Readonly<Record<string, string>> } = {},
  ) {
    const to = next(intent.state, event)
    if (to === undefined) return undefined
    const payUrl = set.payUrl === undefined ? intent.payUrl : set.payUrl
    const clientParams = set.clientParams ?? intent.clientParams
    // A wallet debit that is still undecided is repeated by the worker; a provider calls back.
    const again = to === "processing" && payUrl === null
    const result = yield* affected(sql`
      UPDATE intent SET state = ${to}, pay_url = ${payUrl}, client_params = ${JSON.stringify(clientParams)},
        version = version + 1, next_try_at = ${again ? sql.literal("UTC_TIMESTAMP(3) + INTERVAL 1 SECOND") : null}
      WHERE payment_id = ${intent.paymentId} AND state = ${intent.state}`)
    if (result.affectedRows !== 1) return undefined
    if (isOpen(intent.state) && !isOpen(to))
      yield* sql`UPDATE order_gate SET active_payment_id = NULL
        WHERE order_num = ${intent.orderNum} AND active_payment_id = ${intent.paymentId}`
    return { ...intent, state: to, payUrl, clientParams, version: intent.version + 1 } satisfies Intent
  })

  /** Runs `f` on the intent as it is under its gate's lock, in one transaction. */
  const underGate = <A, E, R>(
    op: string,
    intent: Pick<Intent, "orderNum" | "paymentId">,
    f: (current: Intent) => Effect.Effect<A, E, R>,
  ) =>
    mysql
      .transaction(
        op,
        Effect.gen(function* () {
          yield* lockGate(intent.orderNum)
          const current = yield* find(intent.paymentId)
          return yield* f(current!)
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))

  const findPayment = Effect.fn("PaymentStore.findPayment")(function* (paymentId: string) {
    return yield* mysql.run("payment.find", find(paymentId))
  })

  const open = Effect.fn("PaymentStore.open")(function* (request: OpenRequest) {
    const { scope, keyHash, bodyHash } = request.key
    const paymentId = newId("pay_")
    return yield* mysql
      .transaction(
        "payment.open",
        Effect.gen(function* () {
          const gate = yield* lockGate(request.orderNum)
          const known = yield* sql<{ body_hash: string; payment_id: string; in_flight: number }>`
            SELECT body_hash, payment_id,
              answered_at IS NULL AND created_at > UTC_TIMESTAMP(3) - INTERVAL ${IN_FLIGHT_S} SECOND AS in_flight
            FROM idempotency WHERE scope = ${scope} AND key_hash = ${keyHash}
              AND created_at > UTC_TIMESTAMP(3) - INTERVAL 1 DAY`
          const seen = known[0]
          if (seen !== undefined) {
            if (seen.body_hash !== bodyHash) return yield* new IdempotencyMismatch()
            if (seen.in_flight) return yield* new InFlight({ id: seen.payment_id })
            return {
              _tag: "Existing",
              intent: (yield* find(seen.payment_id))!,
              replayed: true,
            } satisfies OpenResult
          }
          if (gate.active_payment_id !== null) {
            const active = (yield* find(gate.active_payment_id))!
            if (active.channel !== request.channel)
              return { _tag: "OtherChannel", intent: active } satisfies OpenResult
            yield* remember(scope, keyHash, bodyHash, active.paymentId)
            return { _tag: "Existing", intent: active, replayed: false } satisfies OpenResult
          }
          const paid = yield* sql<{ state: IntentState }>`
            SELECT state FROM intent WHERE order_num = ${request.orderNum} AND state IN ('captured', 'applied')`
          if (paid.length > 0) return yield* new WrongState({ state: "paid" })
          if (gate.state === "closed") return yield* new WrongState({ state: "cancelled" })
          yield* sql`INSERT INTO intent ${sql.insert({
            payment_id: paymentId,
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
          yield* remember(scope, keyHash, bodyHash, paymentId)
          const intent = (yield* find(paymentId))!
          yield* tell("payment.updated", intent)
          return { _tag: "Opened", intent } satisfies OpenResult
        }),
      )
      .pipe(retryConflicts, Effect.tap(relay.nudge))
  })

  /** The intent that an answered key stands for, whatever has become of its order since. */
  const replay = Effect.fn("PaymentStore.replay")(function* (key: OpenRequest["key"]) {
    return yield* mysql.run(
      "payment.replay",
      Effect.gen(function* () {
        const rows = yield* sql<{ body_hash: string; payment_id: string }>`
          SELECT body_hash, payment_id FROM idempotency WHERE scope = ${key.scope} AND key_hash = ${key.keyHash}
            AND created_at > UTC_TIMESTAMP(3) - INTERVAL 1 DAY`
        const row = rows[0]
        if (row === undefined) return undefined
        if (row.body_hash !== key.bodyHash) return yield* new IdempotencyMismatch()
        return yield* find(row.payment_id)
      }),
    )
  })

  const remember = (scope: string, keyHash: string, bodyHash: string, paymentId: string) =>
    sql`REPLACE INTO idempotency ${sql.insert({ scope, key_hash: keyHash, body_hash: bodyHash, payment_id: paymentId })}`

  /** The request with this key has been answered: from now on it is replayed. */
  const answered = Effect.fn("PaymentStore.answered")(function* (key: OpenRequest["key"]) {
    yield* mysql.run(
      "payment.answered",
      sql`UPDATE idempotency SET answered_at = UTC_TIMESTAMP(3)
        WHERE scope = ${key.scope} AND key_hash = ${key.keyHash} AND answered_at IS NULL`,
    )
  })

  const started = Effect.fn("PaymentStore.started")(function* (
    intent: Intent,
    payUrl: string | null,
    clientParams: Readonly<Record<string, string>>,
  ) {
    return yield* underGate("payment.started", intent, (current) =>
      Effect.gen(function* () {
        const moved = yield* move(current, "started", { payUrl, clientParams })
        if (moved === undefined) return current
        yield* tell("payment.updated", moved)
        return moved
      }),
    )
  })

  /** A final no from the channel: declined, or closed before any money came. */
  const ended = Effect.fn("PaymentStore.ended")(function* (intent: Intent, how: "declined" | "closed") {
    return yield* underGate("payment.ended", intent, (current) =>
      Effect.gen(function* () {
        const moved = yield* move(current, how)
        if (moved === undefined) return current
        yield* tell("payment.updated", moved)
        return moved
      }),
    )
  })

  const capture = Effect.fnUntraced(function* (current: Intent, providerTxnId: string, amount: number) {
    const captureId = newId("cap_")
    const inserted = yield* affected(
      sql`INSERT IGNORE INTO capture ${sql.insert({
        capture_id: captureId,
        channel: current.channel,
        provider_txn_id: providerTxnId,
        payment_id: current.paymentId,
        order_num: current.orderNum,
        amount,
        currency: current.currency,
        state: "new",
      })}`,
    )
    // The same movement of money, told twice.
    if (inserted.affectedRows === 0) return current
    const moved = (yield* move(current, "captured")) ?? current
    yield* tell("payment.captured", moved, { capture_id: captureId })
    return moved
  })

  /** Money arrived; ordering is asked what to do with it. Once per (channel, provider_txn_id). */
  const captured = Effect.fn("PaymentStore.captured")(function* (
    intent: Intent,
    providerTxnId: string,
    amount: number,
  ) {
    return yield* underGate("payment.captured", intent, (current) => capture(current, providerTxnId, amount))
  })

  /** Shuts the order's gate for good. Answers what is open there, and whether money has come. */
  const shut = Effect.fn("PaymentStore.shut")(function* (orderNum: string) {
    return yield* mysql
      .transaction(
        "payment.shut",
        Effect.gen(function* () {
          const gate = yield* lockGate(orderNum)
          if (gate.state === "open")
            yield* sql`UPDATE order_gate SET state = 'closed', closed_at = UTC_TIMESTAMP(3) WHERE order_num = ${orderNum}`
          const rows = yield* sql<IntentRow>`SELECT ${columns} FROM intent WHERE order_num = ${orderNum}`
          const intents = rows.map(toIntent)
          return {
            // Money that ordering has refused is on its way back: it doesn't hold the order.
            captured: intents.some((i) => i.state === "captured" || i.state === "applied"),
            open: intents.filter((i) => isOpen(i.state)),
          }
        }),
      )
      .pipe(retryConflicts)
  })

  /** Stores what a provider told us. Fails with PaymentMismatch where it doesn't fit the payment it names. */
  const receive = Effect.fn("PaymentStore.receive")(function* (
    channel: string,
    event: ProviderEvent,
    body: Uint8Array,
  ) {
    const stored = yield* mysql
      .transaction(
        "payment.receive",
        Effect.gen(function* () {
          const intent = yield* find(event.paymentId)
          const fits = intent === undefined || (intent.channel === channel && matches(event, intent))
          const result = yield* affected(
            sql`INSERT IGNORE INTO provider_event ${sql.insert({
              channel,
              event_id: event.eventId,
              type: event.type,
              payment_id: event.paymentId,
              body: Buffer.from(body),
              outcome: fits ? "received" : "mismatch",
            })}`,
          )
          const fresh = result.affectedRows === 1
          if (fresh && fits)
            yield* sql`UPDATE provider_event SET next_try_at = UTC_TIMESTAMP(3)
              WHERE channel = ${channel} AND event_id = ${event.eventId}`
          return { fits, fresh }
        }),
      )
      .pipe(retryConflicts)
    if (!stored.fits) return yield* new PaymentMismatch()
    return { replayed: !stored.fresh }
  })

  /** Provider events that wait to be applied, claimed for a while by moving their time. */
  const claimEvents = Effect.fn("PaymentStore.claimEvents")(function* (limit: number) {
    return yield* claim(
      "payment.claimEvents",
      "provider_event",
      "id",
      limit,
      (ids) =>
        sql<{ id: number; channel: string; body: Uint8Array; type: string; payment_id: string }>`
          SELECT id, channel, type, payment_id, body FROM provider_event WHERE ${sql.in("id", ids)}`,
    )
  })

  /** Applies one stored event; false where its payment isn't known yet, so that it waits. */
  const applyEvent = Effect.fn("PaymentStore.applyEvent")(function* (id: number, event: ProviderEvent) {
    const intent = yield* findPayment(event.paymentId)
    if (intent === undefined) return false
    yield* underGate("payment.applyEvent", intent, (current) =>
      Effect.gen(function* () {
        const fits = matches(event, current)
        if (fits && event.type === "payment.succeeded")
          yield* capture(current, event.providerTxnId, event.amount)
        else if (fits && event.type === "payment.failed") {
          const moved = yield* move(current, "declined")
          if (moved !== undefined) yield* tell("payment.updated", moved)
        }
        yield* sql`UPDATE provider_event SET outcome = ${fits ? "applied" : "mismatch"},
          applied_at = UTC_TIMESTAMP(3), next_try_at = NULL WHERE id = ${id}`
      }),
    )
    return true
  })

  const claim = <A, E, R, Id extends string | number>(
    op: string,
    table: "intent" | "provider_event" | "refund",
    idColumn: string,
    limit: number,
    read: (ids: ReadonlyArray<Id>) => Effect.Effect<ReadonlyArray<A>, E, R>,
  ) =>
    mysql.transaction(
      op,
      Effect.gen(function* () {
        const due = yield* sql<{ id: Id }>`SELECT ${sql(idColumn)} AS id FROM ${sql(table)}
          WHERE next_try_at <= UTC_TIMESTAMP(3) ORDER BY next_try_at LIMIT ${sql.literal(String(limit))} FOR UPDATE SKIP LOCKED`
        if (due.length === 0) return []
        const ids = due.map((row) => row.id)
        // A claim is a visibility time-out: whoever dies with it loses it.
        yield* sql`UPDATE ${sql(table)} SET next_try_at = UTC_TIMESTAMP(3) + INTERVAL 10 SECOND
          WHERE ${sql.in(idColumn, ids)}`
        return yield* read(ids)
      }),
    )

  /** Intents whose step at the channel has no definite answer yet. */
  const claimIntents = Effect.fn("PaymentStore.claimIntents")(function* (limit: number) {
    return yield* claim("payment.claimIntents", "intent", "payment_id", limit, (ids: ReadonlyArray<string>) =>
      sql<IntentRow>`SELECT ${columns} FROM intent WHERE ${sql.in("payment_id", ids)}`.pipe(
        Effect.map((rows) => rows.map(toIntent)),
      ),
    )
  })

  const claimRefunds = Effect.fn("PaymentStore.claimRefunds")(function* (limit: number) {
    return yield* claim(
      "payment.claimRefunds",
      "refund",
      "refund_id",
      limit,
      (ids: ReadonlyArray<string>) =>
        sql<Refund>`SELECT refund_id AS refundId, capture_id AS captureId, payment_id AS paymentId,
          order_num AS orderNum, user_id AS userId, channel, amount, currency
        FROM refund WHERE ${sql.in("refund_id", ids)}`,
    )
  })

  /** Ordering took the money of a capture. */
  const applied = Effect.fn("PaymentStore.applied")(function* (paymentId: string, captureId: string) {
    const intent = yield* findPayment(paymentId)
    if (intent === undefined) return
    yield* underGate("payment.applied", intent, (current) =>
      Effect.gen(function* () {
        yield* sql`UPDATE capture SET state = 'applied' WHERE capture_id = ${captureId} AND state = 'new'`
        yield* move(current, "applied")
      }),
    )
  })

  /** Ordering refused the money of a capture: it is owed back, once. */
  const refused = Effect.fn("PaymentStore.refused")(function* (
    paymentId: string,
    captureId: string,
    reason: string,
  ) {
    const intent = yield* findPayment(paymentId)
    if (intent === undefined) return
    yield* underGate("payment.refused", intent, (current) =>
      Effect.gen(function* () {
        const changed = yield* affected(sql`UPDATE capture SET state = 'refused'
          WHERE capture_id = ${captureId} AND state = 'new'`)
        if (changed.affectedRows === 0) return
        const rows = yield* sql<{
          amount: number
        }>`SELECT amount FROM capture WHERE capture_id = ${captureId}`
        const refundId = newId("ref_")
        yield* sql`INSERT INTO refund ${sql.insert({
          refund_id: refundId,
          capture_id: captureId,
          payment_id: paymentId,
          order_num: current.orderNum,
          user_id: current.userId,
          channel: current.channel,
          amount: rows[0]!.amount,
          currency: current.currency,
          reason,
          state: "pending",
        })}`
        yield* sql`UPDATE refund SET next_try_at = UTC_TIMESTAMP(3) WHERE refund_id = ${refundId}`
        yield* audit({
          actorId: Audit.SYSTEM,
          action: "refund.create",
          targetType: "refund",
          targetId: refundId,
          before: { capture_id: captureId, capture: "new" },
          after: {
            capture: "refused",
            state: "pending",
            order_num: current.orderNum,
            payment_id: paymentId,
            user_id: current.userId,
            amount: rows[0]!.amount,
            currency: current.currency,
          },
          reason,
        })
        const moved = (yield* move(current, "refused")) ?? current
        yield* tellRefund(moved, refundId)
      }),
    )
  })

  const tellRefund = Effect.fnUntraced(function* (intent: Intent, refundId: string) {
    const rows = yield* sql<{
      amount: number
      state: string
      reason: string
      created: number
      succeeded: number | null
    }>`
      SELECT amount, state, reason, CAST(ROUND(UNIX_TIMESTAMP(created_at) * 1000) AS SIGNED) AS created,
        CAST(ROUND(UNIX_TIMESTAMP(succeeded_at) * 1000) AS SIGNED) AS succeeded
      FROM refund WHERE refund_id = ${refundId}`
    const row = rows[0]!
    yield* tell("refund.updated", intent, {
      refund: {
        refund_id: refundId,
        amount: row.amount,
        status: row.state === "succeeded" ? "succeeded" : "pending",
        reason: row.reason,
        created_at: new Date(row.created).toISOString(),
        succeeded_at: row.succeeded === null ? null : new Date(row.succeeded).toISOString(),
      },
    })
  })

  const refunded = Effect.fn("PaymentStore.refunded")(function* (refund: Refund) {
    yield* underGate("payment.refunded", refund, (current) =>
      Effect.gen(function* () {
        const changed =
          yield* affected(sql`UPDATE refund SET state = 'succeeded', succeeded_at = UTC_TIMESTAMP(3), next_try_at = NULL
          WHERE refund_id = ${refund.refundId} AND state = 'pending'`)
        if (changed.affectedRows === 0) return
        yield* audit({
          actorId: Audit.SYSTEM,
          action: "refund.succeed",
          targetType: "refund",
          targetId: refund.refundId,
          before: { state: "pending" },
          after: { state: "succeeded", order_num: refund.orderNum, amount: refund.amount },
        })
        const moved = (yield* move(current, "refunded")) ?? current
        yield* tellRefund(moved, refund.refundId)
      }),
    )
  })

  return {
    findPayment,
    open,
    replay,
    answered,
    started,
    ended,
    captured,
    shut,
    receive,
    claimEvents,
    applyEvent,
    claimIntents,
    claimRefunds,
    applied,
    refused,
    refunded,
  } as const
})

export class PaymentStore extends Context.Tag("@floodgate/payment/store/PaymentStore")<
  PaymentStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(PaymentStore, make)
}
