/** What the tests of this package stand on: real databases, reservations as inventory makes them, a payment to steer. */

import { create } from "@bufbuild/protobuf"
import { Busy } from "@floodgate/contracts/errors/Errors"
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import { Topic } from "@floodgate/contracts/events/Topic"
import {
  CloseOrderResponseSchema,
  type CloseOutcome,
} from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import type { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import { PaymentClient as PaymentClientTag } from "@floodgate/contracts/rpc/PaymentClient"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import {
  BusUnavailable,
  EventBus,
  type IncomingMessage,
  type OutgoingMessage,
} from "@floodgate/runtime/event-bus/EventBus"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as OrderingConfig from "../OrderingConfig.ts"
import * as DriftStore from "../reconcile/DriftStore.ts"
import * as CancelStore from "../store/CancelStore.ts"
import * as DeadLetterStore from "../store/DeadLetterStore.ts"
import * as OrderStore from "../store/OrderStore.ts"
import * as PaymentStore from "../store/PaymentStore.ts"
import { Timers } from "../timers/Timers.ts"
import * as DeadLetters from "../workers/DeadLetters.ts"
import * as FailedMessages from "../workers/FailedMessages.ts"

export const KEY = "test-order-num-key-0123456789abcdef"

/** How long an order may stay unpaid in these tests, ms. */
export const PAY_TIMEOUT_MS = 900_000

/** How long a dead letter stays open by itself in these tests, ms. */
export const DISCARD_MS = 900_000

/** What was published, by topic; and topics that can't be reached. */
export class TestPublished extends Context.Tag("@floodgate/ordering/testing/TestPublished")<
  TestPublished,
  { readonly messages: Array<OutgoingMessage & { readonly topic: string }>; readonly down: Set<string> }
>() {}

/** A bus that only takes messages, and shows them in `TestPublished`. */
const bus = Layer.effect(
  EventBus,
  Effect.map(TestPublished, ({ down, messages }) => {
    const publish = (topic: string, sent: ReadonlyArray<OutgoingMessage>) =>
      Effect.suspend(() => {
        if (down.has(topic)) return new BusUnavailable({ operation: `publish ${topic}`, reason: "down" })
        for (const message of sent) messages.push({ ...message, topic })
        return Effect.void
      })
    return { publish } as unknown as Context.Tag.Service<EventBus>
  }),
).pipe(Layer.provideMerge(Layer.sync(TestPublished, () => ({ messages: [], down: new Set<string>() }))))

/** What the timers were asked to keep. */
export class TestTimers extends Context.Tag("@floodgate/ordering/testing/TestTimers")<
  TestTimers,
  { readonly armed: Map<string, number> }
>() {}

const timers = Layer.effect(
  Timers,
  Effect.map(TestTimers, ({ armed }) =>
    Timers.of({
      arm: (orders) =>
        Effect.sync(() => {
          for (const { expires_at_ms, order_num } of orders) armed.set(order_num, expires_at_ms)
        }),
      claim: Effect.succeed([]),
      done: () => Effect.void,
      putOff: () => Effect.void,
    }),
  ),
).pipe(Layer.provideMerge(Layer.sync(TestTimers, () => ({ armed: new Map<string, number>() }))))

const relay = Layer.succeed(OutboxRelay, { nudge: Effect.void })

const databases = TestMysql.layer({
  migrations: ["inventory", "ordering"],
  main: "ordering",
  mysql: { maxConnections: 16, session: { wait_timeout: 10, innodb_lock_wait_timeout: 3 } },
})

const config = Layer.unwrapEffect(
  Effect.map(TestMysql.schema("inventory"), (inventorySchema) =>
    OrderingConfig.layerOf({
      orderNumKey: Redacted.make(KEY),
      inventorySchema,
      payTimeoutMs: PAY_TIMEOUT_MS,
      cancelSilenceMs: 60_000,
      retryDelaysMs: [100, 200, 300],
      deadLetterDiscardMs: DISCARD_MS,
    }),
  ),
)

/** Every store over fresh databases and this bus, with timers that only remember. */
export const storesOn = <A, E>(bus: Layer.Layer<A | EventBus, E>) =>
  Layer.mergeAll(DeadLetters.layer, FailedMessages.layer).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        OrderStore.layer,
        CancelStore.layer,
        PaymentStore.layer,
        DeadLetterStore.layer,
        DriftStore.layer,
        relay,
        bus,
        timers,
      ),
    ),
    Layer.provideMerge(config),
    Layer.provideMerge(databases),
  )

/** The same over a bus that only remembers. */
export const stores = storesOn<EventBus | TestPublished, never>(bus)

