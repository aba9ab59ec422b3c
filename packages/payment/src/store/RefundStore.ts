/** Money that goes back: refused by ordering or given back by an operator, once per capture, until the channel has confirmed it. */
import { NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Intent } from "../domain/Intent.ts"
import { chooseRefund, type Refund, type RefundableCapture, type RefundStatus } from "../domain/Refund.ts"
import { Gate, ms, newId } from "./Gate.ts"
import * as Keys from "./Keys.ts"

/** A refund's columns, in SQL, as {@link Refund} has them. */
export const refundColumns = `refund_id AS refundId, capture_id AS captureId, payment_id AS paymentId,
  order_num AS orderNum, user_id AS userId, channel, amount, currency, state AS status, reason, attempt, failure,
  actor_id AS actorId, ${ms("created_at")} AS createdAtMs, ${ms("succeeded_at")} AS succeededAtMs`

/** A refund that its channel is to be asked for. */
export interface DueRefund extends Refund {
  readonly providerTxnId: string
  readonly tries: number
}

export interface RefundWish {
  readonly orderNum: string
  readonly actorId: number
  /** The operator's words: kept in the audit trail, not shown to the buyer. */
  readonly reason: string
  readonly key: Keys.Key
}

/** Why an operator's refund was made, as the buyer is told. */
const OPERATOR = "operator"

