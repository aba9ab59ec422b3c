/** What tests of money have in common: real stores on a real database, an ordering that knows every order, keys. */
import { randomUUID } from "node:crypto"
import { create } from "@bufbuild/protobuf"
import { OrderSchema, OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { OutboxRelay } from "@floodgate/runtime/outbox/Outbox"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Gate } from "../store/Gate.ts"
import { IntentStore } from "../store/IntentStore.ts"
import { PaymentLists } from "../store/PaymentLists.ts"
import { ProviderEventStore } from "../store/ProviderEventStore.ts"
import { RefundStore } from "../store/RefundStore.ts"
import { TopUpStore } from "../store/TopUpStore.ts"

/** Minor units of every order. */
export const AMOUNT = 9_900

export const USER = 7

/** Orders whose number starts with `paid` are paid, all others unpaid. */
export const ordering = Layer.succeed(OrderingClient, {
  getOrder: ({ orderNum = "", userId = 0n }: { orderNum?: string; userId?: bigint }) =>
    Effect.succeed(
      create(OrderSchema, {
        orderNum,
        userId,
        amount: BigInt(AMOUNT),
        currency: "CNY",
        state: orderNum.startsWith("paid") ? OrderState.PAID : OrderState.UNPAID,
      }),
    ),
} as never)

export const stores = Layer.mergeAll(
  IntentStore.layer,
  ProviderEventStore.layer,
  RefundStore.layer,
  TopUpStore.layer,
  PaymentLists.layer,
).pipe(
  Layer.provideMerge(Gate.layer),
  Layer.provideMerge(Layer.succeed(OutboxRelay, { nudge: Effect.void })),
  Layer.provideMerge(TestMysql.layer({ migrations: ["payment"], main: "payment" })),
)

export const order = () => `o${randomUUID().replaceAll("-", "")}`

export const request = (orderNum: string, channel: string, key: string = randomUUID()) => ({
  orderNum,
  userId: USER,
  channel,
  key: { scope: `pay:${USER}:${orderNum}`, keyHash: key.padEnd(64, "0"), bodyHash: channel.padEnd(64, "0") },
})

/** Rows of a statement with parameters. */
export const rows = <A extends object>(text: string, ...parameters: ReadonlyArray<unknown>) =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    return yield* mysql.run("test", mysql.sql.unsafe<A>(text, parameters))
  })

/** Makes what waits in a table due now. */
export const due = (
  table: "intent" | "refund" | "capture" | "provider_event",
  where: string,
  value: string,
) =>
  rows(
    `UPDATE ${table} SET next_try_at = UTC_TIMESTAMP(3) WHERE ${where} = ? AND next_try_at IS NOT NULL`,
    value,
  )
