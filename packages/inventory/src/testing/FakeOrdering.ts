/**
 * Ordering, as inventory sees it: decides reservations against inventory's own MySQL by the protocol's rules, records
 * barriers, and answers the three calls that inventory makes. For tests only.
 */
import type { BarrierEvent } from "@floodgate/contracts/events/BarrierEvent"
import type { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface Decision {
  readonly event: ReservationEvent
  state: "unpaid" | "cancelled" | "rejected"
}

export interface Ordering {
  readonly decisions: Map<string, Decision>
  /** Numbers that wait as open dead letters. */
  readonly held: Set<string>
  /** Partition → highest barrier recorded. */
  readonly barriers: Map<number, number>
  /** Numbers asked for by batchGetOutcomes, call by call. */
  readonly asked: Array<ReadonlyArray<string>>
  /** Every message of the topic, copies too. */
  readonly seen: Array<string>
}

export class FakeOrdering extends Context.Tag("@floodgate/inventory/testing/FakeOrdering")<
  FakeOrdering,
  Ordering
>() {}

const page = 3

/** The client over a state that the test holds. Pages are short, so that paging is walked. */
export const client: Layer.Layer<OrderingClient | FakeOrdering> = Layer.effect(
  OrderingClient,
  Effect.map(FakeOrdering, ({ decisions, held, barriers, asked }) => {
    const calls = {
      batchGetOutcomes: ({ orderNums }: { readonly orderNums: ReadonlyArray<string> }) =>
        Effect.sync(() => {
          asked.push(orderNums)
          return {
            decided: orderNums.filter((order_num) => decisions.has(order_num)),
            held: orderNums.filter((order_num) => held.has(order_num) && !decisions.has(order_num)),
          }
        }),
      getBarrier: ({ epoch }: { readonly epoch: bigint }) =>
        Effect.sync(() => ({
          partitions: [...barriers]
            .filter(([, recorded]) => recorded >= epoch)
            .map(([partition]) => partition),
        })),
      listReservations: (request: { readonly productId: bigint; readonly pageToken: string }) =>
        Effect.sync(() => {
          const all = [...decisions.values()].filter((d) => BigInt(d.event.product_id) === request.productId)
          const from = Number(request.pageToken)
          const next = from + page
          return {
            records: all.slice(from, next).map(({ event, state }) => ({
              orderNum: event.order_num,
              userId: BigInt(event.user_id),
              quantity: event.quantity,
              requestId: event.request_id,
              live: state === "unpaid",
            })),
            nextPageToken: next < all.length ? String(next) : "",
          }
        }),
    }
    return calls as unknown as Context.Tag.Service<OrderingClient>
  }),
).pipe(
  Layer.provideMerge(
    Layer.sync(FakeOrdering, () => ({
      decisions: new Map(),
      held: new Set<string>(),
      barriers: new Map(),
      asked: [],
      seen: [],
    })),
  ),
)

/** One reservation or barrier, by the rules of the order worker. */
const decide = Effect.fnUntraced(function* (message: ReservationEvent | BarrierEvent, partition: number) {
  const ordering = yield* FakeOrdering
  const mysql = yield* Mysql
  if (message.type === "seckill.barrier") {
    ordering.barriers.set(partition, Math.max(ordering.barriers.get(partition) ?? 0, message.epoch))
    return
  }
  ordering.seen.push(message.order_num)
  yield* mysql.transaction(
    "test.order",
    Effect.gen(function* () {
      const { sql } = mysql
      const [row] = yield* sql<{ stock: number; generation: number }>`
        SELECT stock, generation FROM product WHERE id = ${message.product_id} FOR UPDATE`
      if (row === undefined || ordering.decisions.has(message.order_num)) return
      const fits = message.generation === row.generation && row.stock >= message.quantity
      if (fits) {
        yield* sql`UPDATE product SET stock = stock - ${message.quantity} WHERE id = ${message.product_id}`
      }
      ordering.decisions.set(message.order_num, { event: message, state: fits ? "unpaid" : "rejected" })
    }),
  )
})

/** The order worker: consumes while the scope is open. */
export const worker: Layer.Layer<never, never, EventBus | Mysql | FakeOrdering> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const bus = yield* EventBus
    const context = yield* Effect.context<Mysql | FakeOrdering>()
    yield* bus
      .consume({
        group: "order-worker",
        topics: [Topic.Reservations],
        handle: (batch) =>
          Effect.forEach(
            batch,
            (message) => decide(JSON.parse(Buffer.from(message.value).toString("utf8")), message.partition),
            { discard: true },
          ).pipe(Effect.provide(context)),
      })
      .pipe(Effect.orDie, Effect.forkScoped)
  }),
)

/** Cancels an order as ordering does: the row's lock first, stock back in MySQL; Redis follows by event. */
export const cancel = Effect.fnUntraced(function* (order_num: string) {
  const { decisions } = yield* FakeOrdering
  const mysql = yield* Mysql
  const { sql } = mysql
  yield* mysql.transaction(
    "test.cancel",
    Effect.gen(function* () {
      const decision = decisions.get(order_num)!
      const { product_id, quantity } = decision.event
      yield* sql`SELECT id FROM product WHERE id = ${product_id} FOR UPDATE`
      yield* sql`UPDATE product SET stock = stock + ${quantity} WHERE id = ${product_id}`
      decision.state = "cancelled"
    }),
  )
})

/** The topics of the contracts, on whatever bus the test has. */
export const topics: Layer.Layer<never, never, EventBus> = Layer.effectDiscard(
  Effect.flatMap(EventBus, (bus) => Effect.orDie(bus.ensureTopics(partitions))),
)