const MAX_FAILURE = 200

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const gate = yield* Gate
  const { sql } = mysql
  const keys = Keys.make(sql)

  const columns = sql.literal(refundColumns)

  const find = (refundId: string) =>
    sql<Refund>`SELECT ${columns} FROM refund WHERE refund_id = ${refundId}`.pipe(
      Effect.map((rows) => rows[0]),
    )

  const tell = (intent: Intent, refund: Refund) =>
    gate.tell("refund.updated", intent, {
      capture_id: refund.captureId,
      refund: {
        refund_id: refund.refundId,
        amount: refund.amount,
        status: refund.status,
        reason: refund.reason,
        created_at: new Date(refund.createdAtMs).toISOString(),
        succeeded_at: refund.succeededAtMs === null ? null : new Date(refund.succeededAtMs).toISOString(),
      },
    })

  /** A refund is owed from now on. Under the gate's lock. */
  const owe = Effect.fnUntraced(function* (
    current: Intent,
    o: {
      readonly captureId: string
      readonly reason: string
      readonly actorId: number
      readonly words: string
      readonly before: string
    },
  ) {
    const [capture] = yield* sql<{ amount: number; attempts: number }>`
      SELECT amount, (SELECT COUNT(*) FROM refund r WHERE r.capture_id = capture.capture_id) AS attempts
      FROM capture WHERE capture_id = ${o.captureId}`
    const refundId = newId("ref_")
    yield* sql`INSERT INTO refund ${sql.insert({
      refund_id: refundId,
      capture_id: o.captureId,
      payment_id: current.paymentId,
      order_num: current.orderNum,
      user_id: current.userId,
      channel: current.channel,
      amount: capture!.amount,
      currency: current.currency,
      reason: o.reason,
      state: "pending",
      attempt: capture!.attempts + 1,
      actor_id: o.actorId,
    })}`
    yield* sql`UPDATE refund SET next_try_at = UTC_TIMESTAMP(3) WHERE refund_id = ${refundId}`
    yield* gate.audit({
      actorId: o.actorId,
      action: "refund.create",
      targetType: "refund",
      targetId: refundId,
      before: { capture_id: o.captureId, capture: o.before },
      after: {
        capture: o.before === "new" ? "refused" : o.before,
        state: "pending",
        order_num: current.orderNum,
        payment_id: current.paymentId,
        user_id: current.userId,
        amount: capture!.amount,
        currency: current.currency,
      },
      reason: o.words,
    })
    const moved = (yield* gate.move(current, o.before === "applied" ? "refund" : "refused")) ?? current
    const refund = (yield* find(refundId))!
    yield* tell(moved, refund)
    return refund
  })

  /** The money of a capture was refused: it is owed back, once. */
  const refused = Effect.fn("RefundStore.refused")(function* (
    paymentId: string,
    captureId: string,
    reason: string,
  ) {
    const intent = yield* mysql.run("payment.find", gate.find(paymentId))
    if (intent === undefined) return
    yield* gate.holding("payment.refused", intent, (current) =>
      Effect.gen(function* () {
        const changed = yield* affected(sql`UPDATE capture SET state = 'refused', next_try_at = NULL
          WHERE capture_id = ${captureId} AND state = 'new'`)
        if (changed.affectedRows === 0) return
        yield* owe(current, { captureId, reason, actorId: Audit.SYSTEM, words: reason, before: "new" })
      }),
    )
  })

  const capturesOf = (orderNum: string) =>
    sql<RefundableCapture & { readonly paymentId: string }>`
      SELECT c.capture_id AS captureId, c.payment_id AS paymentId, c.state, r.state AS refund
      FROM capture c LEFT JOIN refund r ON r.capture_id = c.capture_id
        AND r.attempt = (SELECT MAX(l.attempt) FROM refund l WHERE l.capture_id = c.capture_id)
      WHERE c.order_num = ${orderNum} ORDER BY c.created_at`.pipe(
      Effect.map((rows) => rows.map((row) => ({ ...row, refund: row.refund ?? undefined }))),
    )

  /**
   * Gives an order's money back because an operator says so. NotFound: nobody ever paid anything for such an order.
   * WrongState: there is nothing to give back now.
   */
  const request = Effect.fn("RefundStore.request")(function* (wish: RefundWish) {
    const [any] = yield* mysql.run(
      "payment.findOrder",
      sql<{ payment_id: string }>`SELECT payment_id FROM intent WHERE order_num = ${wish.orderNum} LIMIT 1`,
    )
    if (any === undefined) return yield* new NotFound()
    return yield* gate.holding("payment.refund", { orderNum: wish.orderNum, paymentId: any.payment_id }, () =>
      Effect.gen(function* () {
        const subject = yield* keys.seen(wish.key)
        if (subject !== undefined) return { refund: (yield* find(subject))!, replayed: true }
        const captures = yield* capturesOf(wish.orderNum)
        const choice = chooseRefund(captures)
        if (choice._tag === "Nothing") return yield* new WrongState({ state: choice.state })
        const chosen = captures.find((capture) => capture.captureId === choice.captureId)!
        const current = (yield* gate.find(chosen.paymentId))!
        const refund = yield* owe(current, {
          captureId: chosen.captureId,
          reason: OPERATOR,
          actorId: wish.actorId,
          words: wish.reason,
          before: chosen.state,
        })
        yield* keys.remember(wish.key, refund.refundId)
        yield* keys.answered(wish.key)
        return { refund, replayed: false }
      }),
    )
  })

  const claim = Effect.fn("RefundStore.claim")(function* (channel: string, limit: number) {
    return yield* gate.claim(
      "payment.claimRefunds",
      "refund",
      "refund_id",
      limit,
      sql`channel = ${channel}`,
      (ids: ReadonlyArray<string>) =>
        sql<DueRefund>`SELECT ${columns}, tries,
            (SELECT c.provider_txn_id FROM capture c WHERE c.capture_id = refund.capture_id) AS providerTxnId
          FROM refund WHERE ${sql.in("refund_id", ids)} AND state = 'pending'`,
    )
  })

  const postpone = (refundId: string, seconds: number) =>
    gate.postpone("refund", "refund_id", refundId, seconds)

  const end = (
    refund: Pick<Refund, "refundId" | "captureId" | "orderNum" | "paymentId" | "amount">,
    to: Exclude<RefundStatus, "pending">,
    failure: string | null,
  ) =>
    gate.holding(`payment.refund_${to}`, refund, (current) =>
      Effect.gen(function* () {
        const changed = yield* affected(sql`UPDATE refund
          SET state = ${to}, failure = ${failure?.slice(0, MAX_FAILURE) ?? null}, next_try_at = NULL,
            succeeded_at = ${to === "succeeded" ? sql.literal("UTC_TIMESTAMP(3)") : null}
          WHERE refund_id = ${refund.refundId} AND state = 'pending'`)
        if (changed.affectedRows === 0) return
        yield* gate.audit({
          actorId: Audit.SYSTEM,
          action: to === "succeeded" ? "refund.succeed" : "refund.fail",
          targetType: "refund",
          targetId: refund.refundId,
          before: { state: "pending" },
          after: { state: to, order_num: refund.orderNum, amount: refund.amount },
          ...(failure === null ? {} : { reason: failure.slice(0, MAX_FAILURE) }),
        })
        // A payment is refunded when all the money that came by it has gone back; money that an order has, and keeps
        // because it can't be given back, is applied again.
        const [left] = yield* sql<{ kept: number; refused: number }>`
          SELECT COUNT(*) AS kept, COALESCE(SUM(c.capture_id = ${refund.captureId} AND c.state = 'refused'), 0) AS refused
          FROM capture c WHERE c.payment_id = ${current.paymentId}
            AND NOT EXISTS (SELECT 1 FROM refund r WHERE r.capture_id = c.capture_id AND r.state = 'succeeded')`
        const event =
          to === "succeeded"
            ? Number(left!.kept) === 0
              ? ("refunded" as const)
              : undefined
            : Number(left!.refused) === 0
              ? ("refund_failed" as const)
              : undefined
        const moved = (event === undefined ? undefined : yield* gate.move(current, event)) ?? current
        yield* tell(moved, (yield* find(refund.refundId))!)
      }),
    )

  /** The channel has given the money back. */
  const succeeded = Effect.fn("RefundStore.succeeded")((refund: Refund) => end(refund, "succeeded", null))

  /** The channel refused for good: the order keeps the money, and an operator may try again. */
  const failed = Effect.fn("RefundStore.failed")((refund: Refund, failure: string) =>
    end(refund, "failed", failure),
  )

  return { refused, request, claim, postpone, succeeded, failed } as const
})

export class RefundStore extends Context.Tag("@floodgate/payment/store/RefundStore")<
  RefundStore,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(RefundStore, make)
}
