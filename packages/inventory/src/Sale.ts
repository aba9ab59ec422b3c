/** Buying: what the shard answered, told apart where there is no such product at all. */
import { Busy, NotFound } from "@floodgate/contracts/errors/Errors"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ReservationAnswers, ReservationBatch } from "./domain/Reservation.ts"
import * as ReserveMetrics from "./ReserveMetrics.ts"
import { ProductStore } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"

const make = Effect.gen(function* () {
  const reservations = yield* ReservationStore
  const products = yield* ProductStore

  /** A product that Redis doesn't hold is a draft, or none: MySQL knows. Off the hot path by nature. */
  const tellApart = Effect.fnUntraced(function* (product_id: number, answers: ReservationAnswers) {
    const product = yield* products.find(product_id).pipe(Effect.option)
    if (product._tag === "None" || product.value !== undefined) return answers
    const codes = answers.codes.map((code) =>
      code === ReserveCode.NOT_ON_SALE ? ReserveCode.NO_SUCH_PRODUCT : code,
    )
    return { ...answers, codes }
  })

  const reserve = Effect.fnUntraced(function* (batch: ReservationBatch) {
    const answers = yield* reservations.reserveBatch(batch)
    const nowhere = answers.generation === 0 && answers.codes.includes(ReserveCode.NOT_ON_SALE)
    const told = nowhere ? yield* tellApart(batch.product_id, answers) : answers
    ReserveMetrics.answered(told.codes)
    return told
  })

  /** What Redis knows of an order number; its MAC is checked by who asks on behalf of a user. */
  const lookUp = Effect.fn("Sale.lookUp")(function* (order_num: string, user_id: number) {
    const fields = OrderNum.parse(order_num)
    if (fields === undefined) return yield* new NotFound()
    const product = yield* products.find(fields.productId)
    if (product === undefined) return yield* new NotFound()
    const view = yield* reservations
      .getReservation({ order_num, user_id, product_id: fields.productId })
      .pipe(
        Effect.catchTags({
          ShardFenced: () => new Busy({ retry_after_ms: 1000 }),
          RedisUnavailable: ({ retryAfterMs }) => new Busy({ retry_after_ms: retryAfterMs ?? 1000 }),
          RedisOutcomeUnknown: () => new Busy({ retry_after_ms: 1000 }),
          RedisScriptFailed: (error) => Effect.die(error),
        }),
      )
    return { fields, view, product }
  })

  return { reserve, lookUp } as const
})

export class Sale extends Context.Tag("@floodgate/inventory/Sale")<
  Sale,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Sale, make)
}