/** A product on sale; answers its id. */
export const product = (o: { stock: number; limit?: number; generation?: number; name?: string }) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const schema = yield* TestMysql.schema("inventory")
    const { sql } = mysql
    const result = yield* mysql.run(
      "test.product",
      sql`INSERT INTO ${sql.literal(`\`${schema}\`.product`)}
        (name, price, currency, stock, initial_stock, start_time, per_user_limit, publisher_id, state, generation)
        VALUES (${o.name ?? "a thing"}, 9900, 'CNY', ${o.stock}, ${o.stock}, UTC_TIMESTAMP(3), ${o.limit ?? 1}, 1,
          'published', ${o.generation ?? 1})`.raw,
    )
    return (result as { readonly insertId: number }).insertId
  })

/** Any SELECT or UPDATE of a test; `{inventory}` stands for inventory's database. */
export const query = <A = Record<string, any>>(text: string, params: ReadonlyArray<unknown> = []) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const schema = yield* TestMysql.schema("inventory")
    return yield* mysql.run(
      "test.query",
      mysql.sql.unsafe<A & object>(text.replaceAll("{inventory}", `\`${schema}\``), [...params]),
    )
  })

/** A reservation as inventory's relay tells it. */
export const reservation = (
  productId: number,
  userId: number,
  o: Partial<
    Pick<ReservationEvent, "generation" | "quantity" | "traceparent" | "request_id" | "reserved_at_ms">
  > = {},
): ReservationEvent => {
  const generation = o.generation ?? 1
  const reservedAtMs = o.reserved_at_ms ?? Date.now()
  const orderNum = OrderNum.make(KEY, userId, { timeMs: reservedAtMs, productId, generation })
  return {
    event_id: orderNum,
    type: "seckill.reserved",
    version: 1,
    order_num: orderNum,
    user_id: userId,
    product_id: productId,
    generation,
    quantity: o.quantity ?? 1,
    price: 9900,
    per_user_limit: 1,
    request_id: o.request_id ?? "request-0123456",
    reserved_at_ms: reservedAtMs,
    ...(o.traceparent === undefined ? {} : { traceparent: o.traceparent }),
  }
}

let offset = 0

/** A message of the reservations topic. */
export const message = (value: unknown, key = "", partition = 3): IncomingMessage => ({
  topic: Topic.Reservations,
  partition,
  offset: String(offset++),
  key,
  value: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
  headers: {},
  timestampMs: Date.now(),
})

/**
 * Per product: what the order's rows, purchases, stock and stock log say must agree. Answers the stock that is left;
 * dies with what disagrees.
 */
export const assertConserved = (productId: number) =>
  Effect.gen(function* () {
    const [row] = yield* query<{
      stock: number
      initial: number
      live: number
      logged: number
      purchased: number
      above: number
    }>(
      `SELECT p.stock, p.initial_stock AS initial,
        CAST((SELECT COALESCE(SUM(quantity), 0) FROM \`order\` o WHERE o.product_id = p.id
          AND o.state NOT IN ('cancelled', 'rejected')) AS SIGNED) AS live,
        CAST((SELECT COALESCE(SUM(delta), 0) FROM {inventory}.stock_log l WHERE l.product_id = p.id) AS SIGNED) AS logged,
        CAST((SELECT COALESCE(SUM(live_quantity), 0) FROM purchase b WHERE b.product_id = p.id) AS SIGNED) AS purchased,
        (SELECT COUNT(*) FROM purchase b WHERE b.product_id = p.id AND b.live_quantity > p.per_user_limit) AS above
       FROM {inventory}.product p WHERE p.id = ?`,
      [productId],
    )
    const r = row!
    if (
      r.stock < 0 ||
      r.initial !== r.stock + r.live ||
      r.logged !== -r.live ||
      r.purchased !== r.live ||
      r.above !== 0
    ) {
      return yield* Effect.dieMessage(`not conserved: ${JSON.stringify(r)}`)
    }
    return r.stock
  })

/** A payment whose answer to CloseOrder is this function's; what it isn't asked for isn't there. */
export const payment = (
  closeOrder: (orderNum: string) => Effect.Effect<CloseOutcome | "down">,
): Layer.Layer<PaymentClient> =>
  Layer.succeed(PaymentClientTag, {
    closeOrder: ({ orderNum }: { readonly orderNum?: string }) =>
      Effect.flatMap(closeOrder(orderNum ?? ""), (outcome) =>
        outcome === "down"
          ? Effect.fail(new Busy({}))
          : Effect.succeed(create(CloseOrderResponseSchema, { outcome })),
      ),
  } as unknown as PaymentClientTag["Type"])
